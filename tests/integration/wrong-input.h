/* SPDX-License-Identifier: MIT */
/* The table of wrong-input.c: what comes of wrong input. */
#pragma once

#include <stddef.h>

enum aspect { MISSING, RANGE, LONG, TWICE, STATE, ASPECTS };

struct row {
    const char *field; /* Message.field */
    enum aspect aspect;
    int role;
    const char *request; /* with serial and descriptors added, but where it has them */
    int code, error;     /* of the refusal; 0 where it is accepted, none the less */

    const char *shows; /* then this is in the answer; NULL: there is none */
    const char *fds;   /* see descriptors_of() */
    const char *first; /* what the manager asks before */
    const char *also;  /* what the same client may do after */
    const char *then;  /* what the manager asks at the end, and what that shows */
    const char *then_shows;
};

/* Each row begins with the same sets: 1, called disk, of one file, open for
 * reading and writing; 2 of another, open for reading, which a VMM has open.
 * MEMBER is the member of the first. Where LEASE stands, the row's VMM has that
 * lease of it. */
#define DISK "/dev/fdset/1"

extern const struct row rows[];
extern const size_t row_count;

/* Of each request one that is right, for the roles and the times that are not:
 * who may ask it, as letters. */
struct request {
    const char *name, *text, *roles;
};

extern const struct request requests[];
extern const size_t request_count;
