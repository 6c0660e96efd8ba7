/* SPDX-License-Identifier: MIT */
/* The helper, as the relay knows it: a thread of its own makes the calls, so that
 * a helper that does not answer holds up nobody but those who ask it. A call that may
 * wait for a file system has another one, so that it holds up nobody else. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <fdset/manager.h>
#include <jansson.h>

/* Something to ask of the helper. */
struct job {
    struct job *next;
    uint64_t link; /* who asked: link.h */

    /* Called in the helper's thread: fills in `result` or `error`. */
    void (*run)(struct fdset_manager *manager, struct job *job);

    /* The arguments; each is used by some. */
    int64_t set, member;
    bool has_set, has_member;
    bool sets_events, enable; /* whether the link is told of events from now on */
    bool waits;               /* it may take as long as a file system does */
    char *opaque;             /* NULL: none */
    int fd;                   /* owned; -1: none */

    char *id;         /* normalised JSON of the command's id; NULL: none */
    json_t *result;   /* NULL where it failed: */
    char error[1024]; /* for people */
};

/* A job without arguments; NULL where memory ran out. */
struct job *job_new(void);
void job_free(struct job *job);

/* What happened, and when. */
struct notice {
    struct fdset_event event;
    int64_t seconds;
    int32_t microseconds;
};

struct helper;

/* Connects to the manage socket at `path`, or consumes the connected `socket`.
 * With a path, it connects again when another helper is there. -errno with
 * fdset_error_text(). */
int helper_open(struct helper **helper, const char *path, int socket);

/* Descriptor that is readable while helper_done() or helper_notice() has something. */
int helper_fd(const struct helper *helper);

/* Call when it is, before those two. */
void helper_acknowledge(struct helper *helper);

/* Hands over a job; it comes back from helper_done(). One that waits may be overtaken. */
void helper_submit(struct helper *helper, struct job *job);

/* The next job that is done, which is the caller's; NULL: none. */
struct job *helper_done(struct helper *helper);

/* The next event; false: none. Only after a job has called helper_subscribe(). */
bool helper_notice(struct helper *helper, struct notice *notice);

/* For a job's run(): events are told from now on. -errno. */
int helper_subscribe(struct fdset_manager *manager);
