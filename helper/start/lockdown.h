/* SPDX-License-Identifier: MIT */
/* The way into the sandbox: descriptors to the numbers that the filter knows, the stages of
 * confine/ in their order, and the settle threads where they are due between them. */
#pragma once

#include "requests/state.h"
#include "start/options.h"
#include "start/signals.h"
#include "start/sockets.h"

/* What stays open, beside the service's own. */
struct kept {
    const struct sockets *sockets;
    const struct signals *signals;
    int notify, ready; /* -1 for none */
};

/* Closes the helper in, or ends it, and says to the options' managers what is known of users
 * from then on. From here on there is no new memory. */
void lockdown(struct service *service, struct start_options *options, const struct kept *kept,
              struct confine_report *report);
