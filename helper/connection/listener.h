/* SPDX-License-Identifier: MIT */
/* Sockets on which connections arrive, and with them their role. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "connection/loop.h"
#include "connection/session.h"

/* Who may be a manager, besides root and the user who started the helper. */
#define MANAGER_UIDS 16

struct manager_policy {
    uid_t uids[MANAGER_UIDS];
    uint32_t count;

    /* In a user namespace of its own the kernel shows the helper every other
     * user, root too, as this one. Whom the mode of a socket that the helper made
     * lets in, which is root only unless somebody has asked for more, may manage. */
    uid_t unmapped;
    bool has_unmapped;
};

struct listener {
    struct watch watch; /* fd owned */
    struct sessions *sessions;
    const struct manager_policy *policy;
    enum role role;
    struct endpoint *endpoint; /* of the VMMs that arrive here */
    bool own;                  /* made by the helper, with a mode of its choice */
    uint64_t paused_ms;        /* since when it is not polled, out of descriptors; 0: it is */

    /* The kernel refuses descriptors from whoever connects from now on; but some may be
     * waiting who did before. */
    bool refuses, early;
    struct leftovers turned_away; /* one that is being closed: it is not polled then */
    struct leftovers own_socket;  /* after listener_end() */
};

/* Watches a listening socket, which it consumes. Returns 0 or -errno. */
int listener_begin(struct listener *listener, struct sessions *sessions, int socket, enum role role,
                   struct endpoint *endpoint, bool own, const struct manager_policy *policy);

/* Has its socket closed, and those in its backlog with it: nobody can connect any more. */
void listener_end(struct listener *listener);

/* How long a listener that found no descriptor free is not asked again. */
#define LISTENER_PAUSE_MS 100

/* Polls again one that had run out of descriptors, when its pause is over.
 * Returns whether it is polled. */
bool listener_resume(struct listener *listener);

/* Turns off what a socket might pass beside packets: credentials, and where the
 * kernel can (6.16) and the role has no need, descriptors. Returns whether the kernel refuses
 * those from now on. */
bool socket_prepare(int socket, enum role role);
