/* SPDX-License-Identifier: MIT */
/* The two sockets of a client of a monitor. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "aside.h"
#include "fdset-json.h"
#include "link-private.h"
#include "members.h"
#include "mirror.h"

#define READ_BYTES 65536

static void link_free(struct qmp_link *link) {
    struct side *sides[] = {&link->client, &link->emulator};
    struct relay *relay = link->relay;

    *link->previous = link->next;
    if (link->next)
        link->next->previous = link->previous;
    for (size_t i = 0; i < 2; i++) {
        loop_unwatch(&relay->loop, &sides[i]->watch);
        close(sides[i]->watch.fd);
        framing_free(&sides[i]->in);
        outgoing_free(&sides[i]->out);
    }
    commands_free(link);
    members_abandon(link);
    mirror_abandon(link);
    replies_free(link);
    if (link->pending >= 0)
        aside_close(&link->pending, 1);
    free(link);
    relay->loop.ended |= relay->emulator_gone && !relay->links;
    mirror_refresh(relay);
}

/* ------------------------------------------------------------- what to read */

static bool may_read_client(const struct qmp_link *link) {
    bool room =
        link->client.out.length < OUTGOING_MARK && link->emulator.out.length < OUTGOING_MARK;
    return !link->client.ended && room && link->starved;
}

static bool may_read_emulator(const struct qmp_link *link) {
    bool room = link->client.out.length < OUTGOING_MARK || link->relay->mirror.carrier == link;
    return !link->emulator.ended && room;
}

static void side_watch(struct qmp_link *link, struct side *side, bool reads, bool unwatch) {
    uint32_t events = (reads ? EPOLLIN : 0u) | (side->out.length > 0 ? EPOLLOUT : 0u);

    /* One that has gone would keep the loop busy. */
    if (unwatch)
        loop_unwatch(&link->relay->loop, &side->watch);
    else
        loop_watch(&link->relay->loop, &side->watch, events);
}

static void link_watch(struct qmp_link *link) {
    bool reads = may_read_emulator(link);

    side_watch(link, &link->client, may_read_client(link), link->client_gone);
    /* It can wait with its last words. */
    side_watch(link, &link->emulator, reads, !reads && link->emulator.out.length == 0);
}

/* ------------------------------------------------------------------ the end */

static bool is_over(const struct qmp_link *link) {
    bool is_asked = link->expected > 0 || link->emulator.out.length > 0;

    if (link->failed || link->client.out.failed || link->emulator.out.failed || link->held.failed)
        return true;
    if (link->emulator.ended)
        return link->client.out.length == 0;
    if (link->client_gone)
        return !is_asked;
    return link->client.ended && !is_asked && !link->first_command && !link->busy &&
           link->client.out.length == 0;
}

static void client_lose(struct qmp_link *link) {
    link->client_gone = link->client.ended = true;
}

void link_pump(struct qmp_link *link) {
    if (link->entered)
        return;
    link->entered = true;
    while (command_run(link) || command_take(link))
        ;
    if (!link->client_gone && outgoing_flush(&link->client.out, link->client.watch.fd) < 0)
        client_lose(link);
    if (link->client_gone)
        outgoing_free(&link->client.out);
    if (!link->emulator.ended && outgoing_flush(&link->emulator.out, link->emulator.watch.fd) < 0)
        outgoing_free(&link->emulator.out); /* it has gone; its last words may be there */
    link->entered = false;
    if (is_over(link))
        link_free(link);
    else
        link_watch(link);
}

/* ------------------------------------------------------------------ reading */

/* Reads into the side's buffer. */
static ssize_t side_read(struct qmp_link *link, struct side *side, struct arrival *arrival) {
    char *room = framing_room(&side->in, READ_BYTES);

    *arrival = (struct arrival){.fd = -1};
    if (!room) {
        link->failed = true;
        return 0;
    }
    ssize_t length = stream_receive(side->watch.fd, room, READ_BYTES, arrival);
    if (length > 0)
        framing_add(&side->in, (size_t)length);
    else if (length != -EAGAIN)
        side->ended = true;
    return length;
}

