/* SPDX-License-Identifier: MIT */
/* The relay of fdset-qemu alone, so that a test can be at both its ends.
 *
 *     test-relay --manage PATH --joint FD [--ready FD] [--waits]
 *
 * The options are the members of struct relay_setup; PATH is the helper's manage socket. */
#include <fcntl.h>
#include <getopt.h>
#include <string.h>
#include <sys/socket.h>

#include "common/descriptors.h"
#include "common/say.h"
#include "common/sockets.h"
#include "number.h"
#include "relay.h"

/* An inherited descriptor. */
static int descriptor(const char *text) {
    int fd;

    if (!int_parse(text, &fd) || fcntl(fd, F_GETFD) < 0)
        die_usage("no descriptor: '%s'", text);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

static int helper_connect(const char *path) {
    int fd = socket_connect(path, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0)
        die("%s: %s", path, strerror(-fd));
    return fd;
}

int main(int argc, char **argv) {
    static const struct option names[] = {
        {"manage", required_argument, NULL, 'm'},
        {"joint", required_argument, NULL, 'j'},
        {"ready", required_argument, NULL, 'r'},
        {"waits", no_argument, NULL, 'w'},
        {NULL, 0, NULL, 0},
    };
    struct relay_setup setup = {.manage_fd = -1, .joint = -1, .ready = -1};
    int option;

    standard_streams_fill();
    while ((option = getopt_long(argc, argv, "", names, NULL)) >= 0)
        if (option == 'm')
            setup.manage_fd = helper_connect(optarg);
        else if (option == 'j')
            setup.joint = descriptor(optarg);
        else if (option == 'r')
            setup.ready = descriptor(optarg);
        else if (option == 'w')
            setup.waits = true;
        else
            die_try_help();
    return relay_run(&setup);
}
