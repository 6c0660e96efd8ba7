/* SPDX-License-Identifier: MIT */
/* A process that closes itself in as the helper does, for tests to look at from
 * inside and outside. Everything here but cage_run() is called in that process,
 * where cmocka's assertions must not be used: it reports by its exit status. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <seccomp.h>

#include "confine/confine.h"

enum starter {
    AS_ROOT,   /* becomes CAGE_UID by itself */
    AS_USER,   /* CAGE_UID from the start, without privilege */
    AS_NOBODY, /* likewise 65534, which no user namespace can tell from strangers */
};

#define CAGE_UID         4242
#define CAGE_DESCRIPTORS 256 /* the limit */

/* What the plans pin. */
extern const char cage_empty_path[1];
extern const struct flock cage_unlock_all;

struct cage {
    struct confine_plan plan;
    struct confine_report report;
    pid_t tester; /* the process that looks at this one, and its uid */
    uid_t tester_uid;
    int settle[2]; /* main thread's and settle thread's end */
    int control;   /* a socket to the test */
    bool kernel_has_mdwe, kernel_has_mseal;
    int keep[2];
};

/* Whether this machine lets the test be what it asks for: only root can be all. */
bool cage_can_start(enum starter starter);

/* Forks, becomes `starter` and calls `body`, whose return value is the exit
 * status. Returns the pid, for waitpid, and the test's end of the control socket. */
pid_t cage_start(enum starter starter, int *control, int (*body)(struct cage *cage));

/* The same without a control socket (-1). Waits for it, returns what waitpid says. */
int cage_run(enum starter starter, int (*body)(struct cage *cage));

/* A whole test: skips where this machine does not let it be, fails unless the
 * body returns 0. */
void cage_test(enum starter starter, int (*body)(struct cage *cage));

/* From here on the process and its children get `error` (positive) for the
 * system call, as in a container that forbids it; cage_refuse_if() only where
 * the argument at `index` equals `value`. */
void cage_refuse(int call, int error);
void cage_refuse_if(int call, int error, unsigned index, uint64_t value);

/* In a body that was started as root: becomes that user for good, as setpriv
 * does before it runs a program. */
void cage_become(uid_t uid);

/* Whether every stage so far is CONFINE_DONE, but for what the kernel is too old for. */
bool cage_all_done(const struct cage *cage);

/* How the named stage ended; CONFINE_PENDING if there is no such line. */
enum confine_outcome cage_outcome(const struct cage *cage, const char *stage);

/* A system call as the test names it, not as libc would make it. Numbers of
 * other ABIs: x32 has bit 30 set; for i386 see cage_call_i386(). */
long cage_call(long number, const unsigned long *arguments);

/* By `int $0x80`; only where the architecture has it. */
long cage_call_i386(long number, const unsigned long *arguments);

/* Ends the process at once, with nothing of libc's in between. */
_Noreturn void cage_exit(int status);

/* In a body: says where it went wrong and returns its line as exit status. */
#define CAGE_CHECK(condition)                                    \
    do {                                                         \
        if (!(condition)) {                                      \
            cage_complain(__FILE__, __LINE__, #condition, cage); \
            return 1;                                            \
        }                                                        \
    } while (0)
void cage_complain(const char *file, int line, const char *condition, const struct cage *cage);
