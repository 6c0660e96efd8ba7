/* SPDX-License-Identifier: MIT */
/* What a client can do. */
#include "play.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ----------------------------------------------------------- coming, going */

static int role_of(int client) {
    static const int roles[REF_CLIENTS] = {
        ROLE(VMM),      ROLE(MANAGER),  ROLE(VMM),      ROLE(VMM),     ROLE(VMM),
        ROLE(VMM),      ROLE(VMM),      ROLE(MANAGER),  ROLE(MANAGER), ROLE(MANAGER),
        ROLE(OBSERVER), ROLE(OBSERVER), ROLE(OBSERVER), ROLE(VMM),
    };
    return roles[client];
}

/* The request's serial if the reference let it pass, for those that follow. */
static void say_hello(struct play *play, int client, const char *name, const char *owner) {
    Fdset__V1__Hello hello = FDSET__V1__HELLO__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    hello.version = 1 + roll(play, 3);
    hello.features = UINT64_C(1) << FDSET__V1__FEATURE__FEATURE_LOOK;
    hello.name = (char *)name;
    hello.owner = (char *)owner;
    request.body_case = FDSET__V1__REQUEST__BODY_HELLO;
    request.hello = &hello;
    uint32_t serial = client_send(play->clients[client], &request, NULL, 0);
    ref_hello(&play->ref, client, serial, name, owner);
    watch_reply(play, client, serial);
}

static void forget_client(struct play *play, int client) {
    helper_forget(play->helper, play->clients[client]);
    play->clients[client] = NULL;
    play->event_counts[client] = 0;
}

/* Connects, and sometimes gets its first words wrong. */
static void act_connect(struct play *play, int client) {
    static const char *const owners[] = {"", "", "alpha", "alpha", "beta"};
    static const char *const names[] = {"a client", "b\xc3\xa4", "", too_long_name};
    say(play, "client %d connects\n", client);
    play->clients[client] = helper_connect_silent(play->helper, role_of(client));
    if (!ref_connect(&play->ref, client, role_of(client), getpid(), true)) {
        watch_reply(play, client, 0);
        assert_hung_up(play->clients[client]);
        forget_client(play, client);
        return;
    }
    if (chance(play, 5))
        say_hello(play, client, "bad", chance(play, 50) ? too_long_name : "\x01");
    say_hello(play, client, names[roll(play, 4)], owners[roll(play, 5)]);
}

static void act_hang_up(struct play *play, int client) {
    if (client == CLIENT_BIRTH_VMM || client == CLIENT_BIRTH_MANAGER)
        return;
    say(play, "client %d hangs up\n", client);
    forget_client(play, client);
    play->ref.requester = -1;
    ref_hang_up(&play->ref, client);
}

/* ------------------------------------------------------------ small requests */

static void act_remove(struct play *play, int client) {
    Fdset__V1__RemoveFd remove = FDSET__V1__REMOVE_FD__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    struct reference *ref = &play->ref;
    bool one = chance(play, 60);
    remove.set = chance(play, 2) ? -1 : (int32_t)roll(play, 10);
    remove.member = chance(play, 5) ? roll(play, 3) : ref->next_member - roll(play, 20);
    if (ref->member_count > 0 && chance(play, 85)) {
        const struct ref_member *member = &ref->members[roll(play, (uint32_t)ref->member_count)];
        remove.set = member->set;
        remove.member = member->id;
    }
    if (one)
        remove.which_case = FDSET__V1__REMOVE_FD__WHICH_MEMBER;
    say(play, "client %d removes member %u of set %d\n", client, one ? remove.member : 0,
        remove.set);
    request.body_case = FDSET__V1__REQUEST__BODY_REMOVE_FD;
    request.remove_fd = &remove;
    uint32_t serial = client_send(play->clients[client], &request, NULL, 0);
    ref_remove(ref, client, serial, remove.set, one, remove.member);
    watch_reply(play, client, serial);
}

uint32_t begin_hold(struct play *play, int client) {
    Fdset__V1__Hold hold = FDSET__V1__HOLD__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    char path[300];
    choose_path(play, path, sizeof(path));
    say(play, "client %d holds %s\n", client, path);
    hold.path = path;
    request.body_case = FDSET__V1__REQUEST__BODY_HOLD;
    request.hold = &hold;
    uint32_t serial = client_send(play->clients[client], &request, NULL, 0);
    ref_hold(&play->ref, client, serial, path);
    return serial;
}

static void act_hold(struct play *play, int client) {
    watch_reply(play, client, begin_hold(play, client));
}

