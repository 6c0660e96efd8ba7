/* SPDX-License-Identifier: MIT */
/* What a manager asks: AddFds, RemoveFd; and, as observers do, Query, Subscribe. */
#pragma once

#include "requests/handler.h"
#include "settle/open_file.h"

serve_function serve_add_fds, serve_remove_fd, serve_query, serve_subscribe;

/* Adds a descriptor from the command line: lifetime KEEP, no connection behind
 * it; reserved for an endpoint, or for all (NULL). Consumes `fd` where it succeeds. */
int service_add_initial(struct service *service, int fd, uint32_t set, const char *opaque,
                        const struct endpoint *reserved, struct refusal *refusal);

/* Notes in an offered member what it is of. */
void member_note(struct member *member, const struct open_file *file);
