/* SPDX-License-Identifier: MIT */
/* For the tests of libfdset-preload.so, which must be preloaded into the test
 * itself: a helper with three sets, and what it knows. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <sys/types.h>

#include <fdset/manager.h>

/* Set 1 has a read-only and a read-write member of a file, set 2 a write-only
 * one of another, set 3 a read-only one of a third. */
#define DISK    "//dev/fdset/1"
#define LOG     "//dev/fdset/2"
#define CDROM   "//dev/fdset/3"
#define NOTHING "//dev/fdset/999"

/* How often the helper is asked for something that is bound to happen. */
#define PATIENCE 20000

extern char directory[80]; /* everything is in it */
extern char manage_path[96], vmm_path[96];
extern struct fdset_manager *manager;
extern struct stat disk; /* of the file behind set 1 */

/* For cmocka: starts and ends it all. */
int group_begin(void **state);
int group_end(void **state);

/* A file in the directory, made if it is not there. */
int file_open(const char *name, int flags);

/* The helper's counts, with all that this process has closed. */
struct fdset_totals totals(void);

#define assert_leases(count) assert_int_equal(totals().leases, count)

/* To end each test with. */
int no_leases(void **state);

/* It is open, and the file behind set 1. */
void assert_is_disk(int fd);

/* The shim's socket, the only one that is connected to the helper's VMM path. */
int socket_find(void);

/* Waits for a child that ends with 0 if all was well with it. */
void assert_child_well(pid_t child);

/* Runs this program once more, with one variable set. */
pid_t run_again(const char *name, const char *value, const char *what, const char *argument);
