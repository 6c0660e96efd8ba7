/* SPDX-License-Identifier: MIT */
/* All sockets that the helper begins with: its own, inherited ones, and systemd's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "connection/listener.h"
#include "requests/state.h"
#include "start/options.h"

struct sockets {
    struct listener listeners[OPTIONS_MAX_SOCKETS];
    size_t listener_count;

    /* Started by a VMM that it was connected to from birth. */
    bool has_birth_vmm;
};

/* --ROLE PATH, --ROLE-fd N, --ROLE-mode MODE, --ROLE-owner OWNER, --manager-uid UID. */
option_apply option_socket, option_socket_fd, option_mode, option_owner, option_manager_uid;

/* A mode that no socket gets would be believed to protect one: that is the end. */
void sockets_check_access(const struct start_options *options);

/* Adds those that systemd passed, and gives the VMMs' their endpoints, for which there must be
 * room in the limits. Ends the helper where there is no socket. */
void sockets_plan(struct start_options *options);

/* Makes those that have a path, and begins with all. Ends the helper where one cannot be had. */
void sockets_begin(struct sockets *sockets, struct service *service, struct start_options *options);

/* Polls again listeners whose pause is over. Returns whether all are polled. */
bool sockets_resume(struct sockets *sockets);

/* Nobody can connect any more. */
void sockets_close(struct sockets *sockets);
