/* SPDX-License-Identifier: MIT */
/* One client of a monitor and the emulator's end of it: what passes between the two.
 *
 *     link.c       the two sockets: reading, writing, back-pressure, the end
 *     command.c    from the client: what is forwarded, in what order, and what not
 *     members.c    add-fd and remove-fd, which the emulator and the helper do both
 *     questions.c  commands that the emulator does not have
 *     mirror.c     what the helper's sets have and the emulator's have not
 *     reply.c      from the emulator: replies, events, and where ours go in between
 *
 * Before the negotiation of capabilities the bytes pass as they are: it may be no monitor.
 * Then a command is forwarded when its turn comes. One that concerns sets waits until all before
 * it are answered and the helper's sets are known; those after an add-fd or remove-fd wait for
 * its answer. Out-of-band commands overtake. */
#pragma once

#include <fdset/manager.h>
#include <stdint.h>

#include "loop.h"
#include "portals.h"
#include "text.h"

struct qmp_link;

/* A change of the emulator's sets that no client has asked for. */
struct injection;
struct mirror {
    struct injection *first, *in_flight; /* that wait; that one link has put to the emulator: */
    struct qmp_link *carrier;            /* this; NULL: none is in flight */
    bool stale;                          /* the helper's sets may be others than the emulator's */
    bool asking;                         /* and are being listed */
    bool over;                           /* the helper has gone */
    unsigned adding;                     /* AddFds under way, whose members are not known yet */
    uint64_t changes;                    /* of our own that were begun or have ended */
    uint64_t added, removed;             /* the helper's totals when both were the same */
};

/* What all links share. */
struct relay {
    struct relay_loop loop;
    struct fdset_manager *manager; /* the connection to the helper */
    struct relay_watch helper_watch;
    bool waits;         /* opens may wait for what is not there yet */
    bool emulator_gone; /* there will be no more links */
    struct qmp_link *links;
    uint64_t link_count; /* in the relay's life */
    struct known_portal *portals;
    uint64_t strays;         /* files that came into the emulator by another way */
    uint64_t unknown_closed; /* portals that were none of these */
    struct mirror mirror;
    void (*listen)(struct relay *relay); /* takes what the joint has to tell */
    void (*pump)(struct qmp_link *link); /* link_pump(), for who is below link.c */
};

/* Begins to serve `client` over `emulator`, both consumed. */
void link_begin(struct relay *relay, int client, int emulator);

/* Does all that can be done without waiting. May free the link. */
void link_pump(struct qmp_link *link);

/* Tells those who asked for events. */
void link_event(struct relay *relay, const struct fdset_event *event);
void link_stray(struct relay *relay, const char *what);

/* Hangs up on all. */
void links_end(struct relay *relay);
