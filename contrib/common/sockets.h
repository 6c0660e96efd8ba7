/* SPDX-License-Identifier: MIT */
/* Sockets by their paths. */
#pragma once

#include <stdbool.h>
#include <sys/un.h>

/* Returns false where `path` is longer than a socket's can be. */
bool socket_address(struct sockaddr_un *address, const char *path);

/* A socket of `type`, SOCK_SEQPACKET and flags such as SOCK_CLOEXEC, that is connected to
 * `path`. Where `patience_ms` is not 0, it takes no longer, nor does any call on it later:
 * the kernel gives up with EAGAIN. Returns -errno; -ENOTSOCK where something else is there. */
int socket_connect(const char *path, int type, unsigned patience_ms);

/* The same for calls from now on; 0 is for ever. */
void socket_patience(int socket, unsigned milliseconds);
