/* SPDX-License-Identifier: MIT */
/* Which call is to fail, and how: shared memory of a test and the injector,
 * which runs the helper that FAULTS_HELPER names and lets one call at a time
 * fail. The descriptor of the memory is in FAULTS_PLAN. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

/* What the helper asks the kernel for, told apart where the errors differ. */
enum point {
    POINT_RECEIVE,      /* recvmsg: a request */
    POINT_RECEIVE_FDS,  /* of one that may bring descriptors */
    POINT_HEAR_SETTLED, /* what a settle thread has done */
    POINT_AWAIT_WORK,   /* a settle thread, on its own socket */
    POINT_SEND,         /* sendmsg: a reply */
    POINT_SEND_FDS,     /* with descriptors */
    POINT_GIVE_WORK,    /* to a settle thread */
    POINT_SAY_SETTLED,  /* and its answer */
    POINT_WAIT,         /* epoll_pwait */
    POINT_WATCH,        /* epoll_ctl(EPOLL_CTL_ADD) */
    POINT_ACCEPT,
    POINT_ASK_FLAGS, /* fcntl(F_GETFL) */
    POINT_SET_FLAGS, /* fcntl(F_SETFL) */
    POINT_UNLOCK,    /* fcntl(F_OFD_SETLK) */
    POINT_SWEEP,     /* flock(LOCK_UN), fcntl(F_SETLEASE, F_SETSIG, F_SETOWN) */
    POINT_CLOSE,
    POINT_LOOK,       /* statx */
    POINT_ASK_FS,     /* fstatfs */
    POINT_ASK_PEER,   /* getsockopt(SO_PEERCRED) */
    POINT_ASK_UNREAD, /* getsockopt(SO_MEMINFO) */
    POINT_START,      /* any call from the first of main() to the first epoll_pwait() */
};

enum manner {
    MANNER_INSTEAD,     /* the call is not made, and gives this error, or 0 */
    MANNER_AFTERWARDS,  /* it is made, and gives this error: as close does */
    MANNER_CUT_CONTROL, /* recvmsg has room for one descriptor */
};

struct plan {
    enum point point;
    enum manner manner;
    int error;      /* errno; of POINT_START, which of the call's errors */
    uint32_t which; /* the first that fits is 1 */
    uint32_t times; /* so many in a row */

    /* The test sets it when all of the above is there; the injector clears it
     * when it is through. */
    atomic_bool armed;
    atomic_uint fitted; /* calls, since then */
    atomic_bool struck;
    atomic_bool resting; /* the helper waits in epoll_pwait, or is about to */
    atomic_int call;     /* of POINT_START: which it was, */
    atomic_int gave;     /* and the error that it gave */
};

/* Of a test: makes the memory, and helpers that are started from now on are run
 * by the injector that FAULTS_INJECTOR names. */
struct plan *plan_share(void);
