/* SPDX-License-Identifier: MIT */
/* How the command line is said, and how a wrong one ends the helper. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* What --help says. */
extern const char usage_help[];

/* Says why, and where to read more, and exits with status 2. */
void usage_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* A number from 0 to `most`, or the end. `option` has no dashes, here and elsewhere. */
uint64_t usage_number(const char *option, const char *text, uint64_t most);

/* Users and groups, by number or by name. Names are those of /etc/passwd and /etc/group only:
 * other sources (nsswitch.conf) would load foreign code into the helper. Those have numbers. */

/* USER, GROUP: a decimal id, or a name. Who is not there, ends the helper. The login group of
 * a name goes to `login`, which may be NULL and keeps its value with a number. */
uid_t account_user(const char *option, const char *text, gid_t *login);
gid_t account_group(const char *option, const char *text);

/* Cuts the group off USER:GROUP: what follows the colon, or NULL where there is none. */
char *account_cut_group(const char *option, char *text);

/* The end where a user is needed, or where neither is given. */
void die_of_owner(const char *option) __attribute__((noreturn));