uint32_t begin_unhold(struct play *play, int client) {
    Fdset__V1__Unhold unhold = FDSET__V1__UNHOLD__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    char path[300];
    choose_path(play, path, sizeof(path));
    say(play, "client %d unholds %s\n", client, path);
    unhold.path = path;
    request.body_case = FDSET__V1__REQUEST__BODY_UNHOLD;
    request.unhold = &unhold;
    uint32_t serial = client_send(play->clients[client], &request, NULL, 0);
    ref_unhold(&play->ref, client, serial, path);
    return serial;
}

static void act_unhold(struct play *play, int client) {
    watch_reply(play, client, begin_unhold(play, client));
}

static void act_subscribe(struct play *play, int client) {
    static const uint32_t usual = 1u << EVENT(ADDED) | 1u << EVENT(REMOVED) | 1u << EVENT(WANTED) |
                                  1u << EVENT(SET_GONE) | 1u << EVENT(VMM_CONNECTED) |
                                  1u << EVENT(VMM_GONE) | 1u << EVENT(SETTLE_STUCK);
    Fdset__V1__Subscribe subscribe = FDSET__V1__SUBSCRIBE__INIT;
    Fdset__V1__EventKind kinds[3];
    Request request = FDSET__V1__REQUEST__INIT;
    uint32_t mask = 0;
    subscribe.kinds = kinds;
    subscribe.n_kinds = roll(play, 4);
    subscribe.all = chance(play, 50);
    bool bad = subscribe.n_kinds > 0 && chance(play, 5);
    if (client == CLIENT_BIRTH_MANAGER)
        return; /* with which the harness puts everything away */
    for (size_t i = 0; i < subscribe.n_kinds; i++) {
        kinds[i] = (Fdset__V1__EventKind)(1 + roll(play, 10));
        mask |= 1u << kinds[i];
    }
    if (bad)
        kinds[0] = chance(play, 50) ? 0 : 11;
    say(play, "client %d subscribes\n", client);
    request.body_case = FDSET__V1__REQUEST__BODY_SUBSCRIBE;
    request.subscribe = &subscribe;
    uint32_t serial = client_send(play->clients[client], &request, NULL, 0);
    if (bad)
        ref_refuse(&play->ref, client, serial, CODE(ARGUMENT), EINVAL);
    else
        ref_subscribe(&play->ref, client, serial, subscribe.all ? 0x7fe : mask ? mask : usual);
    watch_reply(play, client, serial);
}

/* ------------------------------------------------------------------- closing */

static struct ref_lease *some_lease(struct play *play, int client) {
    struct reference *ref = &play->ref;
    for (int i = 0, from = (int)roll(play, 64); i < ref->lease_count; i++) {
        struct ref_lease *lease = &ref->leases[(i + from) % ref->lease_count];
        if (lease->client == client)
            return lease;
    }
    return NULL;
}

void act_barrier(struct play *play, int client) {
    Request request = FDSET__V1__REQUEST__INIT;
    Fdset__V1__OpenMany none = FDSET__V1__OPEN_MANY__INIT;
    request.body_case = FDSET__V1__REQUEST__BODY_OPEN_MANY;
    request.open_many = &none;
    ref_served(&play->ref); /* who waited may hear of it before */
    uint32_t serial = client_send(play->clients[client], &request, NULL, 0);
    ref_refuse(&play->ref, client, serial, CODE(ARGUMENT), EINVAL);
    watch_reply(play, client, serial);
}

/* Its own, somebody else's, the same twice, or none. */
void begin_close(struct play *play, int client) {
    struct reference *ref = &play->ref;
    uint64_t leases[4];
    size_t count = 1 + roll(play, 3);
    for (size_t i = 0; i < count; i++) {
        const struct ref_lease *lease = some_lease(play, client);
        leases[i] = roll(play, 1000000);
        if (lease && chance(play, 90))
            leases[i] = lease->id;
        else if (ref->lease_count > 0 && chance(play, 70))
            leases[i] = ref->leases[0].id;
    }
    say(play, "client %d closes %zu leases from %llu\n", client, count,
        (unsigned long long)leases[0]);
    client_close_leases(play->clients[client], leases, count);
    ref_close(ref, client, leases, count);
}

static void act_close(struct play *play, int client) {
    begin_close(play, client);
    act_barrier(play, client);
}

