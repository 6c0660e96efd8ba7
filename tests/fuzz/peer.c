/* SPDX-License-Identifier: MIT */
/* The clients of the helper in this process, and what they see of it: see world.h. */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct packet_arena arena;

void peer_connect(struct world *world, struct peer *peer, enum role role, bool inherited,
                  bool small) {
    int pair[2], smallest = 1;

    peer_hang_up(peer);
    *peer = (struct peer){.socket = -1, .role = role};
    if (!inherited) {
        peer->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        CHECK(peer->socket >= 0);
        /* Nobody is accepted while one that was turned away is being closed. */
        if (connect(peer->socket, (struct sockaddr *)&world->addresses[role - 1],
                    world->address_sizes[role - 1]) < 0) {
            CHECK(errno == EAGAIN);
            close(peer->socket);
            peer->socket = -1;
        }
        return;
    }
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    if (small)
        setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &smallest, sizeof(smallest));
    bool refuses = socket_prepare(pair[1], role);
    struct session *session =
        session_begin(&world->service.sessions, pair[1], role,
                      role == ROLE_VMM ? world->service.model.endpoints.all : NULL);
    if (!session)
        close(pair[1]);
    else if (refuses)
        session->carrying_bytes = 0;
    peer->socket = pair[0];
}

void peer_hang_up(struct peer *peer) {
    for (uint32_t i = 0; i < peer->lease_count; i++)
        close(peer->leases[i].fd);
    peer->lease_count = 0;
    if (peer->socket >= 0)
        close(peer->socket);
    peer->socket = -1;
}

/* ----------------------------------------------------------------- sending */

void peer_send(struct peer *peer, const uint8_t *bytes, size_t length, const uint8_t *files,
               size_t count) {
    int descriptors[FDSET_MAX_DESCRIPTORS] = {-1};
    size_t opened = 0;

    for (size_t i = 0; i < count && i < FDSET_MAX_DESCRIPTORS; i++) {
        int fd = file_open_kind(files[i] % FILE_KINDS, peer->socket);
        if (fd >= 0)
            descriptors[opened++] = fd;
    }
    /* What becomes of it is the helper's business, and the kernel's. */
    packet_send(peer->socket, bytes, length, descriptors, opened, MSG_DONTWAIT);
    for (size_t i = 0; i < opened; i++)
        close(descriptors[i]);
}

static void send_close(struct peer *peer, uint64_t lease) {
    Fdset__V1__Request request = FDSET__V1__REQUEST__INIT;
    Fdset__V1__Close closed = FDSET__V1__CLOSE__INIT;
    uint8_t bytes[FDSET_MAX_PACKET_BYTES];

    closed.leases = &lease;
    closed.n_leases = 1;
    request.body_case = FDSET__V1__REQUEST__BODY_CLOSE;
    request.close = &closed;
    peer_send(peer, bytes, (size_t)packet_encode(&request.base, bytes), NULL, 0);
}

/* ----------------------------------------------------------------- reading */

/* It is of the file that the helper says, and as it was wanted. */
static void check_opened(const struct world *world, const Fdset__V1__Opened *opened, int fd) {
    const struct lease *lease = model_find_lease(&world->service.model, opened->lease);
    struct stat status;

    CHECK(opened->lease != 0 && opened->member != 0 && fd >= 0);
    CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC && fstat(fd, &status) == 0);
    if (!lease)
        return; /* closed meanwhile */
    const struct member *member = lease->member;
    CHECK(member->id == opened->member && device_unpack(member->device) == status.st_dev &&
          member->inode == status.st_ino);
    int mode = fcntl(fd, F_GETFL) & O_ACCMODE;
    CHECK(mode == (lease->flags & O_ACCMODE) || (member->serves_read_only && mode == O_RDWR));
}

static void keep_opened(struct world *world, struct peer *peer, const Fdset__V1__Opened *opened,
                        struct packet_descriptors *descriptors, size_t index) {
    CHECK(index < descriptors->count);
    int fd = packet_descriptors_take(descriptors, index);
    check_opened(world, opened, fd);
    if (peer->lease_count < PEER_LEASES)
        peer->leases[peer->lease_count++] = (struct owned){opened->lease, fd};
    else
        close(fd);
}

