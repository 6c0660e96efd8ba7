/* SPDX-License-Identifier: MIT */
/* A real helper, locked in, for a test program to look at: one for all of its
 * tests. FDSET_TEST_HELPER names it, SANDBOX_STARTER the program that starts it
 * (starter.c). */
#pragma once

#include "harness.h"

#include <stdio.h>

#include "confine/confine.h"

struct subject {
    pid_t pid;        /* 0 where this machine does not let us start it */
    uid_t uid;        /* what it should have become */
    int disk;         /* a member that it holds */
    char ready[1000]; /* what it said of itself at its start */
    char error[20];   /* the link of its standard error */

    /* What it answered to a Query. */
    struct {
        char name[32], detail[160];
        bool whole;
    } stages[CONFINE_MAX_STAGES];
    size_t stage_count;
};

extern struct subject subject;

/* For cmocka's group: `*state` is who starts it ("root", "user", ...). */
int subject_start(void **state);
int subject_end(void **state);

/* Whether that stage holds in full. */
bool subject_holds(const char *stage);
const char *subject_detail(const char *stage);

/* The path of one of its files in /proc; valid until the next call. */
const char *subject_path(const char *name);

/* The value of the line "name: value" of that file; likewise. */
const char *subject_line(const char *path, const char *name);
