/* SPDX-License-Identifier: MIT */
/* The notes of what is open, by set. */
#include "open_leases.h"

#include <pthread.h>
#include <string.h>

/* More disks than a machine has; what does not fit is found by opening. */
#define MAX_OPEN_LEASES 256

/* A note is never taken back: it is over when `fd` is not `lease` any more. */
struct open_lease {
    int fd;
    uint32_t lease; /* 0: an empty slot */
    bool locked;    /* the program has locked something by it */
    struct set_path set;
};

static struct open_lease leases[MAX_OPEN_LEASES];

/* A bit for each descriptor that may be a lease, to be read without the lock. Those
 * above are looked up. */
#define MAX_MARKS 65536
static _Atomic uint64_t marks[MAX_MARKS / 64];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int limit;

bool open_leases_may_be(int fd) {
    return fd >= MAX_MARKS || (fd >= 0 && marks[fd / 64] >> fd % 64 & 1);
}

void open_leases_end(int fd) {
    if (fd < MAX_MARKS)
        marks[fd / 64] &= ~(UINT64_C(1) << fd % 64);
}

/* With the lock held. */
static void mark(int fd) {
    if (fd >= limit)
        limit = fd + 1;
    if (fd < MAX_MARKS)
        marks[fd / 64] |= UINT64_C(1) << fd % 64;
}

static bool is_current(struct fdset_vmm *vmm, const struct open_lease *lease) {
    return lease->lease && fdset_lease(vmm, lease->fd) == lease->lease;
}

/* The note of `fd`, or NULL. With the lock held. */
static const struct open_lease *note_find(struct fdset_vmm *vmm, int fd) {
    for (size_t i = 0; i < MAX_OPEN_LEASES; i++)
        if (leases[i].fd == fd && is_current(vmm, &leases[i]))
            return &leases[i];
    return NULL;
}

void open_leases_note(struct fdset_vmm *vmm, const struct set_path *set, int fd) {
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < MAX_OPEN_LEASES; i++) {
        if (is_current(vmm, &leases[i]))
            continue;
        leases[i] = (struct open_lease){.fd = fd, .lease = fdset_lease(vmm, fd), .set = *set};
        break;
    }
    mark(fd);
    pthread_mutex_unlock(&lock);
}

void open_leases_note_lock(struct fdset_vmm *vmm, int fd) {
    uint32_t lease = fdset_lease(vmm, fd);

    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < MAX_OPEN_LEASES && lease; i++)
        leases[i].locked |= leases[i].lease == lease;
    pthread_mutex_unlock(&lock);
}

bool open_leases_is_locked(struct fdset_vmm *vmm, int fd) {
    pthread_mutex_lock(&lock);
    const struct open_lease *note = note_find(vmm, fd);
    bool locked = note && note->locked;
    pthread_mutex_unlock(&lock);
    return locked;
}

void open_leases_note_copy(struct fdset_vmm *vmm, int fd, int copy) {
    struct open_lease known = {.lease = 0};

    if (fd == copy)
        return;
    pthread_mutex_lock(&lock);
    mark(copy);
    const struct open_lease *note = note_find(vmm, fd);
    if (note)
        known = *note;
    pthread_mutex_unlock(&lock);
    if (known.lease)
        open_leases_note(vmm, &known.set, copy);
    if (known.locked)
        open_leases_note_lock(vmm, copy);
}

int open_leases_find(struct fdset_vmm *vmm, const struct set_path *set) {
    int fd = -1;

    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < MAX_OPEN_LEASES && fd < 0; i++)
        if (strcmp(leases[i].set.text, set->text) == 0 && is_current(vmm, &leases[i]))
            fd = leases[i].fd;
    pthread_mutex_unlock(&lock);
    return fd;
}

int open_leases_limit(void) {
    return limit;
}

void open_leases_forget_all(void) {
    pthread_mutex_init(&lock, NULL);
    memset(leases, 0, sizeof(leases));
    memset((void *)marks, 0, sizeof(marks));
    limit = 0;
}
