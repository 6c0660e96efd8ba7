/* SPDX-License-Identifier: MIT */
/* A helper that has a file of a server which can get stuck, and others that must
 * not notice: what the tests of this room look at. */
#pragma once

#include "mounts.h"

/* Set 1 is of a file that a server can hold up, LOCAL and those after it of
 * files of this machine. */
#define LOCAL  10
#define LOCALS 10

/* A helper with the local sets; `options` as for helper_start(). */
struct helper *scene_start(const char *const *options);

/* Set 1 has been leased and locked, and its server does not answer the unlock.
 * Returns the thread that waits for it. */
pid_t scene_get_stuck(struct helper *helper, struct mount *mount);

/* Opens, locks, checks and closes every local set. Each reply comes while what
 * the caller has stopped is still stopped: nothing here makes that go on. */
void assert_locals_served(struct helper *helper, struct client *vmm);

/* `fd` is of the local set of this index, 0 for the first. */
void assert_local(int index, int fd);

/* A set can be added, opened, closed and removed. */
void assert_manager_served(struct helper *helper);

/* The state of the set's first member. */
int state_of(struct helper *helper, int set);

/* The thread is one of the helper's, and not the one that serves. */
void assert_settle_thread(const struct helper *helper, pid_t thread);

/* One more client, which hears of events of this kind. */
struct client *scene_listen(struct helper *helper, Fdset__V1__EventKind kind);

/* Locks a byte for writing. Returns 0 or -errno. */
#define LOCKED_BYTE 100
int lock_byte(int fd);
