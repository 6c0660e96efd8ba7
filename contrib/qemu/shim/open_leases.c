/* SPDX-License-Identifier: MIT */
/* The notes of what is open, by set. */
#include "open_leases.h"

#include "marks.h"

#include <pthread.h>
#include <string.h>

/* More disks than a machine has; what does not fit is found by opening. */
#define MAX_OPEN_LEASES 256

/* A note is never taken back: it is over when `fd` is not `lease` any more. */
struct open_lease {
    int fd;
    uint64_t lease; /* 0: an empty slot */
    bool locked;    /* the program has locked something by it */
    struct set_path set;
};

static struct open_lease leases[MAX_OPEN_LEASES];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
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
    marks_set(fd, MARK_LEASE);
    pthread_mutex_unlock(&lock);
}

void open_leases_note_lock(struct fdset_vmm *vmm, int fd) {
    uint64_t lease = fdset_lease(vmm, fd);

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
    marks_set(copy, MARK_LEASE);
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

void open_leases_forget_all(void) {
    pthread_mutex_init(&lock, NULL);
    memset(leases, 0, sizeof(leases));
    marks_clear_all(MARK_LEASE);
}
