/* SPDX-License-Identifier: MIT */
/* Attacks on the helper's time: see acts.h. */
#include "acts.h"

#include "events.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A set with as many members as there may be, for anybody; and one that never comes. */
#define CROWDED 3
#define NEVER   9
#define OWN     20
#define MEMBERS 4000

/* Connections of one machine that all ask at once. */
#define FEW  20
#define MANY 40

struct helper *acts_start(void) {
    return scene_start((const char *[]){"--limit", "connections=128", NULL});
}

/* -------------------------------------------------------------- what has to be there */

/* Takes leases until it gets no more, and lets their descriptors go at once. */
static void fill_leases(struct helper *helper) {
    uint8_t packet[FDSET_MAX_PACKET_BYTES];
    size_t length = pack_open_many(packet, 7, FDSET_MAX_OPENS);
    struct client *attacker = attacker_connect(helper);

    do
        client_send_bytes(attacker, packet, length, NULL, 0);
    while (client_answer(attacker, 7)->descriptors == FDSET_MAX_OPENS);
}

static void fill_waits(struct helper *helper) {
    struct client *attacker = attacker_connect(helper);
    Reply *reply;

    do {
        client_send_patient_open(attacker, "/dev/fdset/9", O_RDONLY, WAIT_FOREVER_MS);
        /* It is answered at once only where there is no room for it. */
        Fdset__V1__OpenMany none = FDSET__V1__OPEN_MANY__INIT;
        Request request = FDSET__V1__REQUEST__INIT;
        request.body_case = FDSET__V1__REQUEST__BODY_OPEN_MANY;
        request.open_many = &none;
        uint32_t barrier = client_send(attacker, &request, NULL, 0);
        reply = client_receive(attacker);
        if (reply->serial == barrier)
            continue;
        client_answer(attacker, barrier);
        return;
    } while (true);
}

void acts_fill_tables(struct helper *helper) {
    fill_leases(helper);
    fill_waits(helper);
}

static void fill_set(struct helper *helper) {
    struct new_member members[FDSET_MAX_OPENS];

    for (int i = 0; i < FDSET_MAX_OPENS; i++)
        members[i] = (struct new_member){
            .fd = scene_log(), .opaque = "one of many", .sharing = SHARING(SHARED)};
    for (int added = 0; added < MEMBERS; added += FDSET_MAX_OPENS)
        client_add_set(helper->manager, CROWDED, 0, members, FDSET_MAX_OPENS);
}

void acts_fill_all(struct helper *helper) {
    fill_set(helper);
    acts_fill_tables(helper);
}

/* Who listens and does not read: each event goes into a queue for each of them. */
static void fill_subscriptions(struct helper *helper) {
    for (int i = 0; i < 8; i++)
        subscriber_begin(helper, NULL, ALL_KINDS);
}

/* One for writing, for each attacker. */
static void add_own_sets(struct helper *helper) {
    for (int set = OWN; set < OWN + FEW; set++)
        client_add_one(helper->manager, set, file_open("own", O_RDWR));
}

/* ------------------------------------------------------------ one request, one answer */

static void open_and_close(struct attacker *attacker, int set) {
    struct opened opened = client_open_set(attacker->client, set, O_RDONLY);

    if (opened.fd >= 0)
        client_close(attacker->client, &opened);
    ++*attacker->served;
}

static void open_shared(struct attacker *attacker) {
    open_and_close(attacker, SHARED);
}

static void open_crowded(struct attacker *attacker) {
    open_and_close(attacker, CROWDED);
}

static void open_many(struct attacker *attacker, const char *path) {
    struct wanted wanted[FDSET_MAX_OPENS];
    struct opened results[FDSET_MAX_OPENS];
    uint64_t leases[FDSET_MAX_OPENS];
    size_t count = 0;

    for (int i = 0; i < FDSET_MAX_OPENS; i++)
        wanted[i] = (struct wanted){path, O_RDONLY};
    client_open_many(attacker->client, wanted, FDSET_MAX_OPENS, results);
    for (int i = 0; i < FDSET_MAX_OPENS; i++)
        if (results[i].fd >= 0) {
            harness_close(results[i].fd);
            leases[count++] = results[i].lease;
        }
    client_close_leases(attacker->client, leases, count);
    ++*attacker->served;
}

