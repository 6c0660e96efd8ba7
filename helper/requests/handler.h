/* SPDX-License-Identifier: MIT */
/* What each kind of request has: a function that serves it; and those of a VMM. */
#pragma once

#include "connection/reply.h"
#include "requests/state.h"

/* Returns 0 when the reply is sent (or none is due, or not yet), or -errno and a refusal,
 * which the caller sends. */
typedef int serve_function(struct service *service, struct session *session,
                           const Fdset__V1__Request *request, struct refusal *refusal);

#define PROTOCOL_VERSION 1

/* Who is at the other end, and what both sides know. */
serve_function serve_hello;

/* What a VMM asks, without opening and by opening. */
serve_function serve_look;
serve_function serve_open, serve_open_many, serve_close, serve_hold, serve_unhold;
