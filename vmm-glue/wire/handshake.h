/* SPDX-License-Identifier: MIT */
/* How a connection begins and ends, and is made anew. */
#pragma once

#include "wire/connection.h"

/* Who one is to the helper. NULL for `path` means that there is no way to connect anew, for
 * `name` the program's own, for `owner` none. */
struct identity {
    Fdset__V1__Role role; /* a MANAGER may turn out to be an OBSERVER */
    const char *path, *name, *owner;
};

/* Connects to a socket by path. With `wait` it waits for a place among those who connect,
 * else it fails with -EAGAIN. Returns the socket, close-on-exec. */
int connection_dial(const char *path, bool wait);

/* The same for a socket that the caller of the library has given: itself, if it can be one. */
int connection_adopt(int socket);

/* An object of `size` bytes, for free(3), which begins with a connection that has shaken hands;
 * the rest of it is zero. Consumes `socket`, also on failure. NULL with `error`: it may be
 * -errno from the two above, which that is then. */
void *connection_new(size_t size, int socket, const struct identity *identity, int *error);

/* Hangs up: for the parent's socket too, whoever has a copy of it. In a child,
 * only closes the child's copy. */
void connection_close(struct connection *connection);

/* Goes on under another number than the socket has now, which the caller then has, still
 * open. Returns 0 or -errno; nothing said. */
int connection_move(struct connection *connection);

/* With the lock held: sends a Hello; and takes in what has come for its waiter. */
int hello_send(struct connection *connection, struct waiter *waiter);
int hello_read(struct connection *connection, const struct waiter *waiter);

/* Attaching to a restarted helper: <fdset/reconnect.h>, by reconnect.c. */

/* Turns reconnecting on, or, with NULL, off. */
int connection_set_reconnect(struct connection *connection, const struct fdset_reconnect *plan);

/* With the lock held, for a connection that is broken: goes on with what is to be done, or
 * waits until there is something to do, for `until` at most. Returns as pump(). */
int reconnect(struct connection *connection, const struct timespec *until);
