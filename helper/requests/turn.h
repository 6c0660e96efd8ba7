/* SPDX-License-Identifier: MIT */
/* A turn of the loop: who has sent something is served, who takes again gets what was kept
 * back, who has gone is done with. */
#pragma once

#include "requests/state.h"

/* Takes all memory. Returns 0 or -errno. */
int service_init(struct service *service, const struct limits *limits);

/* Ends all that the session has, and hangs up. The object lives until turn_end(). */
void session_end(struct session *session);

/* Ends the sessions whose peer was found gone in this turn of the loop, and
 * frees those that have ended. */
void turn_end(struct service *service);

/* Tries again to send what time alone lets through. */
void turn_resend(struct service *service);
