/* SPDX-License-Identifier: MIT */
/* The two sockets of a client of a monitor. */
#include "link-private.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <unistd.h>

#include "aside.h"
#include "fdset-json.h"

#define READ_BYTES 65536

static void link_free(struct qmp_link *link) {
    struct side *sides[] = {&link->client, &link->emulator};

    for (size_t i = 0; i < 2; i++) {
        loop_unwatch(&link->relay->loop, &sides[i]->watch);
        close(sides[i]->watch.fd);
        framing_free(&sides[i]->in);
        outgoing_free(&sides[i]->out);
    }
    commands_free(link);
    replies_free(link);
    if (link->pending >= 0)
        aside_close(&link->pending, 1);
    parcel_free(link->parcel);
    *link->previous = link->next;
    if (link->next)
        link->next->previous = link->previous;
    link->owner.ended(link->owner.owner);
    free(link);
}

/* ------------------------------------------------------------- what to read */

static bool may_read_client(const struct qmp_link *link) {
    bool room =
        link->client.out.length < OUTGOING_MARK && link->emulator.out.length < OUTGOING_MARK;
    return !link->client.ended && room && (link->human || link->starved);
}

static bool may_read_emulator(const struct qmp_link *link) {
    return !link->emulator.ended && link->client.out.length < OUTGOING_MARK;
}

static uint32_t wanted(bool reads, const struct side *side) {
    return (reads ? EPOLLIN : 0u) | (side->out.length > 0 ? EPOLLOUT : 0u);
}

static void link_watch(struct qmp_link *link) {
    struct relay_loop *loop = &link->relay->loop;
    uint32_t from_emulator = wanted(may_read_emulator(link), &link->emulator);

    loop_watch(loop, &link->client.watch, wanted(may_read_client(link), &link->client));
    /* One that has gone can wait with its last words, and would keep the loop busy. */
    if (from_emulator)
        loop_watch(loop, &link->emulator.watch, from_emulator);
    else
        loop_unwatch(loop, &link->emulator.watch);
}

/* ------------------------------------------------------------------ the end */

static bool is_idle(const struct qmp_link *link) {
    return !link->first_command && !link->first_expected && !link->out_of_band && !link->busy &&
           link->emulator.out.length == 0 && link->client.out.length == 0;
}

static bool is_over(const struct qmp_link *link) {
    if (link->failed || link->client.out.failed || link->emulator.out.failed || link->held.failed ||
        link->deferred.failed)
        return true;
    if (link->emulator.ended)
        return link->client.out.length == 0;
    return link->client.ended && is_idle(link);
}

/* Does all that can be done without waiting. Frees the link where it is over. */
static void link_pump(struct qmp_link *link) {
    while (!link->human && (command_run(link) || command_take(link)))
        ;
    int error = outgoing_flush(&link->client.out, link->client.watch.fd);
    if (!link->emulator.ended && outgoing_flush(&link->emulator.out, link->emulator.watch.fd) < 0)
        outgoing_free(&link->emulator.out); /* it has gone; its last words may be there */
    if (error < 0 || is_over(link))
        link_free(link);
    else
        link_watch(link);
}

/* ------------------------------------------------------------------ reading */

