/* SPDX-License-Identifier: MIT */
/* Descriptors that the helper inherits, and how many it may have. */
#pragma once

#include <stddef.h>

#include "requests/state.h"
#include "start/options.h"

/* Beside members, connections and listeners: standard streams, epoll, the settle threads'
 * sockets, readiness, one packet of descriptors being looked at and one being closed, a
 * connection to turn away. */
#define FIXED_DESCRIPTORS (32 + SPARE_MEMBERS)

/* Numbers that are left when all that the limits promise is there. */
size_t descriptors_spare(const struct start_options *options);

/* Makes room for all that the limits promise. The defaults give way where the system allows
 * less; what was asked for does not, and ends the helper. */
void descriptors_fit(struct start_options *options);

/* Duplicates one that may have any number to a low one, as the sandbox wants it, which closes
 * the original with all that is not wanted. Where it cannot, the helper ends: `what` it is. */
int inherited_take(int fd, const char *what);

/* --add-fd fd=N,set=M[,opaque=S]. */
option_apply option_add_fd;

/* Makes members of all those, or ends the helper. */
void add_fds(struct service *service, const struct start_options *options);
