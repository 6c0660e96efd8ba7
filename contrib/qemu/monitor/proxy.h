/* SPDX-License-Identifier: MIT */
/* All of it but the command line, so that it can be run by others than main(). */
#pragma once

#include "options.h"

/* Serves until there is nobody left to serve. Returns the exit status. */
int proxy_run(struct options *options);
