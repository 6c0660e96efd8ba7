/* SPDX-License-Identifier: MIT */
/* Members that the command line gives: --add-fd fd=N,set=M[,opaque=S]. */
#pragma once

#include "requests/state.h"
#include "start/options.h"

option_apply option_add_fd;

/* Makes members of all, or ends the helper. */
void add_fds(struct service *service, const struct start_options *options);
