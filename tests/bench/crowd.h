/* SPDX-License-Identifier: MIT */
/* A helper that holds many: what then costs more? */
#pragma once

#include <stddef.h>

#include <fdset/manager.h>
#include <fdset/vmm.h>

/* A helper with sets 0 to held-1, of one member each, its VMM and its manager. */
struct crowd {
    struct fdset_vmm *vmm;
    struct fdset_manager *manager;
    size_t held;
    int fd; /* borrowed: what all members are */
};

void crowd_start(struct crowd *crowd, int fd, size_t held);

/* One with no set and the usual limits. */
void crowd_start_empty(struct crowd *crowd, int fd);

/* Waits until the helper has looked at the file systems of what was added: it is
 * not itself before. `last_set` was added last, and nobody has it open. */
void crowd_settle_down(struct crowd *crowd, size_t last_set);

/* As crowd_start() in a helper that was built to hold more members than there can be
 * descriptors: they share one. See stuffed.c. */
void crowd_start_stuffed(struct crowd *crowd, const char *helper, int fd, size_t held);
void crowd_stop(struct crowd *crowd);

/* ------------------------------------------------------ for take_turns(); context: the crowd. */

struct contender;

void measure_crowd_open(struct contender *contender, double *samples, size_t count);
void measure_add(struct contender *contender, double *samples, size_t count);
void measure_replace(struct contender *contender, double *samples, size_t count);
void measure_remove(struct contender *contender, double *samples, size_t count);
void measure_query(struct contender *contender, double *samples, size_t count); /* of one set */
