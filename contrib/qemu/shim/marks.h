/* SPDX-License-Identifier: MIT */
/* What a descriptor of the program may be, to be read without a lock or system call. */
#pragma once

#include <stdbool.h>

enum mark {
    MARK_LEASE = 1,    /* a lease, or a duplicate of one */
    MARK_PORTAL = 2,   /* a portal */
    MARK_MONITOR = 4,  /* our end of a pair, which stands where a monitor's client was */
    MARK_GREETED = 16, /* a monitor's client, which has been greeted and not read from yet */
    MARK_LOCKED = 8,   /* the program has locked something by it: a lease */
};

/* Of this number and higher ones nothing is known. */
#define MARKS_END 65536

/* May `fd` be one of these? If not, it is not. */
bool marks_have(int fd, unsigned marks);

void marks_set(int fd, enum mark mark);
void marks_clear(int fd, unsigned marks);

/* Clears it; returns whether it was set. For one thread of several. */
bool marks_take(int fd, enum mark mark);

/* Every descriptor that was ever marked is below this. */
int marks_limit(void);

/* No descriptor is one of these. */
void marks_clear_all(unsigned marks);
