/* SPDX-License-Identifier: MIT */
/* How a connection begins and ends. */
#include "wire/handshake.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "feature.h"
#include "wire/failure.h"
#include "wire/own.h"
#include "wire/packets.h"
#include "wire/poll.h"

#define PROTOCOL_VERSION 1

int connection_dial(const char *path, bool wait) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int type = SOCK_SEQPACKET | SOCK_CLOEXEC | (wait ? 0 : SOCK_NONBLOCK);

    if (!path || !*path)
        return fail(EINVAL, "no path of a socket is given");
    if (strlen(path) >= sizeof(address.sun_path))
        return fail(ENAMETOOLONG, "a socket's path cannot be longer than %zu bytes: %s",
                    sizeof(address.sun_path) - 1, path);
    strcpy(address.sun_path, path);

    int sock = own_descriptor(socket(AF_UNIX, type, 0));
    if (sock < 0)
        return fail(errno, "cannot make a socket: %m");
    int result;
    do {
        result = connect(sock, (const struct sockaddr *)&address, sizeof(address));
    } while (result < 0 && errno == EINTR);
    if (result == 0 && (wait || fcntl(sock, F_SETFL, 0) == 0))
        return sock;
    int error = errno;
    close(sock);
    return fail(error, "cannot connect to %s: %m", path);
}

int connection_adopt(int socket) {
    return socket < 0 ? fail(EBADF, "descriptor %d is not a socket to fdset-helper", socket)
                      : socket;
}