/* Leaves another's flags and locks behind, as the last user of a description. */
static void act_close_dirty(struct play *play, int client) {
    struct ref_lease *lease = some_lease(play, client);
    if (!lease)
        return;
    struct ref_member *member = ref_find_member(&play->ref, lease->member);
    int fd = play->lease_fds[lease->order % PLAY_ORDERS];
    int mode = fcntl(fd, F_GETFL) & O_ACCMODE;
    struct flock lock = {.l_type = mode == O_RDONLY ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};
    if (member->file <= FILE_MEMFD && fcntl(fd, F_OFD_SETLK, &lock) == 0) {
        member->locked = play->locks = true;
        say(play, "client %d locks member %u\n", client, member->id);
    }
    if (ref_member_leases(&play->ref, member->id) == 1)
        assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) ^ (O_APPEND | O_NONBLOCK)), 0);
    uint64_t id = lease->id;
    say(play, "client %d closes lease %u\n", client, (unsigned)id);
    client_close_leases(play->clients[client], &id, 1);
    ref_close(&play->ref, client, &id, 1);
    act_barrier(play, client);
}

/* ------------------------------------------------------------------- queries */

static void act_query(struct play *play, int client) {
    static const char *const names[] = {"", "", "", "disk0", "log"};
    static const char *const owners[] = {"", "", "", "alpha", "beta"};
    static const char *const opaques[] = {"", "base:rw", "x"};
    static struct text expected, got;
    struct reference *ref = &play->ref;
    struct question question = {.query = FDSET__V1__QUERY__INIT};
    Query *query = &question.query;
    Cursor after = FDSET__V1__CURSOR__INIT;
    query->name = (char *)names[roll(play, 5)];
    query->owner = (char *)owners[roll(play, 5)];
    if (chance(play, 25)) {
        query->which_case = FDSET__V1__QUERY__WHICH_SET;
        query->set = chance(play, 5) ? -1 : (int32_t)roll(play, 9);
    }
    if (chance(play, 25)) {
        query->label_case = FDSET__V1__QUERY__LABEL_OPAQUE;
        query->opaque = (char *)opaques[roll(play, 3)];
    }
    if (chance(play, 30) && ref->lease_count > 0) {
        const struct ref_lease *lease = &ref->leases[roll(play, (uint32_t)ref->lease_count)];
        after.member = lease->member;
        after.set = ref_find_member(ref, lease->member)->set;
        after.lease = chance(play, 80) ? lease->id : UINT32_MAX;
        query->after = &after;
    }
    say(play, "client %d queries\n", client);
    int code = listing_refusal(ref, query);
    if (code) {
        Request request = FDSET__V1__REQUEST__INIT;
        request.body_case = FDSET__V1__REQUEST__BODY_QUERY;
        request.query = query;
        uint32_t serial = client_send(play->clients[client], &request, NULL, 0);
        ref_refuse(ref, client, serial, code, code == CODE(ARGUMENT) ? EINVAL : ENOENT);
        watch_reply(play, client, serial);
        return;
    }
    listing_ask(play->clients[client], &question, &got);
    listing_expected(ref, &question, &expected);
    if (strcmp(expected.bytes, got.bytes) != 0) {
        text_difference(&expected, &got);
        fail_msg("the answer to a query differs");
    }
}

/* -------------------------------------------------------------------- wrong */

/* Well-formed, but not for this client or with the wrong descriptors. It lives on. */
static void act_wrong(struct play *play, int client) {
    Request request = FDSET__V1__REQUEST__INIT;
    Fdset__V1__Query query = FDSET__V1__QUERY__INIT;
    Fdset__V1__Hold hold = FDSET__V1__HOLD__INIT;
    struct client *who = play->clients[client];
    bool vmm = role_of(client) == ROLE(VMM), manager = role_of(client) == ROLE(MANAGER);
    uint32_t kind = roll(play, 3), serial = 0;
    int code = CODE(ROLE), error = EPERM;
    char path[] = "/dev/fdset/1";
    hold.path = path;
    request.body_case =
        vmm == (kind == 0) ? FDSET__V1__REQUEST__BODY_QUERY : FDSET__V1__REQUEST__BODY_HOLD;
    if (request.body_case == FDSET__V1__REQUEST__BODY_QUERY)
        request.query = &query;
    else
        request.hold = &hold;
    say(play, "client %d does wrong, %u\n", client, kind);
    if (kind == 1)
        serial = client_send_announcing(who, &request, 1, NULL, 0);
    else if (kind == 2 && manager)
        serial = client_send(who, &request, &play->world.files[0].base, 1);
    else if (kind == 2) {
        static uint8_t bytes[FDSET_MAX_PACKET_BYTES + 100];
        memset(bytes, 0xff, sizeof(bytes));
        client_send_bytes(who, bytes, sizeof(bytes), NULL, 0);
    } else {
        serial = client_send(who, &request, NULL, 0);
    }
    if (kind > 0)
        code = CODE(DESCRIPTORS), error = EPROTO;
    ref_refuse(&play->ref, client, serial, code, error);
    watch_reply(play, client, serial);
}