/* Reads into the side's buffer. */
static ssize_t side_read(struct qmp_link *link, struct side *side, struct arrival *arrival) {
    char *room = framing_room(&side->in, READ_BYTES);

    *arrival = (struct arrival){0};
    if (!room) {
        link->failed = true;
        return -ENOMEM;
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
    if (!arrival->parcel && !arrival->lost)
        return;
    if (link->pending >= 0)
        aside_close(&link->pending, 1);
    link->pending = arrival->parcel ? parcel_first(arrival->parcel) : -1;
    link->pending_lost = arrival->lost;
}

/* Text for or from people: there are no messages in it. */
static void human_pass(struct qmp_link *link, struct side *from, struct side *to,
                       struct rewrite_stream *stream, struct parcel *parcel) {
    struct text text = {0};
    struct framing *in = &from->in;
    struct span part = {in->text.bytes + in->begin, in->text.length - in->begin};

    rewrite_stream(stream, part, &text);
    if (from->ended)
        rewrite_stream_end(stream, &text);
    in->begin = in->scanned = in->text.length;
    outgoing_put(&to->out, text_span(&text), parcel);
    link->failed |= text.failed;
    text_free(&text);
}

static void client_ready(struct relay_watch *watch, uint32_t events) {
    struct qmp_link *link = watch->owner;
    struct arrival arrival;

    if (!may_read_client(link) && events & (EPOLLHUP | EPOLLERR)) {
        link_free(link);
        return;
    }
    if (may_read_client(link)) {
        side_read(link, &link->client, &arrival);
        link->starved = false;
        if (link->human)
            human_pass(link, &link->client, &link->emulator, &link->to_emulator, arrival.parcel);
        else
            pending_take(link, &arrival);
    }
    link_pump(link);
}

/* ---------------------------------------------------------- dialling again */

/* How long an emulator may take to greet; how soon after one that hung up instead
 * another is tried, and how often in all. */
#define GREETING_MS 10000
#define REDIAL_MS   200
#define REDIALS_MAX 20

/* Neither has said a word to the other. */
static bool is_silent(const struct qmp_link *link) {
    return link->owner.redial && !link->human && !link->greeted && !link->first_expected &&
           !link->out_of_band && link->emulator.in.text.length == 0 &&
           link->emulator.out.length == 0 && link->redials < REDIALS_MAX;
}

static void link_redial(struct qmp_link *link) {
    int fd = link->owner.redial(link->owner.owner);

    link->dialled_ms = loop_now_ms();
    link->redials++;
    if (fd < 0)
        return;
    loop_unwatch(&link->relay->loop, &link->emulator.watch);
    close(link->emulator.watch.fd);
    link->emulator.watch.fd = fd;
    link->emulator.ended = false;
    link_watch(link);
}

static void link_look_after(struct qmp_link *link) {
    if (loop_now_ms() - link->dialled_ms >= (link->emulator.ended ? REDIAL_MS : GREETING_MS))
        link_redial(link);
    loop_set_alarm(&link->relay->loop, REDIAL_MS);
}

void links_redial(struct relay *relay) {
    struct qmp_link *link = relay->links, *next;

    for (; link; link = next) {
        next = link->next;
        if (link->emulator.ended && !link->greeted && link->redials == REDIALS_MAX)
            link_free(link);
        else if (is_silent(link))
            link_look_after(link);
    }
}

static void emulator_ready(struct relay_watch *watch, uint32_t events) {
    struct qmp_link *link = watch->owner;
    struct arrival arrival;

    if (may_read_emulator(link)) {
        side_read(link, &link->emulator, &arrival);
        /* It has forgotten the first, and hangs up on the next: there will be another. */
        if (link->emulator.ended && link->redials > 0 && is_silent(link)) {
            link->dialled_ms = loop_now_ms();
            loop_unwatch(&link->relay->loop, &link->emulator.watch);
            return;
        }
        if (link->human) {
            human_pass(link, &link->emulator, &link->client, &link->to_client, arrival.parcel);
        } else {
            if (arrival.parcel) {
                parcel_free(link->parcel);
                link->parcel = arrival.parcel;
            }
            reply_take_all(link);
        }
    }
    link_pump(link);
}

/* ---------------------------------------------------------------- beginning */

static void side_begin(struct side *side, int fd, void (*ready)(struct relay_watch *, uint32_t),
                       struct qmp_link *link, bool lines) {
    framing_init(&side->in, FRAMING_LIMIT, lines);
    side->watch = (struct relay_watch){.fd = fd, .ready = ready, .owner = link};
}

int link_begin(struct relay *relay, int client, int emulator, bool human,
               const struct link_owner *owner) {
    struct qmp_link *link = calloc(1, sizeof(*link));

    if (!link) {
        close(client);
        close(emulator);
        return -ENOMEM;
    }
    link->relay = relay;
    link->number = ++relay->link_count;
    link->owner = *owner;
    link->dialled_ms = loop_now_ms();
    link->human = human;
    link->pending = -1;
    link->starved = true;
    link->to_emulator = (struct rewrite_stream){.from = SETS_NAMED, .to = SETS_PASSED};
    link->to_client = (struct rewrite_stream){.from = SETS_PASSED, .to = SETS_NAMED};
    side_begin(&link->client, client, client_ready, link, false);
    side_begin(&link->emulator, emulator, emulator_ready, link, true);
    link->next = relay->links;
    link->previous = &relay->links;
    if (link->next)
        link->next->previous = &link->next;
    relay->links = link;
    link_watch(link);
    if (is_silent(link))
        loop_set_alarm(&relay->loop, REDIAL_MS);
    return 0;
}

void links_end(struct relay *relay) {
    while (relay->links)
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it takes itself out of the list */
        link_free(relay->links);
}

/* --------------------------------------------------------------- the helper */

void link_errand_done(struct errand *errand) {
    struct relay *relay = errand->owner;
    struct qmp_link *link = relay->links;

    while (link && link->number != errand->link)
        link = link->next;
    if (link) {
        link->busy = false;
        reply_errand(link, errand);
        link_pump(link);
    }
    errand_free(errand);
}

static void event_tell(struct qmp_link *link, const struct fdset_event *event,
                       const struct timeval *now) {
    uint64_t lost = link->lost + event->lost;
    char *text = NULL;

    if (link->client.out.length < EVENTS_MARK && link->held.length < EVENTS_MARK) {
        json_t *message =
            json_pack("{s:{s:I, s:I}, s:s, s:o}", "timestamp", "seconds", (json_int_t)now->tv_sec,
                      "microseconds", (json_int_t)now->tv_usec, "event", event_name(event->kind),
                      "data", event_json(event, lost));
        text = json_dumps(message, JSON_ENSURE_ASCII);
        json_decref(message);
    }
    if (text)
        reply_message(link, text);
    link->lost = text ? 0 : lost + 1;
    free(text);
}

void link_event(struct relay *relay, const struct fdset_event *event) {
    struct qmp_link *link = relay->links, *next;
    struct timeval now;

    if (!event_name(event->kind))
        return;
    gettimeofday(&now, NULL);
    for (; link; link = next) {
        next = link->next;
        if (!link->events)
            continue;
        event_tell(link, event, &now);
        link_pump(link);
    }
}
