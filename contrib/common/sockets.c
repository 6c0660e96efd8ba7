/* SPDX-License-Identifier: MIT */
/* Sockets by their paths, and how long to wait for who has the other end. */
#include "common/sockets.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

bool socket_address(struct sockaddr_un *address, const char *path) {
    if (strlen(path) >= sizeof(address->sun_path))
        return false;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    strcpy(address->sun_path, path);
    return true;
}

void socket_patience(int socket, unsigned milliseconds) {
    struct timeval patience = {milliseconds / 1000, milliseconds % 1000 * 1000};

    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

int socket_connect(const char *path, int type, unsigned patience_ms) {
    struct sockaddr_un address;
    struct stat status;

    if (!socket_address(&address, path))
        return -ENAMETOOLONG;
    int fd = socket(AF_UNIX, type, 0);
    if (fd < 0)
        return -errno;
    if (patience_ms)
        socket_patience(fd, patience_ms);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int error = errno;
    close(fd);
    if (error == ECONNREFUSED && stat(path, &status) == 0 && !S_ISSOCK(status.st_mode))
        error = ENOTSOCK;
    return -error;
}