static void keep_many(struct world *world, struct peer *peer, const Fdset__V1__OpenedMany *many,
                      struct packet_descriptors *descriptors) {
    size_t used = 0;

    for (size_t i = 0; i < many->n_results; i++) {
        const Fdset__V1__OpenedMany__Result *result = many->results[i];
        if (result->outcome_case == FDSET__V1__OPENED_MANY__RESULT__OUTCOME_OPENED)
            keep_opened(world, peer, result->opened, descriptors, used++);
        else
            CHECK(result->outcome_case == FDSET__V1__OPENED_MANY__RESULT__OUTCOME_ERROR &&
                  result->error->code != 0 && result->error->error_number > 0);
    }
    CHECK(used == descriptors->count);
}

static void check_events(struct peer *peer, const Fdset__V1__Events *events) {
    CHECK(events->n_events > 0 || events->lost > 0);
    for (size_t i = 0; i < events->n_events; i++) {
        CHECK(events->events[i]->sequence > peer->last_event);
        peer->last_event = events->events[i]->sequence;
    }
}

static void check_reply(struct world *world, struct peer *peer, const Fdset__V1__Reply *reply,
                        struct packet_descriptors *descriptors) {
    CHECK(reply->descriptors == descriptors->count);
    switch (reply->body_case) {
    case FDSET__V1__REPLY__BODY_OPENED:
        CHECK(peer->role == ROLE_VMM && descriptors->count == 1);
        keep_opened(world, peer, reply->opened, descriptors, 0);
        break;
    case FDSET__V1__REPLY__BODY_OPENED_MANY:
        CHECK(peer->role == ROLE_VMM);
        keep_many(world, peer, reply->opened_many, descriptors);
        break;
    case FDSET__V1__REPLY__BODY_EVENTS:
        CHECK(peer->role != ROLE_VMM && reply->serial == 0 && descriptors->count == 0);
        check_events(peer, reply->events);
        break;
    case FDSET__V1__REPLY__BODY_ERROR:
        CHECK(reply->error->code != 0 && reply->error->error_number > 0 && *reply->error->text);
        CHECK(descriptors->count == 0);
        break;
    default:
        CHECK(reply->body_case != FDSET__V1__REPLY__BODY__NOT_SET);
        CHECK(descriptors->count == 0 && reply->serial != 0);
    }
}

void peer_read(struct world *world, struct peer *peer, unsigned most) {
    static struct packet_descriptors descriptors;
    static uint8_t bytes[FDSET_MAX_PACKET_BYTES];
    struct packet_info info;

    if (!arena.allocator.alloc)
        packet_arena_init(&arena);
    while (most-- > 0 && peer->socket >= 0) {
        int result = packet_receive(peer->socket, bytes, &descriptors, MSG_DONTWAIT, &info);
        if (result == -EAGAIN)
            return;
        if (result < 0 || info.hangup) {
            peer_hang_up(peer);
            return;
        }
        CHECK(!info.truncated);
        Fdset__V1__Reply *reply = (Fdset__V1__Reply *)packet_decode(&fdset__v1__reply__descriptor,
                                                                    bytes, info.length, &arena);
        CHECK(reply);
        check_reply(world, peer, reply, &descriptors);
        packet_descriptors_close(&descriptors);
    }
}

/* ------------------------------------------------------------------ leases */

void peer_close_lease(struct peer *peer, unsigned which) {
    if (peer->lease_count == 0)
        return;
    struct owned *owned = &peer->leases[which % peer->lease_count];
    send_close(peer, owned->lease);
    close(owned->fd);
    *owned = peer->leases[--peer->lease_count];
}

void peer_use_lease(struct world *world, struct peer *peer, unsigned which, uint8_t how) {
    struct flock lock = {.l_type = how & 1 ? F_WRLCK : F_RDLCK, .l_len = 1 + (how & 4)};

    if (peer->lease_count == 0)
        return;
    int fd = peer->leases[which % peer->lease_count].fd;
    if (how & 2)
        fcntl(fd, F_OFD_SETLK, &lock);
    else
        fcntl(fd, F_SETFL, how & 8 ? O_APPEND : O_NONBLOCK);
}
