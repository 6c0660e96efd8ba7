/* SPDX-License-Identifier: MIT */
/* One open, asked for now or a while ago. */
#pragma once

#include "connection/reply.h"
#include "requests/state.h"

/* The set of a path /dev/fdset/ID or /dev/fdset/NAME, or NULL and a refusal. For the VMMs of an
 * endpoint there are no sets of others; NULL: for whoever sees all. */
struct fdset *find_path(const struct model *model, const struct endpoint *endpoint,
                        const char *path, struct refusal *refusal);

/* Gives out a lease. 0, or -errno with a refusal; -EAGAIN where the member is being
 * settled (nothing else gives that). */
int open_path(struct service *service, struct session *session, const char *path, int flags,
              struct lease **lease, struct refusal *refusal);

/* Counts an open that has failed, and tells of it. */
void open_denied(struct service *service, struct session *session, const char *path, int flags,
                 const struct refusal *refusal);

/* What the VMM is told of its lease. */
void opened_fill(Fdset__V1__Opened *opened, const struct lease *lease);
void reply_opened(struct session *session, uint32_t serial, struct lease *lease);
