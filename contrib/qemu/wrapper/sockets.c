/* SPDX-License-Identifier: MIT */
/* The sockets of a monitor: management's, as QEMU would make it, and the emulator's own. */
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/descriptors.h"
#include "common/memory.h"
#include "common/say.h"
#include "common/sockets.h"
#include "number.h"
#include "qemu_opts.h"

bool socket_is_known(const struct pairs *pairs, const char **why) {
    static const struct {
        const char *key, *why;
    } unknown[] = {
        {"tls-creds", "TLS"},
        {"telnet", "telnet"},
        {"tn3270", "tn3270"},
        {"websocket", "a websocket"},
        {"abstract", "an abstract socket"},
        {"reconnect", "a client that reconnects"},
        {"mux", "shared with others (mux)"},
    };

    *why = "no socket";
    if (!pairs_get(pairs, "path") && !pairs_get(pairs, "fd") && !pairs_get(pairs, "port"))
        return false;
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        const char *value = pairs_get(pairs, unknown[i].key);
        *why = unknown[i].why;
        if (value && strcmp(value, "off") != 0)
            return false;
    }
    return true;
}

/* --------------------------------------------------------------- the private */

/* In a directory of its own. A path may be longer than a socket's address; by way of the
 * directory's descriptor it is always short. The emulator removes at its end what that
 * address is to it then: so the name is one that is nowhere else. */
static int private_bind(const char *directory, int *handle) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char *own = xasprintf("%s/fdset-XXXXXX", directory);
    int fd = fd_move_high(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "cannot make a socket");

    *handle = -1;
    bool made = mkdtemp(own);
    const char *name = strrchr(own, '/') + 1;
    int place = made ? open(own, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", place, name);
    if (place >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
        listen(fd, 8) == 0)
        *handle = openat(place, name, O_PATH | O_CLOEXEC);
    int error = errno;
    if (place >= 0) {
        unlinkat(place, name, 0);
        close(place);
    }
    if (made)
        rmdir(own);
    free(own);
    if (*handle >= 0)
        return fd;
    close(fd);
    errno = error;
    return -1;
}

int socket_make_private(int *handle) {
    const char *directories[] = {getenv("TMPDIR"), getenv("XDG_RUNTIME_DIR"), "/tmp", "/var/tmp",
                                 "/dev/shm"};
    const char *tried = "";

    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
        if (!directories[i] || directories[i][0] != '/')
            continue;
        int fd = private_bind(directories[i], handle);
        if (fd < 0) {
            tried = xasprintf("%s\n  %s: %s", tried, directories[i], strerror(errno));
            continue;
        }
        *handle = fd_move_high(*handle, "cannot make a monitor's socket");
        fd_inherit(fd);
        return fd;
    }
    die("no directory takes a monitor's socket: set TMPDIR to one that does. Tried were%s", tried);
}

int socket_make_connected(int *other) {
    int ends[2];

    socket_pair_make_high(ends, SOCK_STREAM);
    *other = ends[1];
    fd_inherit(ends[0]);
    return ends[0];
}

/* --------------------------------------------------------- management's end */

static struct address inherited_make(const char *number, const char *option) {
    int fd;

    /* A name would be one of getfd: there is no monitor yet. */
    if (!int_parse(number, &fd))
        die("%s: '%s' is not the number of a descriptor", option, number);
    if (socket_type(fd) != SOCK_STREAM)
        die("%s: File descriptor '%s' is not a socket", option, number);
    return (struct address){.fd = fd_move_high(fd, option)};
}

static struct address client_make(const char *path, const char *option) {
    int fd = socket_connect(path, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd == -ENAMETOOLONG)
        die("%s: UNIX socket path '%s' is too long", option, path);
    if (fd < 0)
        die("%s: Failed to connect to '%s': %s", option, path, strerror(-fd));
    return (struct address){.fd = fd_move_high(fd, option)};
}

static int tcp_open(const struct addrinfo *info, bool server) {
    int one = 1;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (server)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (server ? bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, 8) == 0
               : connect(fd, info->ai_addr, info->ai_addrlen) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static struct address tcp_make(const struct pairs *pairs, bool server, const char *option) {
    const char *host = pairs_get(pairs, "host"), *port = pairs_get(pairs, "port");
    bool only_4 = pairs_is_on(pairs, "ipv4"), only_6 = pairs_is_on(pairs, "ipv6");
    struct addrinfo *found, hints = {
                                .ai_family = only_4 == only_6 ? AF_UNSPEC
                                             : only_4         ? AF_INET
                                                              : AF_INET6,
                                .ai_socktype = SOCK_STREAM,
                                .ai_flags = server ? AI_PASSIVE : 0,
                            };
    int fd = -1;

    int error = getaddrinfo(host && *host ? host : NULL, port, &hints, &found);
    if (error)
        die("%s: address resolution failed for %s:%s: %s", option, host ? host : "", port,
            gai_strerror(error));
    for (const struct addrinfo *info = found; info && fd < 0; info = info->ai_next)
        fd = tcp_open(info, server);
    if (fd < 0)
        die("%s: %s: %s", option, server ? "Failed to bind socket" : "Failed to connect",
            strerror(errno));
    freeaddrinfo(found);
    return (struct address){.fd = fd_move_high(fd, option)};
}

struct address socket_make(const struct pairs *pairs, const char *option) {
    const char *path = pairs_get(pairs, "path"), *fd = pairs_get(pairs, "fd");
    bool server = pairs_is_on(pairs, "server");

    if (fd)
        return inherited_make(fd, option);
    if (!path)
        return tcp_make(pairs, server, option);
    if (!server)
        return client_make(path, option);
    return (struct address){.path = path, .fd = -1};
}
