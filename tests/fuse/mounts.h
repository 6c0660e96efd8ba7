/* SPDX-License-Identifier: MIT */
/* File systems that a test can tell to stop answering; each has a server of its
 * own, stuck-fs. FDSET_TEST_STUCK_FS names that program.
 *
 * What is stopped is stopped for the helper only: the test's own calls are
 * always answered. All is put away after each test, also where it has failed:
 * then whatever waits for a server gets an error. */
#pragma once

#include "harness.h"
#include "stuck-fs.h"

struct mount {
    char path[128];
    int control;
    pid_t server; /* 0: none */
};

/* Where this machine has no FUSE, or we may not use it, says so and ends the
 * program as skipped. Else: from now on this process has mounts of its own,
 * which nobody else sees and which end with it. */
void mounts_prepare(void);

int mounts_begin(void **state);
int mounts_end(void **state);

#define mounts_test(function) cmocka_unit_test_setup_teardown(function, mounts_begin, mounts_end)

/* One more file system, put away after the test. To be made before any is
 * stopped: a server's process begins by closing copies of what the test has open. */
struct mount *mount_new(void);

/* The same without allow_other: it answers this user's processes alone. */
struct mount *mount_new_private(void);

/* Opens its file of this number. The harness closes it. */
int mount_open(const struct mount *mount, int file, int flags);

/* Whether a new description of the file could not lock this byte for writing. */
bool mount_locked(const struct mount *mount, int file, off_t byte);

void mount_stop(struct mount *mount, enum stuck_operation operation);
void mount_go_on(struct mount *mount, enum stuck_operation operation);

/* What was withheld fails with this errno; from now on all is answered. */
void mount_fail(struct mount *mount, enum stuck_operation operation, int error);

/* Waits until the helper has asked for this, since it was stopped or last waited
 * for. Returns the thread that asked last. */
pid_t mount_await(struct mount *mount, enum stuck_operation operation);

/* Nothing of it is answered ever after; who waits for it gets an error. */
void mount_abort(struct mount *mount);
