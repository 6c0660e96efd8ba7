/* SPDX-License-Identifier: MIT */
/* A byte for each number that a descriptor usually has. */
#include "marks.h"

#include <stdatomic.h>

static atomic_uchar all[MARKS_END];
static atomic_int limit;

bool marks_have(int fd, unsigned marks) {
    return fd >= MARKS_END || (fd >= 0 && all[fd] & marks);
}

void marks_set(int fd, enum mark mark) {
    if (fd >= limit)
        limit = fd + 1;
    if (fd >= 0 && fd < MARKS_END)
        atomic_fetch_or(&all[fd], mark);
}

void marks_clear(int fd, unsigned marks) {
    if (fd >= 0 && fd < MARKS_END)
        atomic_fetch_and(&all[fd], ~marks);
}

bool marks_take(int fd, enum mark mark) {
    return fd >= 0 && fd < MARKS_END && atomic_fetch_and(&all[fd], ~mark) & mark;
}

int marks_limit(void) {
    return limit;
}

void marks_clear_all(unsigned marks) {
    for (int fd = 0; fd < limit; fd++)
        marks_clear(fd, marks);
}