static void open_many_shared(struct attacker *attacker) {
    open_many(attacker, "/dev/fdset/2");
}

static void open_many_crowded(struct attacker *attacker) {
    open_many(attacker, "/dev/fdset/3");
}

/* Each byte of the packet is for a lease that it does not have, or that nobody has. */
static void close_unknown(struct attacker *attacker) {
    uint64_t leases[4000];

    for (uint32_t i = 0; i < 4000; i++)
        leases[i] = (uint32_t)attacker->round + i;
    client_close_leases(attacker->client, leases, 4000);
    client_barrier(attacker->client);
    ++*attacker->served;
}

static void look(struct attacker *attacker) {
    client_look(attacker->client, "/dev/fdset/3");
    ++*attacker->served;
}

static void hold(struct attacker *attacker) {
    client_hold(attacker->client, "/dev/fdset/3");
    client_unhold(attacker->client, "/dev/fdset/3");
    ++*attacker->served;
}

/* A path as long as a packet takes, of which the refusal tells. */
static void open_long_path(struct attacker *attacker) {
    static char path[FDSET_MAX_PACKET_BYTES - 100];

    memset(path, 'x', sizeof(path) - 1);
    client_open(attacker->client, path, O_RDONLY);
    ++*attacker->served;
}

static void open_many_in_vain(struct attacker *attacker) {
    open_many(attacker, "/dev/fdset/9");
}

/* Each lock is one more to be cleared as the lease ends. */
#define LOCKS 1000

static void lock_much(struct attacker *attacker) {
    struct opened opened = {.fd = -1};

    for (int set = OWN; opened.fd < 0; set = set + 1 < OWN + FEW ? set + 1 : OWN)
        opened = client_open_set(attacker->client, set, O_RDWR);
    for (int i = LOCKS; i > 0; i--) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2 * i, .l_len = 1};
        fcntl(opened.fd, F_OFD_SETLK, &lock);
    }
    client_close(attacker->client, &opened);
    ++*attacker->served;
}

#define WAITS_AT_ONCE 8

static void wait_in_vain(struct attacker *attacker) {
    uint32_t serial;

    for (int i = 0; i < WAITS_AT_ONCE; i++)
        client_send_patient_open(attacker->client, "/dev/fdset/9", O_RDONLY, 1);
    for (int i = 0; i < WAITS_AT_ONCE; i++)
        client_next_opened(attacker->client, &serial);
    ++*attacker->served;
}

static void query(struct attacker *attacker, const char *opaque) {
    Query query = FDSET__V1__QUERY__INIT;

    query.opaque = (char *)opaque;
    query.label_case = FDSET__V1__QUERY__LABEL_OPAQUE;
    client_query_with(attacker->client, &query);
    ++*attacker->served;
}

/* Of 4000 members none has this label. */
static void query_by_label(struct attacker *attacker) {
    query(attacker, "nobody's");
}

static void query_all(struct attacker *attacker) {
    client_query(attacker->client, SET_ALL, NULL);
    ++*attacker->served;
}

/* ------------------------------------------------------------- what ends a connection */

static void connect_and_leave(struct attacker *attacker) {
    attacker_come_back(attacker);
    ++*attacker->served;
}

static void connect_in_silence(struct attacker *attacker) {
    helper_forget(attacker->helper, helper_connect_silent(attacker->helper, ROLE(VMM)));
    ++*attacker->served;
}

/* Sends this, hears why that was wrong, and comes again. */
static void send_wrong(struct attacker *attacker, const void *bytes, size_t length) {
    client_send_bytes(attacker->client, bytes, length, NULL, 0);
    while (client_receive(attacker->client))
        ;
    attacker_come_back(attacker);
    ++*attacker->served;
}

static void send_garbage(struct attacker *attacker) {
    send_wrong(attacker, "\xff\xff\xff\xff", 4);
}

static void send_nothing(struct attacker *attacker) {
    send_wrong(attacker, "", 0);
}

