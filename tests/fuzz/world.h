/* SPDX-License-Identifier: MIT */
/* The helper without its process: service, sessions, listeners and loop as they
 * ship, real sockets and real descriptors, but no sandbox, a clock that stands
 * still unless told otherwise, and in the place of the settle threads a table of
 * jobs that end when the input says so. */
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include "connection/listener.h"
#include "fdset.pb-c.h"
#include "fuzz.h"
#include "requests/state.h"

#define WORLD_PEERS 8
#define PEER_LEASES 64

/* An open that a peer was given. */
struct owned {
    uint64_t lease;
    int fd;
};

/* The other end of a connection. */
struct peer {
    int socket; /* -1: not connected */
    enum role role;
    uint32_t serial;
    uint64_t last_event;
    struct owned leases[PEER_LEASES];
    uint32_t lease_count;
};

struct world {
    struct service service;
    struct manager_policy policy;
    struct listener listeners[3];
    struct sockaddr_un addresses[3];
    socklen_t address_sizes[3];
    struct peer peers[WORLD_PEERS];
};

/* Makes a helper with small limits, and no peer. */
void world_begin(struct world *world);

/* Hangs up everything, removes everything, and checks that nothing is left. */
void world_end(struct world *world);

/* One turn of the loop, as main() takes it. */
void world_turn(struct world *world);

/* The same with only so many free descriptors left to the helper. */
void world_turn_starved(struct world *world, unsigned free);

void world_pass_time(uint64_t milliseconds);

/* The jobs of the settle threads: finishes that of this thread, if it has one.
 * `may_block` is what an inspection finds. */
void settle_finish(struct settle *settle, unsigned thread, bool may_block);

/* ------------------------------------------------------------------- peers */

/* Connects through the listener, or as by an inherited socket; with a small
 * buffer, the helper's replies soon do not fit in it. */
void peer_connect(struct world *world, struct peer *peer, enum role role, bool inherited,
                  bool small);
void peer_hang_up(struct peer *peer);

/* Sends bytes with copies of `count` files (files.c), without waiting. */
void peer_send(struct peer *peer, const uint8_t *bytes, size_t length, const uint8_t *files,
               size_t count);

/* Reads up to `most` replies, checks them and keeps what was opened. */
void peer_read(struct world *world, struct peer *peer, unsigned most);

/* Closes one of its leases, and says so. */
void peer_close_lease(struct peer *peer, unsigned which);

/* What a VMM may do with what it has opened: flags and locks. */
void peer_use_lease(struct world *world, struct peer *peer, unsigned which, uint8_t how);

/* ---------------------------------------------------------------- requests */

/* Builds a well-formed request from the input, with values that mean something
 * more often than not, and sends it. */
void request_send(struct peer *peer, struct input *input);

/* Every kind of request can be built, also one that no file of the corpus asks for. */
void request_try_all(void);

/* ------------------------------------------------------------------- files */

#define FILE_KINDS 20

/* A descriptor of this kind, the caller's, with an open file description of its
 * own; -1 where there is none. The socket of kind 12 is `socket`. */
int file_open_kind(unsigned kind, int socket);
