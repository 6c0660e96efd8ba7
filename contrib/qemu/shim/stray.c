/* SPDX-License-Identifier: MIT */
/* Tells of the first on standard error, and of each to the relay. */
#include "stray.h"

#include "libc.h"
#include "say.h"
#include "tell.h"

#include <linux/magic.h>
#include <stdatomic.h>

/* Shared memory, as of vhost-user's other end, has no name and is no file of anybody's. */
static bool is_shared_memory(int fd, const struct stat *status) {
    struct statfs system;

    return status->st_nlink == 0 && fstatfs(fd, &system) == 0 &&
           (system.f_type == TMPFS_MAGIC || system.f_type == HUGETLBFS_MAGIC);
}

static bool is_stray(int fd) {
    struct stat status;

    return fstat(fd, &status) == 0 && (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode)) &&
           !is_shared_memory(fd, &status);
}

bool stray_refuse(int fd, const char *way) {
    static atomic_flag is_said = ATOMIC_FLAG_INIT;
    struct joint_message message = {.kind = JOINT_STRAY, .number = fd};
    bool strict = getenv("FDSET_STRICT");
    char link[32], path[128];

    if (!shim_is_joined() || !is_stray(fd))
        return false;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = REAL(readlink)(link, path, sizeof(path) - 1);
    path[length < 0 ? 0 : length] = '\0';
    snprintf(message.text, sizeof(message.text), "%s came by %s and %s", path, way,
             strict ? "was refused" : "not by way of the helper");
    if (!atomic_flag_test_and_set(&is_said))
        shim_complain("%s; further ones are not told here", message.text);
    shim_tell(&message, NULL);
    return strict;
}