/* As many unknown fields as there is room for. */
static void send_bomb(struct attacker *attacker) {
    uint8_t bytes[FDSET_MAX_PACKET_BYTES];

    for (size_t i = 0; i < sizeof(bytes); i += 4)
        memcpy(bytes + i, "\xf8\xff\x7f", 4);
    send_wrong(attacker, bytes, sizeof(bytes));
}

/* It reads no more, and asks; then it asks no more. */
static void shut_half(struct attacker *attacker) {
    shutdown(attacker->client->socket, attacker->round % 2 ? SHUT_RD : SHUT_WR);
    client_send_open(attacker->client, "/dev/fdset/2", O_RDONLY);
    attacker_come_back(attacker);
    ++*attacker->served;
}

/* Everything lies unread as it goes. */
static void leave_unread(struct attacker *attacker) {
    for (int i = 0; i < 3; i++)
        attacker_ask(attacker->client, FDSET_MAX_OPENS);
    attacker_come_back(attacker);
    ++*attacker->served;
}

/* The kernel keeps it out, or the helper does. */
static void send_descriptors(struct attacker *attacker) {
    int fds[16];

    for (int i = 0; i < 16; i++)
        fds[i] = attacker->client->socket;
    if (packet_send(attacker->client->socket, (const uint8_t *)"\xff", 1, fds, 16, 0) == 0)
        while (client_receive(attacker->client))
            ;
    attacker_come_back(attacker);
    ++*attacker->served;
}

const struct attack attacks[ATTACKS] = {
    {"one_in_lockstep", ROLE(VMM), 1, open_shared, NULL},
    {"twenty_in_lockstep", ROLE(VMM), FEW, open_shared, NULL},
    {"forty_in_lockstep", ROLE(VMM), MANY, open_shared, NULL},
    {"twenty_in_lockstep_at_full_tables", ROLE(VMM), FEW, open_shared, acts_fill_tables},
    {"two_with_tiny_closes_at_full_tables", ROLE(VMM), 2, open_shared, acts_fill_tables},
    {"two_with_many_opens_at_once", ROLE(VMM), 2, open_many_shared, fill_waits},
    {"two_in_a_crowded_set", ROLE(VMM), 2, open_crowded, acts_fill_all},
    {"two_with_many_opens_in_a_crowded_set", ROLE(VMM), 2, open_many_crowded, fill_set},
    {"two_that_close_what_they_do_not_have", ROLE(VMM), 2, close_unknown, fill_leases},
    {"two_that_look", ROLE(VMM), 2, look, acts_fill_all},
    {"two_that_hold", ROLE(VMM), 2, hold, acts_fill_all},
    {"two_with_long_paths", ROLE(VMM), 2, open_long_path, NULL},
    {"two_in_vain_while_eight_listen", ROLE(VMM), 2, open_many_in_vain, fill_subscriptions},
    {"two_that_lock_much", ROLE(VMM), 2, lock_much, add_own_sets},
    {"two_that_wait_a_millisecond", ROLE(VMM), 2, wait_in_vain, fill_leases},
    {"two_observers_that_seek_a_label", ROLE(OBSERVER), 2, query_by_label, fill_set},
    {"two_observers_that_list_all", ROLE(OBSERVER), 2, query_all, acts_fill_all},
    {"two_that_connect_again_and_again", ROLE(VMM), 2, connect_and_leave, acts_fill_tables},
    {"two_that_connect_in_silence", ROLE(VMM), 2, connect_in_silence, NULL},
    {"two_that_send_garbage", ROLE(VMM), 2, send_garbage, NULL},
    {"two_that_send_empty_packets", ROLE(VMM), 2, send_nothing, NULL},
    {"two_that_send_bombs", ROLE(VMM), 2, send_bomb, NULL},
    {"two_that_shut_one_direction", ROLE(VMM), 2, shut_half, NULL},
    {"two_that_leave_all_unread", ROLE(VMM), 2, leave_unread, NULL},
    {"two_that_send_descriptors", ROLE(VMM), 2, send_descriptors, NULL},
};
