/* SPDX-License-Identifier: MIT */
/* Sockets whose last close waits: see linger.h. */
#include "linger.h"

#include "oracle.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define AN_HOUR_S 3600
#define MOST      32

/* The ends that do not read: while they are open, each close of the other end waits. */
static int far_ends[MOST];
static int count;

int linger_socket(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct linger linger = {.l_onoff = 1, .l_linger = AN_HOUR_S};
    static const char bytes[65536];
    socklen_t size = sizeof(address);

    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int near = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(count < MOST);
    assert_int_equal(bind(listening, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(listen(listening, 1), 0);
    assert_int_equal(connect(near, (struct sockaddr *)&address, size), 0);
    far_ends[count++] = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    close(listening);
    assert_int_equal(setsockopt(near, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    while (send(near, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        ;
    assert_int_equal(errno, EAGAIN);
    return near;
}

void linger_expect_all(void) {
    for (int i = 0; i < count; i++) {
        struct pollfd state = {.fd = far_ends[i], .events = POLLRDHUP};
        assert_int_equal(poll(&state, 1, 0), 0);
    }
}

void linger_let_go(int which) {
    assert_true(which < count);
    close(far_ends[which]);
    count--;
    for (int i = which; i < count; i++)
        far_ends[i] = far_ends[i + 1];
}

void linger_let_all_go(void) {
    while (count > 0)
        linger_let_go(0);
}
