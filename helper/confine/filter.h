/* SPDX-License-Identifier: MIT */
/* The system calls that are left after confine_seal(): one table for every
 * architecture, for the kernel, the tests and the documentation.
 *
 * A call is allowed if one of its rules holds; a rule holds if all its
 * arguments do. All else ends the process, and so does every call of a foreign
 * ABI (i386 and x32 on x86_64). Arguments that no rule names are pointers into
 * our own memory, descriptor numbers that change, or the exit status. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "stage.h"

enum filter_test {
    FILTER_NONE = 0, /* ends a rule's arguments */

    /* The kernel takes 32 bits: those must equal `value`, the upper half it
     * ignores and so do we (an int's upper half is undefined by the ABI). */
    FILTER_INT,
    FILTER_SETTLE_SOCKET, /* likewise, one from CONFINE_SETTLE_SOCKETS on */
    FILTER_CLOSABLE,      /* likewise, at least CONFINE_FREE; the only one of its rule */
    FILTER_STATUS_FLAGS,  /* likewise, no bit but those that the helper sets and restores */
    FILTER_WITHIN,        /* likewise, no bit but those of `value` */

    /* All 64 bits must be those: */
    FILTER_NULL,
    FILTER_EMPTY_PATH,
    FILTER_UNLOCK_ALL,
};

#define FILTER_MAX_ARGUMENTS 4

struct filter_argument {
    enum filter_test test;
    unsigned index;   /* 0 to 5 */
    const char *text; /* "flags = MSG_DONTWAIT | MSG_NOSIGNAL" */
    uint32_t value;
};

struct filter_rule {
    const char *call;
    const char *reason; /* who needs it, and why no more than that */
    struct filter_argument arguments[FILTER_MAX_ARGUMENTS];
    const char *elsewhere; /* NULL; else what libc calls where the architecture has no `call` */
};

/* Calls that are used more often stand first. */
extern const struct filter_rule filter_rules[];
extern const size_t filter_rule_count;

/* How many different calls the rules name. */
size_t filter_call_count(void);

/* Has libseccomp write the filter for `architecture` (SCMP_ARCH_...) to `fd`,
 * which it borrows, as an array of struct sock_filter. Of the plan it takes the
 * addresses and the mode: CONFINE_LOG only logs what would be deadly. Not part of
 * the helper: what it starts with was written when it was built. Returns 0 or
 * -errno. */
int filter_export(const struct confine_plan *plan, uint32_t architecture, int fd);

#define FILTER_MAX_INSTRUCTIONS 256

/* The same for the architecture that the helper was built for, out of what was
 * written then. Returns how many instructions it has. */
struct sock_filter;
size_t filter_make(const struct confine_plan *plan, struct sock_filter *program);

/* The last stage. */
stage_run seccomp_stage;
