/* SPDX-License-Identifier: MIT */
/* What brings descriptors: portals by a monitor; and, where a file comes by any other socket,
 * somebody who walks around the helper. */
#include "libc.h"

#include "attach.h"
#include "marks.h"
#include "portals.h"
#include "say.h"
#include "tell.h"

#include <linux/magic.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/vfs.h>

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

static void stray_tell(int fd, int socket, bool refused) {
    static atomic_flag is_said = ATOMIC_FLAG_INIT;
    struct joint_message message = {.kind = JOINT_STRAY, .number = fd};
    char link[32], path[128];

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = REAL(readlink)(link, path, sizeof(path) - 1);
    path[length < 0 ? 0 : length] = '\0';
    snprintf(message.text, sizeof(message.text), "%s came by socket %d and %s", path, socket,
             refused ? "was refused" : "not by way of the helper");
    if (!atomic_flag_test_and_set(&is_said))
        shim_complain("%s; further ones are not told here", message.text);
    shim_tell(&message, NULL);
}

/* Leaves out of `rights` what is refused. */
static void guard(int socket, struct cmsghdr *rights) {
    int *fds = (int *)CMSG_DATA(rights);
    size_t count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int), kept = 0;
    bool strict = getenv("FDSET_STRICT");

    for (size_t i = 0; i < count; i++) {
        int fd = fds[i];
        if (is_stray(fd)) {
            stray_tell(fd, socket, strict);
            if (strict) {
                close(fd);
                continue;
            }
        }
        fds[kept++] = fd;
    }
    rights->cmsg_len = CMSG_LEN(kept * sizeof(int));
}

static void rights_look(int socket, struct cmsghdr *rights) {
    const int *fds = (const int *)CMSG_DATA(rights);
    size_t count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);

    if (!marks_have(socket, MARK_MONITOR)) {
        guard(socket, rights);
        return;
    }
    for (size_t i = 0; i < count; i++)
        portals_received(fds[i]);
}

EXPORTED ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    ssize_t result = REAL(recvmsg)(fd, message, flags);

    if (result < 0 || !message->msg_control || message->msg_controllen == 0 || !shim_is_joined() ||
        shim_is_inside())
        return result;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part))
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS)
            rights_look(fd, part);
    return result;
}
