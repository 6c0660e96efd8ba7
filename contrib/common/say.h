/* SPDX-License-Identifier: MIT */
/* What a program says on standard error: its name, ": " and one sentence. */
#pragma once

/* The exit status where the program could not do what it was to do, and where its command
 * line made no sense. */
enum { STATUS_FAILED = 1, STATUS_USAGE = 2 };

/* Who speaks from now on, in words that last: `name`, as "fdsetctl add"; `help`, the option
 * that tells how to use it. */
void say_as(const char *name, const char *help);

/* How a sentence is made fit to be shown, where it quotes what others wrote: by a function
 * that returns a copy, to be freed. Without one it is said as it is. */
void say_through(char *(*fit)(const char *text));

/* Says it, and the program goes on. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says it, and ends with STATUS_FAILED. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says it and where there is help, and ends with STATUS_USAGE. */
_Noreturn void die_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends so where the sentence has been said, as by getopt_long(3). */
_Noreturn void die_try_help(void);
