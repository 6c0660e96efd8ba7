/* SPDX-License-Identifier: MIT */
/* What is measured of fdset-helper, through libfdset as an emulator uses it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <fdset/vmm.h>

struct contender;

/* The path of a set, in a buffer of the caller's. */
#define SET_PATH_BYTES 32
const char *set_path(size_t set, char path[SET_PATH_BYTES]);

/* A helper with sets 0 to count-1, of one member each, and its VMM. */
struct ours {
    struct fdset_vmm *vmm;
    size_t set_count;
    char (*paths)[SET_PATH_BYTES];
    int manage_fd; /* before it is started: as in fdset_spawn_options */
};

/* Another open of the file, as members must not be duplicates. The caller's to close. */
int open_anew(int fd);

/* `arguments` as in fdset_spawn_options, may be NULL. Descriptors are borrowed. */
void ours_start(struct ours *ours, const int *descriptors, size_t count,
                const char *const *arguments);
void ours_stop(struct ours *ours);

/* Closes leases, and waits until the helper has heard of it. */
void ours_close_all(struct fdset_vmm *vmm, const int *descriptors, size_t count);

/* ------------------------------------------------------- for take_turns()
 * Context: struct ours. Sets are opened one after the other: what an emulator does as it
 * starts, and no set then is held already, which would cost a system call more. Leases
 * are closed after the round, but for open_close. */

void measure_open(struct contender *contender, double *samples, size_t count);
void measure_open_close(struct contender *contender, double *samples, size_t count);

/* Number: how many at once, one of each set; the time is each one's. */
void measure_open_many(struct contender *contender, double *samples, size_t count);
void measure_open_many_close(struct contender *contender, double *samples, size_t count);

/* Number: how many are submitted before the first outcome is asked for. */
void measure_pipelined(struct contender *contender, double *samples, size_t count);

/* The i-th of a series that visits all of 0 to count-1, neighbours far apart, so
 * that of many not always the same few are asked for. */
size_t scattered(size_t i, size_t count);
