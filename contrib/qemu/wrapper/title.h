/* SPDX-License-Identifier: MIT */
/* What ps(1) shows of a copy of this process, which is not to be taken for the emulator: who
 * looks for that goes by the words of its command line. */
#pragma once

/* Notes where they are. `argv` is main()'s. */
void process_title_begin(char **argv);

/* "PATH-OF-THIS-PROGRAM: WHAT" in their place, as far as there is room; and "fdset-WHAT" as
 * the name of the process. */
void process_title(const char *what);
