/* SPDX-License-Identifier: MIT */
/* Each system call on a descriptor that is held stands here, and nowhere else. */
#include "settle/open_file.h"

#include <errno.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <linux/magic.h>

#include "model/model.h"

const char open_file_empty_path[1] = "";
const struct flock open_file_unlock_all = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

int open_file_status(int fd, struct statx *status) {
    int result = statx(fd, open_file_empty_path, AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
                       STATX_BASIC_STATS, status);
    return result < 0 ? -errno : 0;
}

int open_file_look(int fd, struct open_file *file) {
    struct statx status;
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return -errno;
    int result = open_file_status(fd, &status);
    if (result < 0)
        return result;
    *file = (struct open_file){
        .flags = flags,
        .type = status.stx_mode & S_IFMT,
        .device = device_pack(status.stx_dev_major, status.stx_dev_minor),
        .device_number = device_pack(status.stx_rdev_major, status.stx_rdev_minor),
        .inode = status.stx_ino,
        .may_block = status.stx_dev_major == 0,
    };
    return 0;
}

int open_file_flags(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -errno : flags & STATUS_SETTABLE;
}

int open_file_set_status(int fd, int flags) {
    return fcntl(fd, F_SETFL, flags & STATUS_SETTABLE) < 0 ? -errno : 0;
}

int open_file_restore_status(int fd, int flags) {
    int without = flags & STATUS_SETTABLE & ~O_NOATIME;

    if (open_file_set_status(fd, flags) == 0)
        return flags & STATUS_SETTABLE;
    return open_file_set_status(fd, without) == 0 ? without : STATUS_UNKNOWN;
}

void open_file_unlock(int fd) {
    int result;

    /* Else fails only where the file has no locks, such as a FIFO, or the file
     * system is at its end. */
    do {
        result = fcntl(fd, F_OFD_SETLK, &open_file_unlock_all);
    } while (result < 0 && errno == EINTR);
}

/* Each fails only where there is no such thing. A file lease can be given back by the file's
 * owner alone: SECURITY.md. */
void open_file_sweep(int fd, bool keep_locks) {
    while (!keep_locks && flock(fd, LOCK_UN) < 0 && errno == EINTR)
        ;
    fcntl(fd, F_SETLEASE, F_UNLCK);
    fcntl(fd, F_SETSIG, 0);
    fcntl(fd, F_SETOWN, 0);
}

bool open_file_asks_server(int fd) {
    struct statfs status;

    if (fstatfs(fd, &status) < 0)
        return true;
    /* Known to answer by themselves. Overlay is not among them: what lies
     * below may be anything. */
    switch ((unsigned long)status.f_type) {
    case EXT4_SUPER_MAGIC: /* ext2 and ext3 too */
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case TMPFS_MAGIC:
    case RAMFS_MAGIC:
    case HUGETLBFS_MAGIC:
    case DEVPTS_SUPER_MAGIC:
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case MSDOS_SUPER_MAGIC:
    case ISOFS_SUPER_MAGIC:
    case SQUASHFS_MAGIC:
    case EROFS_SUPER_MAGIC_V1:
    case PIPEFS_MAGIC:
    case 0x2fc12fc1: /* ZFS */
    case 0xca451a4e: /* bcachefs */
        return false;
    }
    return true;
}
