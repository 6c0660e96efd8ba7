/* SPDX-License-Identifier: MIT */
/* How a test talks to stuck-fs: orders over a SOCK_SEQPACKET, each answered
 * once. The first answer, without an order, says that it is mounted. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

enum stuck_operation {
    STUCK_STATFS,
    STUCK_SETLK,
    STUCK_FLUSH, /* which close(2) waits for */
    STUCK_OPERATIONS,
};

struct stuck_order {
    enum {
        STUCK_STOP,  /* withhold the answers to such requests from now on */
        STUCK_GO_ON, /* and carry out those withheld; or, where `error` is given, fail them */
        STUCK_AWAIT, /* answered when such a request has come since the last AWAIT or STOP */
    } verb;
    enum stuck_operation operation;
    int error; /* errno */
};

struct stuck_answer {
    pid_t asker; /* AWAIT: the thread that made the last such request */
};

/* Its files are "0" to "7". */
#define STUCK_FILES 8
