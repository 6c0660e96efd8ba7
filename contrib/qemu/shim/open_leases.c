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
    struct set_path set;
};

static struct open_lease leases[MAX_OPEN_LEASES];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool is_current(struct fdset_vmm *vmm, const struct open_lease *lease) {
    return lease->lease && fdset_lease(vmm, lease->fd) == lease->lease;
}

void open_leases_note(struct fdset_vmm *vmm, const struct set_path *set, int fd) {
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < MAX_OPEN_LEASES; i++) {
        if (is_current(vmm, &leases[i]))
            continue;
        leases[i] = (struct open_lease){.fd = fd, .lease = fdset_lease(vmm, fd), .set = *set};
        break;
    }
    marks_clear(fd, MARK_LOCKED);
    marks_set(fd, MARK_LEASE);
    pthread_mutex_unlock(&lock);
}

void open_leases_note_copy(struct fdset_vmm *vmm, int fd, int copy) {
    struct open_lease known = {.lease = 0};

    if (fd == copy)
        return;
    pthread_mutex_lock(&lock);
    marks_set(copy, MARK_LEASE);
    for (size_t i = 0; i < MAX_OPEN_LEASES && !known.lease; i++)
        if (leases[i].fd == fd && is_current(vmm, &leases[i]))
            known = leases[i];
    pthread_mutex_unlock(&lock);
    if (known.lease)
        open_leases_note(vmm, &known.set, copy);
    if (marks_have(fd, MARK_LOCKED))
        marks_set(copy, MARK_LOCKED);
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
    marks_clear_all(MARK_LEASE | MARK_LOCKED);
}
