/* SPDX-License-Identifier: MIT */
/* systemd's two small protocols, sockets passed at start and readiness; and --ready-fd, one
 * line for whoever started the helper, as soon as it serves. */
#pragma once

#include "connection/session.h"
#include "model/refusal.h"

/* What the sockets of a role are called, by systemd and as an option. */
extern const char *const socket_names[ROLE_OBSERVER + 1];

/* Sockets that the service manager passed (LISTEN_FDS), numbered from 3. */
#define NOTIFY_FIRST_SOCKET 3
#define NOTIFY_MAX_SOCKETS  1024

struct passed_socket {
    enum role role;
    char *words; /* what its name says beside the role, as socket_words() reads it; or NULL */
};

/* How many were passed to this process, 0 if none. Fills in what each is from its name in
 * LISTEN_FDNAMES: "vmm", "vmm,name=vm1". Returns -errno, with a sentence, where one is called
 * otherwise: whoever passed it wants it served. To be called once. */
int notify_sockets(struct passed_socket sockets[NOTIFY_MAX_SOCKETS], struct refusal *refusal);

/* The socket to say READY=1 on, connected before the sandbox takes the file
 * system away: -1 where nobody asked for it. The caller owns it. */
int notify_prepare(void);

/* Says that the helper is ready, with one line of status. */
void notify_ready(int socket, const char *status);

/* Prepares to write to `fd`, which it consumes (standard output stays open). Returns a
 * socket for ready_say(), or -errno. */
int ready_prepare(int fd);

/* Has the line written and the descriptor closed. If the helper ends without it, the
 * descriptor is closed and nothing is written. Consumes the socket; -1 is none. Returns 0
 * or -errno. */
int ready_say(int socket);
