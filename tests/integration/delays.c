/* SPDX-License-Identifier: MIT */
/* Linked into a helper by --wrap: what makes a socket takes its time. Of FDSET_TEST_DELAYS,
 * microseconds before each unlink, bind and listen: "1000,0,500". */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int __real_unlink(const char *path);
int __real_bind(int socket, const struct sockaddr *address, socklen_t length);
int __real_listen(int socket, int backlog);
int __wrap_unlink(const char *path);
int __wrap_bind(int socket, const struct sockaddr *address, socklen_t length);
int __wrap_listen(int socket, int backlog);

static void delay(int which) {
    unsigned delays[3] = {0};
    const char *text = getenv("FDSET_TEST_DELAYS");

    if (text && sscanf(text, "%u,%u,%u", &delays[0], &delays[1], &delays[2]) == 3 && delays[which])
        usleep(delays[which]);
}

int __wrap_unlink(const char *path) {
    delay(0);
    return __real_unlink(path);
}

int __wrap_bind(int socket, const struct sockaddr *address, socklen_t length) {
    delay(1);
    return __real_bind(socket, address, length);
}

int __wrap_listen(int socket, int backlog) {
    delay(2);
    return __real_listen(socket, backlog);
}
