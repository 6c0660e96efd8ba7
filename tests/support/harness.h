/* SPDX-License-Identifier: MIT */
/* Starts the real helper in its real sandbox, and sees that it ends well.
 *
 *     static void test_something(void **state) {
 *         struct helper *helper = helper_start(NULL);
 *         client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
 *         struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
 *         ...
 *     }
 *
 * Everything that a test makes by these functions is put away after it. Then it
 * is checked that nothing has leaked: see helper_expect_clean(); when its VMM hangs
 * up, it ends with status 0; and the test has left no descriptor of its own behind.
 *
 * FDSET_TEST_HELPER names the helper, FDSET_TEST_WRAPPER what to run it under. */
#pragma once

#include "client.h"
#include "opening.h"
#include "oracle.h"
#include "sets.h"

#include <fcntl.h>
#include <sys/types.h>

struct helper {
    pid_t pid;
    struct client *vmm;     /* inherited by the helper; it ends when this hangs up */
    struct client *manager; /* inherited as well */
    struct client *clients; /* these and all others */
    int descriptors;        /* that it had open when ready, or -1: see below */
};

int harness_begin(void **state);
int harness_end(void **state);

/* What a test has left, also one that failed half-way. */
void harness_put_away(void);

#define helper_test(function) cmocka_unit_test_setup_teardown(function, harness_begin, harness_end)

/* Starts a helper with further options (ended by NULL; may be NULL) and waits
 * until it is locked in. One at a time. */
struct helper *helper_start(const char *const *options);

/* The same with descriptors (ended by -1) that stay open in it. */
struct helper *helper_start_with(const char *const *options, const int *inherited);

/* Connects one more client, by path, and says Hello. `role` is ROLE(VMM), ... */
struct client *helper_connect(struct helper *helper, int role, const char *name);

/* The same without the Hello. */
struct client *helper_connect_silent(struct helper *helper, int role);

/* A manager with an owner's label. */
struct client *helper_connect_owner(struct helper *helper, const char *name, const char *owner);

/* Hangs up, and returns when the helper has dealt with it. */
void client_leave(struct helper *helper, struct client *client);

/* Hangs up, and frees it now: for tests that have thousands of them. */
void helper_forget(struct helper *helper, struct client *client);

/* The path of the socket for a role; valid until the next call. */
const char *helper_socket_path(int role);

/* Hangs up everything that is left, and expects the helper to end with status 0. */
void helper_end(struct helper *helper);

/* Waits for the helper's end and returns its status as a shell would have it. */
int helper_wait(struct helper *helper);

/* How many descriptors the helper has open, or -1 where we may not look: the
 * helper is not dumpable, so that takes root. */
int helper_descriptors(struct helper *helper);

/* Its descriptors now, by number and by what they are, are what must be left: to be
 * called when it is ready. */
void helper_remember(struct helper *helper);

/* Hangs up all but the first VMM and manager, takes every set and lease away, and
 * checks that nothing is left: no descriptor but those remembered, no set, member,
 * lease or hold; and that every open and every add has its end in the totals. */
void helper_expect_clean(struct helper *helper);

/* Lowers the helper's RLIMIT_NOFILE from outside; 0 puts it back. Skips the test
 * where the helper is not ours to do that to. */
void helper_limit_descriptors(struct helper *helper, int number);

/* That many of its descriptors are of the file that `fd` is. Nothing is checked
 * where we may not look. */
void assert_held(struct helper *helper, int fd, int times);

/* --------------------------------------------------------- other programs */

/* Runs the helper with exactly these arguments until it ends. Returns its
 * status as a shell would have it and its output, stdout and stderr as one. The
 * descriptors in `inherited` (ended by -1, may be NULL) stay open in it. */
int helper_run(const char *const *arguments, const int *inherited, char *output, size_t size);

/* -------------------------------------------------------- files of a test */

/* Opens a file of the test's own directory; made if it is not there. The
 * harness closes it, and removes the directory, at the test's end. */
int file_open(const char *name, int flags);
const char *file_path(const char *name);

/* Hands a descriptor to the harness, which closes it at the test's end. Returns it. */
int harness_keep(int fd);

/* Closes one that the harness keeps. */
void harness_close(int fd);

/* Both are the same open file description. Changes its offset. */
bool same_description(int one, int other);

/* `fd` is a descriptor of the very description of `original`, whose file, access
 * mode and status flags were those of `as_added` when it was added. */
void assert_serves(int fd, int original, int flags);
