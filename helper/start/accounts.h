/* SPDX-License-Identifier: MIT */
/* Users and groups, by number or by name.
 *
 * Names are those of /etc/passwd and /etc/group only: other sources (nsswitch.conf) would
 * load foreign code into the helper. Those have numbers. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* A decimal id, or a name. Return false where there is no such. The login group of a name
 * goes to `login`, which may be NULL and keeps its value with a number. */
bool account_user(const char *text, uid_t *uid, gid_t *login);
bool account_group(const char *text, gid_t *gid);
