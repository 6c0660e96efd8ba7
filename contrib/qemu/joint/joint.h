/* SPDX-License-Identifier: MIT */
/* The joint: a pair of sockets on which the preload library in the emulator tells the relay
 * what happens there. One way only. The thread that does a thing tells of it before it goes on,
 * so that it is told before the emulator's reply can be written: who gets the reply reads the
 * joint first, and knows. */
#pragma once

#include <stdint.h>

enum joint_kind {
    /* One has greeted. With two descriptors: its client's socket, and the other end of the one
     * that the emulator has in its place. */
    JOINT_MONITOR = 1,
    JOINT_PORTAL_AT,     /* a portal of the command line, or by a monitor, has a number */
    JOINT_PORTAL_CLOSED, /* the emulator has let go of a portal */
    JOINT_STRAY,         /* a file came in by another way: `text` says which */
};

struct joint_message {
    uint32_t kind;
    int32_t number;  /* the descriptor's in the emulator: of the monitor, portal or file */
    int32_t set;     /* the portal's, */
    uint32_t member; /* and its member; 0: it is hidden, or was never bound */
    char text[176];  /* a sentence; of a portal that is hidden, this; or empty */
};
#define JOINT_HIDDEN "hidden"

/* Tells it, with the two descriptors of JOINT_MONITOR, which are borrowed (NULL: none). Waits
 * where the other side is behind. 0 or -errno, -EPIPE where nobody is there. */
int joint_send(int joint, const struct joint_message *message, const int fds[2]);

/* Takes the next without waiting: 1, and 0 where the other side is gone; -EAGAIN where there is
 * none now. Descriptors that came are the caller's, close-on-exec, else -1. What makes no sense
 * is -EPROTO, and gone. */
int joint_receive(int joint, struct joint_message *message, int fds[2]);
