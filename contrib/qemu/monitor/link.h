/* SPDX-License-Identifier: MIT */
/* One client of a monitor and its connection to the emulator: what passes
 * between the two, and what is answered here.
 *
 *     link.c      the two sockets: reading, writing, back-pressure, the end
 *     command.c   from the client: what is forwarded, in what order, and what not
 *     reply.c     from the emulator: replies, events, and where ours go in between
 *
 * Commands are carried out one after another, whether the emulator or the helper does
 * it: one of the helper's begins when all before it are answered, and those after it
 * are forwarded when it is. But out-of-band commands overtake; and add-fd is done at
 * once, since the command before it may be waiting for that very descriptor (the
 * event FDSET_WANTED). Its reply keeps its place. */
#pragma once

#include <stdint.h>

#include "fdset-commands.h"
#include "framing.h"
#include "loop.h"
#include "rewrite.h"
#include "stream.h"

/* What all links share. */
struct relay {
    struct relay_loop loop;
    struct fdset_manager *manager; /* the connection to the helper */
    struct relay_watch helper_watch;
    void (*errand_done)(struct errand *errand); /* link_errand_done(), for who is below link.c */
    struct qmp_link *links;
    uint64_t link_count; /* in the relay's life */
};

/* Whom a link belongs to. */
struct link_owner {
    void *owner;
    void (*ended)(void *owner); /* it is over */
    int (*redial)(void *owner); /* another connection to the emulator, or -errno; NULL: none */
};

/* Begins to serve `client` over `emulator`, both consumed. With `human`, it is a
 * monitor for people, not for programs. -errno. */
int link_begin(struct relay *relay, int client, int emulator, bool human,
               const struct link_owner *owner);

/* QEMU can lose a client that connects in the very moment of its start: it accepts it
 * and never greets. Connects anew where nothing has been said for long. To be called
 * by the alarm; sets it where there is somebody to look after. */
void links_redial(struct relay *relay);

/* The helper has done this errand, which is consumed. */
void link_errand_done(struct errand *errand);

/* Tells those who asked for events. */
void link_event(struct relay *relay, const struct fdset_event *event);

/* Hangs up on all. */
void links_end(struct relay *relay);