/* No request at all: the helper says so and hangs up. */
static void act_malformed(struct play *play, int client) {
    Request request = FDSET__V1__REQUEST__INIT;
    Fdset__V1__Hello hello = FDSET__V1__HELLO__INIT;
    struct client *who = play->clients[client];
    uint8_t bytes[FDSET_MAX_PACKET_BYTES];
    uint32_t kind = roll(play, 4), serial = 0;
    if (client == CLIENT_BIRTH_VMM || client == CLIENT_BIRTH_MANAGER)
        return;
    say(play, "client %d sends a malformed packet, %u\n", client, kind);
    hello.version = 1;
    request.body_case = FDSET__V1__REQUEST__BODY_HELLO;
    request.hello = &hello;
    if (kind == 0) {
        client_send_bytes(who, "\xff\xff\xff", 3, NULL, 0);
    } else if (kind == 1) {
        request.body_case = FDSET__V1__REQUEST__BODY__NOT_SET;
        serial = client_send(who, &request, NULL, 0);
    } else if (kind == 2) {
        serial = client_send(who, &request, NULL, 0);
    } else {
        int length = packet_encode(&request.base, bytes);
        client_send_bytes(who, bytes, (size_t)length, NULL, 0);
    }
    play->ref.requester = -1;
    ref_malformed(&play->ref, client, serial);
    watch_reply(play, client, serial);
    assert_hung_up(who);
    forget_client(play, client);
}

/* ---------------------------------------------------------------- the table */

static const struct act {
    const char *name;
    int role; /* 0: any */
    uint32_t weight;
    void (*act)(struct play *play, int client);
} acts[] = {
    {"connect", 0, 40, NULL},
    {"hang-up", 0, 30, act_hang_up},
    {"add", ROLE(MANAGER), 170, act_add},
    {"remove", ROLE(MANAGER), 50, act_remove},
    {"open", ROLE(VMM), 220, act_open},
    {"open-many", ROLE(VMM), 60, act_open_many},
    {"wait", ROLE(VMM), 60, act_wait},
    {"wait-shortly", ROLE(VMM), 10, act_wait_shortly},
    {"close", ROLE(VMM), 140, act_close},
    {"close-dirty", ROLE(VMM), 70, act_close_dirty},
    {"pipeline", ROLE(VMM), 60, act_pipeline},
    {"look", ROLE(VMM), 30, act_look},
    {"hold", ROLE(VMM), 30, act_hold},
    {"unhold", ROLE(VMM), 30, act_unhold},
    {"query", ROLE(MANAGER), 40, act_query},
    {"subscribe", ROLE(MANAGER), 20, act_subscribe},
    {"observe", ROLE(OBSERVER), 20, act_query},
    {"listen", ROLE(OBSERVER), 20, act_subscribe},
    {"wrong", 0, 20, act_wrong},
    {"malformed", 0, 10, act_malformed},
    {"die", 0, 12, act_die},
};

#define ACTS (sizeof(acts) / sizeof(acts[0]))

const char *act_name(uint32_t act) {
    return acts[act % ACTS].name;
}

uint32_t act_find(const char *name) {
    for (uint32_t i = 0; i < ACTS; i++)
        if (strcmp(acts[i].name, name) == 0)
            return i;
    return UINT32_MAX;
}

uint32_t act_choose(uint32_t number) {
    uint32_t total = 0, i = 0;
    for (i = 0; i < ACTS; i++)
        total += acts[i].weight;
    number %= total;
    for (i = 0; number >= acts[i].weight; i++)
        number -= acts[i].weight;
    return i;
}

/* A client of the role; the dice of a step say which. */
static int choose_client(uint32_t who, int role) {
    for (int client = (int)(who % CLIENT_AUDITOR);; client = (client + 1) % CLIENT_AUDITOR)
        if (!role || role_of(client) == role)
            return client;
}

void act_do(struct play *play, const struct step *step) {
    const struct act *act = &acts[step->act % ACTS];
    int client = choose_client(step->who, act->role);
    play->state = (uint64_t)step->dice << 32 | step->who;
    ref_step(&play->ref, client);
    say(play, "%6d %s: ", play->steps, act->name);
    if (act->act == act_die)
        act_die(play, CLIENT_DOOMED);
    else if (!play->clients[client])
        act_connect(play, client);
    else if (act->act)
        act->act(play, client);
    play_finish(play);
}
