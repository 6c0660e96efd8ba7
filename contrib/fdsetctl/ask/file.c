/* SPDX-License-Identifier: MIT */
/* Knows a file by its device and inode, and a device by its number. */
#include "ask/sources.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "common/say.h"

static bool is_device(mode_t type) {
    return S_ISBLK(type) || S_ISCHR(type);
}

struct file_id file_id_read(const char *path) {
    struct stat status;

    if (stat(path, &status) < 0)
        die("cannot look at '%s': %s", path, strerror(errno));
    return (struct file_id){
        .type = status.st_mode & S_IFMT,
        .device = status.st_dev,
        .inode = status.st_ino,
        .number = is_device(status.st_mode) ? status.st_rdev : 0,
    };
}

bool file_id_fits(const struct file_id *file, const struct fdset_member_info *member) {
    if (!file)
        return true;
    if (is_device(file->type) && member->type)
        return member->type == file->type && member->device_number == file->number;
    return member->device == file->device && member->inode == file->inode;
}
