/* SPDX-License-Identifier: MIT */
/* Finds the helper by its socket, waits for it where it is told to, and says what helps where
 * it cannot be reached. */
#include "ask/connect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "common/memory.h"
#include "common/sockets.h"

/* So often one that does not answer is asked again. */
#define AGAIN_MS 20

static uint64_t now_ms(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What it means that there is no connection, and what helps. */
static const char *dial_text(int error) {
    static const struct {
        int error;
        const char *text;
    } causes[] = {
        {-ENOENT, "there is no such socket: is fdset-helper running?"},
        {-ENOTSOCK, "it is not a socket"},
        {-ECONNREFUSED, "no process listens there any more: start fdset-helper again"},
        {-EPROTOTYPE, "it is a socket, but not one of fdset-helper's"},
        {-EACCES, "this user may not connect to it: its owner and mode decide who may"},
        {-ENAMETOOLONG, "a socket's path cannot be longer than 107 bytes: use a shorter one, as "
                        "by a symbolic link or from another directory"},
        {-EAGAIN, NO_ANSWER},
    };

    for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++)
        if (causes[i].error == error)
            return causes[i].text;
    return strerror(-error);
}

int helper_connect(struct fdset_manager **manager, const char *path, const char *owner,
                   uint32_t milliseconds, const char **why) {
    struct fdset_manager_options options = {.name = "fdsetctl", .owner = owner};
    int sock = socket_connect(path, SOCK_SEQPACKET | SOCK_CLOEXEC, milliseconds);
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

const char *socket_path(const struct verb_line *line) {
    return line->socket ? line->socket : getenv("FDSET_MANAGE_SOCKET");
}

struct fdset_manager *manager_connect(const struct verb_line *line, const char *owner) {
    static const struct timespec again = {.tv_nsec = AGAIN_MS * 1000000L};
    /* Found to the end: a verb that dies ends without freeing it. */
    static struct fdset_manager *manager;
    const char *path = socket_path(line), *why;
    uint64_t end = now_ms() + line->wait_ms, now;
    uint32_t left = line->wait_ms;
    int error;

    if (!path || !*path)
        die_usage("no socket given: use --socket PATH or set FDSET_MANAGE_SOCKET");
    while ((error = helper_connect(&manager, path, owner, left, &why)) < 0) {
        now = now_ms();
        if (now >= end || !may_come(error))
            break;
        left = (uint32_t)(end - now);
        nanosleep(&again, NULL);
    }
    if (error && line->wait_ms && may_come(error))
        die("no fdset-helper has answered at %s within %g s: %s", path, line->wait_ms / 1000.0,
            why);
    if (error)
        die("cannot connect to %s: %s%s", path, why,
            may_come(error) ? " (--wait waits for it)" : "");
    socket_patience(fdset_manager_socket(manager), 0);
    return manager;
}

/* Takes away what says only whose socket it is. */
static char *name_trim(char *name) {
    static const char *const roles[] = {"manage", "observe"};
    size_t length = strlen(name);

    if (length >= 5 && strcmp(name + length - 5, ".sock") == 0)
        name[length -= 5] = '\0';
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        size_t role = strlen(roles[i]);
        if (length >= role && strcmp(name + length - role, roles[i]) == 0) {
            name[length - role] = '\0';
            break;
        }
        if (strncmp(name, roles[i], role) == 0) {
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
    char *path = socket ? realpath(socket, NULL) : NULL;
    char *slash = path ? strrchr(path, '/') : NULL, *name = NULL;

    if (slash) {
        *slash = '\0';
        name = name_trim(slash + 1);
        if (!*name)
            name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
        name = *name ? xstrdup(name) : NULL;
    }
    free(path);
    return name;
}
