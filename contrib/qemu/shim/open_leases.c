/* SPDX-License-Identifier: MIT */
#include "libc.h"

#include <pthread.h>
#include <string.h>

/* More disks than a machine has; what does not fit is found by opening. */
#define MAX_HOLDINGS 256

/* A note is never taken back: it is over when `fd` is not `lease` any more. */
struct holding {
    int fd;
    uint32_t lease; /* 0: an empty slot */
    bool locked;    /* the program has locked something by it */
    struct set_path set;
};

static struct holding holdings[MAX_HOLDINGS];

/* A bit for each descriptor that may be a lease, to be read without the lock. Those
 * above are looked up. */
#define MAX_MARKS 65536
static _Atomic uint64_t marks[MAX_MARKS / 64];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int limit;

bool holdings_may_be(int fd) {
    return fd >= MAX_MARKS || (fd >= 0 && marks[fd / 64] >> fd % 64 & 1);
}

void holdings_end(int fd) {
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

static bool is_current(struct fdset_vmm *vmm, const struct holding *holding) {
    return holding->lease && fdset_lease(vmm, holding->fd) == holding->lease;
}

void holdings_note(struct fdset_vmm *vmm, const struct set_path *set, int fd) {
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < MAX_HOLDINGS; i++) {
        if (is_current(vmm, &holdings[i]))
            continue;
        holdings[i] = (struct holding){.fd = fd, .lease = fdset_lease(vmm, fd), .set = *set};
        break;
    }
    mark(fd);
    pthread_mutex_unlock(&lock);
}

void holdings_note_lock(struct fdset_vmm *vmm, int fd) {
    uint32_t lease = fdset_lease(vmm, fd);

    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < MAX_HOLDINGS && lease; i++)
        holdings[i].locked |= holdings[i].lease == lease;
    pthread_mutex_unlock(&lock);
}

bool holdings_is_locked(struct fdset_vmm *vmm, int fd) {
    bool found = false;

    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < MAX_HOLDINGS && !found; i++)
        found = holdings[i].fd == fd && holdings[i].locked && is_current(vmm, &holdings[i]);
    pthread_mutex_unlock(&lock);
    return found;
}

void holdings_note_copy(struct fdset_vmm *vmm, int fd, int copy) {
    struct set_path set;
    bool found = false, locked = false;

    if (fd == copy)
        return;
    pthread_mutex_lock(&lock);
    mark(copy);
    for (size_t i = 0; i < MAX_HOLDINGS && !found; i++) {
        found = holdings[i].fd == fd && is_current(vmm, &holdings[i]);
        if (found) {
            set = holdings[i].set;
            locked = holdings[i].locked;
        }
    }
    pthread_mutex_unlock(&lock);
    if (found)
        holdings_note(vmm, &set, copy);
    if (locked)
        holdings_note_lock(vmm, copy);
}

int holdings_find(struct fdset_vmm *vmm, const struct set_path *set) {
    int fd = -1;

    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < MAX_HOLDINGS && fd < 0; i++)
        if (!strcmp(holdings[i].set.text, set->text) && is_current(vmm, &holdings[i]))
            fd = holdings[i].fd;
    pthread_mutex_unlock(&lock);
    return fd;
}

int holdings_limit(void) {
    return limit;
}

void holdings_forget_all(void) {
    pthread_mutex_init(&lock, NULL);
    memset(holdings, 0, sizeof holdings);
    memset((void *)marks, 0, sizeof marks);
    limit = 0;
}
