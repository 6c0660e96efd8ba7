/* SPDX-License-Identifier: MIT */
/* The example's disk: what an emulator's block layer does with an image, by way of
 * fdset-helper. Here, and in main.c's few lines that begin it, is all of libfdset. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fdset/vmm.h>

struct disk {
    struct fdset_vmm *vmm; /* borrowed */
    const char *path;      /* /dev/fdset/N */
    unsigned wait_ms;      /* for a member that is not there yet */

    pthread_rwlock_t lock; /* a request has it shared; to change what follows, alone */
    int fd;                /* a lease */
    bool read_only;
    uint64_t size;
};

/* Opens disk->path. Returns 0 or -errno, with fdset_error_text(). */
int disk_open(struct disk *disk, bool read_only);

/* Opens it with another mode and goes on with that, while requests come in; where that
 * fails, all is as it was. Returns 0 or -errno. One caller at a time. */
int disk_reopen(struct disk *disk, bool read_only);

/* Gives the lease back when the last request has ended; later ones get -EBADF. */
void disk_close(struct disk *disk);

bool disk_is_read_only(struct disk *disk);

/* From any thread. Return 0 or -errno: -EINVAL for what lies behind the end, -EPERM for
 * a write while it is open read-only. */
int disk_read(struct disk *disk, void *bytes, size_t length, uint64_t offset);
int disk_write(struct disk *disk, const void *bytes, size_t length, uint64_t offset);
int disk_flush(struct disk *disk);