/* A descriptor that comes takes the place of one that waited, as in QEMU. */
static void pending_take(struct qmp_link *link, struct arrival *arrival) {
    if (arrival->fd < 0 && !arrival->lost)
        return;
    if (link->pending >= 0)
        aside_close(&link->pending, 1);
    link->pending = arrival->fd;
    link->pending_lost = arrival->lost;
}

static void client_ready(struct relay_watch *watch, uint32_t events) {
    struct qmp_link *link = watch->owner;
    struct arrival arrival;

    if (may_read_client(link)) {
        side_read(link, &link->client, &arrival);
        link->starved = false;
        pending_take(link, &arrival);
    }
    if (events & EPOLLERR || (events & EPOLLHUP && (link->client.ended || !may_read_client(link))))
        client_lose(link);
    link_pump(link);
}

static void emulator_ready(struct relay_watch *watch, uint32_t events) {
    struct qmp_link *link = watch->owner;
    struct arrival arrival;

    if (may_read_emulator(link)) {
        link->entered = true;
        side_read(link, &link->emulator, &arrival);
        if (arrival.fd >= 0) /* no reply has one */
            aside_close(&arrival.fd, 1);
        /* What the emulator did before it said so. */
        link->relay->listen(link->relay);
        reply_take_all(link);
        link->entered = false;
    }
    link_pump(link);
}

/* ---------------------------------------------------------------- beginning */

static void side_begin(struct side *side, int fd, void (*ready)(struct relay_watch *, uint32_t),
                       struct qmp_link *link, bool lines) {
    framing_init(&side->in, FRAMING_LIMIT, lines);
    side->watch = (struct relay_watch){.fd = fd, .ready = ready, .owner = link};
}

void link_begin(struct relay *relay, int client, int emulator) {
    struct qmp_link *link = calloc(1, sizeof(*link));
    socklen_t size = sizeof(int);
    int domain = AF_UNIX;

    if (!link) {
        close(client);
        close(emulator);
        return;
    }
    link->relay = relay;
    link->number = ++relay->link_count;
    link->pending = -1;
    link->starved = true;
    getsockopt(client, SOL_SOCKET, SO_DOMAIN, &domain, &size);
    link->takes_descriptors = domain == AF_UNIX;
    side_begin(&link->client, client, client_ready, link, false);
    side_begin(&link->emulator, emulator, emulator_ready, link, true);
    link->next = relay->links;
    link->previous = &relay->links;
    if (link->next)
        link->next->previous = &link->next;
    relay->links = link;
    link_watch(link);
}

void links_end(struct relay *relay) {
    while (relay->links)
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it takes itself out of the list */
        link_free(relay->links);
}

/* -------------------------------------------------------------------- events */

/* Consumes `data`. */
static void event_tell(struct qmp_link *link, const char *name, json_t *data, uint64_t lost) {
    char *text = NULL;
    struct timeval now;

    gettimeofday(&now, NULL);
    if (link->client.out.length < EVENTS_MARK && link->held.length < EVENTS_MARK) {
        json_t *message =
            json_pack("{s:{s:I, s:I}, s:s, s:O}", "timestamp", "seconds", (json_int_t)now.tv_sec,
                      "microseconds", (json_int_t)now.tv_usec, "event", name, "data", data);
        text = json_dumps(message, JSON_ENSURE_ASCII);
        json_decref(message);
    }
    json_decref(data);
    if (text)
        reply_message(link, text);
    link->lost = text ? 0 : lost + 1;
    free(text);
    link_pump(link);
}

void link_event(struct relay *relay, const struct fdset_event *event) {
    struct qmp_link *link = relay->links, *next;
    const char *name = event_name(event->kind);

    for (; name && link; link = next) {
        next = link->next;
        uint64_t lost = link->lost + event->lost;
        if (link->events)
            event_tell(link, name, event_json(event, lost), lost);
    }
}

void link_stray(struct relay *relay, const char *what) {
    struct qmp_link *link = relay->links, *next;

    relay->strays++;
    for (; link; link = next) {
        next = link->next;
        json_t *data =
            json_pack("{s:o, s:I}", "what", text_json(what), "count", (json_int_t)relay->strays);
        if (link->events)
            event_tell(link, "FDSET_STRAY", data, link->lost);
        else
            json_decref(data);
    }
}