/* An inherited socket is as its last owner left it. */
static int socket_adopt(int sock) {
    int type = 0;
    socklen_t size = sizeof(type);
    if (getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
        return fail(errno, "descriptor %d is not a socket to fdset-helper: %m", sock);
    if (type != SOCK_SEQPACKET)
        return fail(EPROTOTYPE, "descriptor %d is a socket, but not of type SOCK_SEQPACKET", sock);
    int flags = fcntl(sock, F_GETFL);
    if (flags < 0 || fcntl(sock, F_SETFL, flags & ~O_NONBLOCK) < 0 ||
        fcntl(sock, F_SETFD, FD_CLOEXEC) < 0)
        return fail(errno, "cannot set up the socket to fdset-helper: %m");
    return 0;
}

static const char *role_name(Fdset__V1__Role role) {
    static const char *const names[] = {
        [FDSET__V1__ROLE__ROLE_VMM] = "VMMs",
        [FDSET__V1__ROLE__ROLE_MANAGER] = "managers",
        [FDSET__V1__ROLE__ROLE_OBSERVER] = "observers",
    };
    bool known = (unsigned)role < sizeof(names) / sizeof(*names) && names[role];

    return known ? names[role] : "roles unknown";
}

static int hello_check(const Fdset__V1__HelloReply *hello, Fdset__V1__Role role) {
    if (hello->version != PROTOCOL_VERSION)
        return fail(EPROTO, "fdset-helper %s speaks version %u of the protocol, not %u",
                    hello->helper, hello->version, PROTOCOL_VERSION);
    if (hello->role == role ||
        (role == FDSET__V1__ROLE__ROLE_MANAGER && hello->role == FDSET__V1__ROLE__ROLE_OBSERVER))
        return 0;
    return fail(EPERM, "this socket of fdset-helper's is for %s, not for %s: use its %s socket",
                role_name(hello->role), role_name(role),
                role == FDSET__V1__ROLE__ROLE_VMM ? "vmm" : "manage");
}

/* A VMM's name can be given from outside: many are called as their program is. */
static const char *default_name(Fdset__V1__Role role) {
    const char *given = role == FDSET__V1__ROLE__ROLE_VMM ? secure_getenv("FDSET_NAME") : NULL;
    return given && *given ? given : program_invocation_short_name;
}

static void helper_keep(struct connection *connection, const Fdset__V1__HelloReply *hello) {
    struct fdset_helper_info *info = &connection->helper;
    const Fdset__V1__Limits *limits = hello->limits;
    *info = (struct fdset_helper_info){
        .protocol = hello->version,
        .role = (enum fdset_role)hello->role,
    };
    snprintf(info->helper, sizeof(info->helper), "%s", hello->helper);
    snprintf(info->endpoint, sizeof(info->endpoint), "%s", hello->endpoint);
    if (!limits)
        return;
    info->limits = (struct fdset_limits){
        .sets = limits->sets,
        .members = limits->members,
        .leases = limits->leases,
        .leases_per_vmm = limits->leases_per_vmm,
        .connections = limits->connections,
        .waiting = limits->waiting,
        .holds = limits->holds,
        .event_queue = limits->event_queue,
        .packet_bytes = limits->packet_bytes,
        .packet_descriptors = limits->packet_descriptors,
    };
}

int hello_send(struct connection *connection, struct waiter *waiter) {
    Fdset__V1__Hello hello = FDSET__V1__HELLO__INIT;
    Fdset__V1__Request request = REQUEST(hello = &hello, HELLO);
    const struct reconnecting *link = &connection->link;

    hello.version = PROTOCOL_VERSION;
    hello.features = FEATURES_KNOWN;
    hello.name = (char *)(link->name ? link->name : default_name(connection->asked));
    hello.pid = getpid();
    if (link->owner)
        hello.owner = link->owner;
    int error = request_send(connection, &request, NULL, 0, waiter);
    return error ? send_error(error) : 0;
}

int hello_read(struct connection *connection, const struct waiter *waiter) {
    if (waiter->failed && connection->farewell_error) /* turned away before Hello was read */
        return fail(connection->farewell_error, "%s", connection->farewell);
    if (waiter->failed)
        return connection_say_broken(connection, waiter->failed);
    int error = reply_check(connection, FDSET__V1__REPLY__BODY_HELLO);
    if (error)
        return error;
    const Fdset__V1__HelloReply *hello = connection->reply->hello;
    connection->role = hello->role;
    connection->features = hello->features & FEATURES_KNOWN;
    helper_keep(connection, hello);
    return hello_check(hello, connection->asked);
}

static int shake_hands(struct connection *connection) {
    struct waiter waiter = {0};

    pthread_mutex_lock(&connection->lock);
    int error = hello_send(connection, &waiter);
    bool read = !error && receive_reply(connection, &waiter) == 0;
    if (!error)
        error = hello_read(connection, &waiter);
    pthread_mutex_unlock(&connection->lock);
    if (read)
        reply_release(connection);
    return error;
}

/* NULL stays so. */
static int string_keep(char **to, const char *from) {
    *to = from ? strdup(from) : NULL;
    return from && !*to ? fail(ENOMEM, "out of memory") : 0;
}

static int identity_keep(struct connection *connection, const struct identity *identity) {
    struct reconnecting *link = &connection->link;

    connection->asked = identity->role;
    int error = string_keep(&link->path, identity->path);
    if (!error)
        error = string_keep(&link->name, identity->name);
    return error ? error : string_keep(&link->owner, identity->owner);
}

static int greet(struct connection *connection, const struct identity *identity) {
    int error = identity_keep(connection, identity);

    if (!error)
        error = socket_adopt(connection->socket);
    return error ? error : shake_hands(connection);
}

void *connection_new(size_t size, int socket, const struct identity *identity, int *error) {
    if (socket < 0) {
        *error = socket;
        return NULL;
    }
    struct connection *connection = calloc(1, size);
    if (!connection) {
        close(socket);
        *error = fail(ENOMEM, "out of memory");
        return NULL;
    }
    connection->socket = socket;
    connection->owner = getpid();
    connection->at_home = own_home_make();
    pthread_mutex_init(&connection->lock, NULL);
    connection->poll_fd = connection->alarm_fd = -1;
    packet_arena_init(&connection->arena);

    *error = greet(connection, identity);
    if (!*error)
        return connection;
    connection_close(connection);
    free(connection);
    return NULL;
}

void connection_close(struct connection *connection) {
    if (!connection_foreign(connection))
        shutdown(connection->socket, SHUT_RDWR);
    close(connection->socket);
    own_home_free(connection->at_home);
    if (connection->poll_fd >= 0)
        close(connection->poll_fd);
    if (connection->alarm_fd >= 0)
        close(connection->alarm_fd);
    free(connection->link.path);
    free(connection->link.name);
    free(connection->link.owner);
}

int connection_move(struct connection *connection) {
    LOCKED(connection->lock);
    int number = own_duplicate(connection->socket, 0);

    if (number < 0)
        return -errno;
    poll_socket(connection, false);
    connection->socket = number;
    if (poll_wants_socket(connection))
        poll_socket(connection, true);
    return 0;
}
