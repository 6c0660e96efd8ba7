/* SPDX-License-Identifier: MIT */
/* Where a program's descriptors stand. */
#pragma once

/* Opens what is closed of the standard streams, as /dev/null. Otherwise the next file or
 * socket that is opened gets such a number, and what is printed is written into it. To be
 * called first of all. */
void standard_streams_fill(void);

/* Puts /dev/null in the place of `fd`. Returns 0 or -errno. */
int fd_nullify(int fd);

/* A duplicate of `fd` with a high number, close-on-exec, out of the way of numbers that a
 * command line gives a meaning. Consumes `fd`. Where it cannot be made, or `fd` is negative,
 * ends the program: with `what` and why. */
int fd_move_high(int fd, const char *what);

/* A pipe, or a pair of sockets of such a type, with such numbers; or the program ends. */
void pipe_make_high(int ends[2]);
void socket_pair_make_high(int ends[2], int type);

/* Lets the program that this one becomes inherit `fd`, or ends this one. */
void fd_inherit(int fd);
