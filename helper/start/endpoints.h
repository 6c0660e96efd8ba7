/* SPDX-License-Identifier: MIT */
/* Which VMM sockets are one VM, what it is called, and what is kept for it. */
#pragma once

#include "start/options.h"

/* Reads what follows a socket's path, number or name: "name=vm1,leases=64", which it cuts
 * apart and borrows; NULL is nothing. Returns 0, or -errno with a sentence. */
int socket_words(struct socket_option *socket, char *words, struct refusal *refusal);

/* Cuts `text` off at its first comma, with each doubled one made one. Returns what follows, or
 * NULL. */
char *cut_words(char *text);

/* Gives each VMM socket its endpoint, where sockets of the same name share one, and each that
 * has no name a name. Makes the limits that nobody asked for large enough for all. Returns 0,
 * or -errno with a sentence. */
int endpoints_plan(struct start_options *options, struct refusal *refusal);
