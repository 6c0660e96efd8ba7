/* SPDX-License-Identifier: MIT */
/* A file by what the kernel knows it by, whatever its path. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include <fdset/manager.h>

struct file_id {
    mode_t type; /* S_IFMT bits */
    dev_t device;
    ino_t inode;
    dev_t number; /* of a device: it is the same by whichever node */
};

/* The file at `path`, or ends the program. */
struct file_id file_id_read(const char *path);

/* Is the member of this file? NULL is any. */
bool file_id_fits(const struct file_id *file, const struct fdset_member_info *member);
