/* SPDX-License-Identifier: MIT */
/* What brings descriptors: portals by a monitor; and, where a file comes by any other socket,
 * somebody who walks around the helper. */
#include "libc.h"

#include "attach.h"
#include "marks.h"
#include "portals.h"
#include "stray.h"
#include "tell.h"

#include <sys/socket.h>

/* Leaves out of `rights` what is refused. */
static void guard(int socket, struct cmsghdr *rights) {
    int *fds = (int *)CMSG_DATA(rights);
    size_t count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int), kept = 0;
    char way[32];

    snprintf(way, sizeof(way), "socket %d", socket);
    for (size_t i = 0; i < count; i++) {
        if (stray_refuse(fds[i], way))
            close(fds[i]);
        else
            fds[kept++] = fds[i];
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
