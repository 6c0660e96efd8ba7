/* SPDX-License-Identifier: MIT */
/* What each kind of request has: a function that serves it. */
#pragma once

#include "connection/reply.h"
#include "requests/state.h"

/* Returns 0 when the reply is sent (or none is due, or not yet), or -errno and a refusal,
 * which the caller sends. */
typedef int serve_function(struct service *service, struct session *session,
                           const Fdset__V1__Request *request, struct refusal *refusal);
