/* SPDX-License-Identifier: MIT */
/* A sandbox that shuts nothing: for valgrind, which needs more system calls than
 * the helper. Linked with helper/main.c in place of helper/confine/. */
#include "confine/confine.h"

#include <stdio.h>

int confine_enter(const struct confine_plan *plan, struct confine_report *report) {
    return 0;
}

int confine_seal(const struct confine_plan *plan, struct confine_report *report) {
    return 0;
}

void confine_describe(const struct confine_report *report, char *text, size_t size) {
    snprintf(text, size, "no sandbox at all: a build for tests");
}
