/* SPDX-License-Identifier: MIT */
/* All of a block layer that changes: open, close, and reopening while requests come in. */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* open(2) has become this. Where images may have ordinary paths too, this is the place
 * to look at the path and to call the one or the other. */
static int image_open(struct disk *disk, bool read_only) {
    int flags = (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
    return fdset_open_wait(disk->vmm, disk->path, flags, disk->wait_ms);
}

int disk_open(struct disk *disk, bool read_only) {
    pthread_rwlock_init(&disk->lock, NULL);
    disk->fd = image_open(disk, read_only);
    if (disk->fd < 0)
        return disk->fd;
    /* The file's size, or a block device's. All that share the descriptor share its
     * offset as well: nothing here relies on it. */
    off_t size = lseek(disk->fd, 0, SEEK_END);
    disk->size = size < 0 ? 0 : (uint64_t)size;
    disk->read_only = read_only;
    return 0;
}

/* First the new one, then away with the old: in between the VMM has both, which the
 * helper allows as both are this VMM's. The mode is a matter of which member serves, and
 * whether there is one is the manager's decision. */
int disk_reopen(struct disk *disk, bool read_only) {
    if (disk->read_only == read_only)
        return 0;
    int fd = image_open(disk, read_only);
    if (fd < 0)
        return fd;
    pthread_rwlock_wrlock(&disk->lock); /* requests under way end, new ones wait */
    int old = disk->fd;
    if (read_only)
        fdatasync(old);
    disk->fd = fd;
    disk->read_only = read_only;
    pthread_rwlock_unlock(&disk->lock);
    fdset_close(disk->vmm, old); /* close(2) has become this */
    return 0;
}

void disk_close(struct disk *disk) {
    pthread_rwlock_wrlock(&disk->lock);
    fdset_close(disk->vmm, disk->fd);
    disk->fd = -1;
    pthread_rwlock_unlock(&disk->lock);
}

bool disk_is_read_only(struct disk *disk) {
    pthread_rwlock_rdlock(&disk->lock);
    bool read_only = disk->read_only;
    pthread_rwlock_unlock(&disk->lock);
    return read_only;
}

static bool is_inside(const struct disk *disk, size_t length, uint64_t offset) {
    return offset <= disk->size && length <= disk->size - offset;
}

int disk_read(struct disk *disk, void *bytes, size_t length, uint64_t offset) {
    int error = is_inside(disk, length, offset) ? 0 : -EINVAL;
    pthread_rwlock_rdlock(&disk->lock);
    for (size_t done = 0; !error && done < length;) {
        ssize_t more = pread(disk->fd, (char *)bytes + done, length - done, (off_t)(offset + done));
        if (more <= 0)
            error = more < 0 ? -errno : -EIO; /* the file has become shorter */
        else
            done += (size_t)more;
    }
    pthread_rwlock_unlock(&disk->lock);
    return error;
}

int disk_write(struct disk *disk, const void *bytes, size_t length, uint64_t offset) {
    int error = is_inside(disk, length, offset) ? 0 : -EINVAL;
    pthread_rwlock_rdlock(&disk->lock);
    if (disk->read_only)
        error = -EPERM;
    for (size_t done = 0; !error && done < length;) {
        ssize_t more =
            pwrite(disk->fd, (const char *)bytes + done, length - done, (off_t)(offset + done));
        if (more < 0)
            error = -errno;
        else
            done += (size_t)more;
    }
    pthread_rwlock_unlock(&disk->lock);
    return error;
}

int disk_flush(struct disk *disk) {
    pthread_rwlock_rdlock(&disk->lock);
    int error = fdatasync(disk->fd) < 0 ? -errno : 0;
    pthread_rwlock_unlock(&disk->lock);
    return error;
}
