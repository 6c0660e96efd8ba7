/* SPDX-License-Identifier: MIT */
/* How fdsetctl finds and reaches a helper. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "ask/connect.h"
#include "base/verb.h"
#include "base/words.h"

/* So often one that does not answer is asked again. */
#define AGAIN_MS 20

static uint32_t patience_ms; /* of --wait */

void wait_read(const char *name, const char *argument) {
    if (!argument)
        patience_ms = 10000;
    else if (!seconds_parse(argument, &patience_ms))
        usage_error(
            name, "--wait: '%s' is not a time: give seconds from 1, or a number with ms, s or min",
            argument);
}

static uint64_t now_ms(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The kernel gives up what takes longer; 0 is for ever. */
static void patience_set(int sock, uint64_t milliseconds) {
    struct timeval patience = {milliseconds / 1000, milliseconds % 1000 * 1000};

    setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

/* A connected socket, or -errno. */
static int dial(const char *path, uint64_t milliseconds) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (sock < 0)
        return -errno;
    patience_set(sock, milliseconds);
    if (connect(sock, (const struct sockaddr *)&address, sizeof address) == 0)
        return sock;
    int error = errno;
    close(sock);
    struct stat status;
    if (error == ECONNREFUSED && stat(path, &status) == 0 && !S_ISSOCK(status.st_mode))
        error = ENOTSOCK;
    return -error;
}

/* What it means, and what helps. */
static const char *dial_text(int error) {
    switch (error) {
    case -ENOENT:
        return "there is no such socket: is fdset-helper running?";
    case -ENOTSOCK:
        return "it is not a socket";
    case -ECONNREFUSED:
        return "no process listens there any more: start fdset-helper again";
    case -EPROTOTYPE:
        return "it is a socket, but not one of fdset-helper's";
    case -EACCES:
        return "this user may not connect to it: its owner and mode decide who may";
    case -ENAMETOOLONG:
        return "a socket's path cannot be longer than 107 bytes: use a shorter one, as by a "
               "symbolic link or from another directory";
    case -EAGAIN:
        return NO_ANSWER;
    default:
        return strerror(-error);
    }
}

int helper_connect(struct fdset_manager **manager, const char *path, const char *owner,
                   uint64_t milliseconds, const char **why) {
    struct fdset_manager_options options = {.name = "fdsetctl", .owner = owner};
    int sock = dial(path, milliseconds);
    int error = sock;

    *why = NULL;
    if (sock >= 0) {
        error = fdset_manager_attach_fd_as(manager, sock, &options);
        *why = fdset_error_text();
    }
    if (sock < 0 || error == -EAGAIN)
        *why = dial_text(error);
    return error;
}

/* It may be about to be there. */
static bool may_come(int error) {
    return error == -ENOENT || error == -ECONNREFUSED || error == -ECONNRESET || error == -EPIPE ||
           error == -EAGAIN;
}

static const char *socket_path(const char *name, const char *socket) {
    if (!socket)
        socket = getenv("FDSET_MANAGE_SOCKET");
    if (!socket || !*socket)
        usage_error(name, "no socket given: use --socket PATH or set FDSET_MANAGE_SOCKET");
    return socket;
}

struct fdset_manager *manager_connect(const char *name, const char *socket, const char *owner) {
    static const struct timespec again = {.tv_nsec = AGAIN_MS * 1000000L};
    const char *path = socket_path(name, socket), *why;
    uint64_t end = now_ms() + patience_ms, left = patience_ms;
    /* Found to the end: a command that is refused ends without freeing it. */
    static struct fdset_manager *manager;
    int error;

    while ((error = helper_connect(&manager, path, owner, left, &why)) < 0) {
        uint64_t now = now_ms();
        if (now >= end || !may_come(error))
            break;
        left = end - now;
        nanosleep(&again, NULL);
    }
    if (error && patience_ms && may_come(error))
        refused(name, "no fdset-helper has answered at %s within %g s: %s", path,
                patience_ms / 1000.0, why);
    if (error)
        refused(name, "cannot connect to %s: %s%s", path, why,
                may_come(error) ? " (--wait waits for it)" : "");
    patience_set(fdset_manager_socket(manager), 0);
    return manager;
}

static char *name_trim(char *name) {
    static const char *const roles[] = {"manage", "observe"};
    size_t length = strlen(name);

    if (length >= 5 && !strcmp(name + length - 5, ".sock"))
        name[length -= 5] = '\0';
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        size_t role = strlen(roles[i]);
        if (length >= role && !strcmp(name + length - role, roles[i])) {
            name[length - role] = '\0';
            break;
        }
        if (!strncmp(name, roles[i], role)) {
            name += role;
            break;
        }
    }
    name += strspn(name, ".-_@");
    for (length = strlen(name); length && strchr(".-_@", name[length - 1]);)
        name[--length] = '\0';
    return name;
}

char *vm_name(const char *socket) {
    char *path, *slash, *name;

    if (!socket)
        socket = getenv("FDSET_MANAGE_SOCKET");
    path = socket ? realpath(socket, NULL) : NULL;
    slash = path ? strrchr(path, '/') : NULL;
    if (!slash) {
        free(path);
        return NULL;
    }
    *slash = '\0';
    name = name_trim(slash + 1);
    if (!*name)
        name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    name = *name ? strdup(name) : NULL;
    free(path);
    return name;
}
