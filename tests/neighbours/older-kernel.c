/* SPDX-License-Identifier: MIT */
/* Linked into a helper: a kernel before 6.16, which does not know SO_PASSRIGHTS, so that what
 * a VMM sends arrives. */
#include <errno.h>
#include <sys/socket.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

int __real_setsockopt(int socket, int level, int name, const void *value, socklen_t size);
int __wrap_setsockopt(int socket, int level, int name, const void *value, socklen_t size);

int __wrap_setsockopt(int socket, int level, int name, const void *value, socklen_t size) {
    if (level == SOL_SOCKET && name == SO_PASSRIGHTS) {
        errno = ENOPROTOOPT;
        return -1;
    }
    return __real_setsockopt(socket, level, name, value, size);
}
