/* SPDX-License-Identifier: MIT */
/* Users and groups on the command line, by number or by name.
 *
 * Names are those of /etc/passwd and /etc/group only: other sources (nsswitch.conf) would
 * load foreign code into the helper. Those have numbers. */
#pragma once

#include <sys/types.h>

/* USER, GROUP: a decimal id, or a name. Who is not there, ends the helper. The login group of
 * a name goes to `login`, which may be NULL and keeps its value with a number. */
uid_t account_user(const char *option, const char *text, gid_t *login);
gid_t account_group(const char *option, const char *text);

/* Cuts the group off USER:GROUP: what follows the colon, or NULL where there is none. */
char *account_cut_group(const char *option, char *text);

/* The end where a user is needed, or where neither is given. */
void die_of_owner(const char *option) __attribute__((noreturn));
