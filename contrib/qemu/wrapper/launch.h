/* SPDX-License-Identifier: MIT */
/* Starts a process that is to outlive the exec. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Makes a process that goes on from here, and returns true in it: a child of nobody's, in a
 * session of its own, with standard input and output on /dev/null, standard error on `errors`,
 * and of other descriptors those alone that `kept` point to, which get their new numbers in it.
 * Signals are as a new process has them, and what was meant for the emulator alone is out of the
 * environment. */
bool launch(int errors, int *const *kept, size_t count);

/* What ps(1) shows of a copy of this process is not to be taken for the emulator: who looks for
 * that goes by the words of its command line. Notes where they are. `argv` is main()'s. */
void process_title_begin(char **argv);

/* "PATH-OF-THIS-PROGRAM: WHAT" in their place, as far as there is room; and "fdset-WHAT" as
 * the name of the process. */
void process_title(const char *what);
