/* SPDX-License-Identifier: MIT */
/* One history from its helper's start to its end. */
#include "play.h"

#include "events.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SETTABLE (O_APPEND | O_DIRECT | O_NOATIME | O_NONBLOCK)
#define FIXED    (O_ACCMODE | O_DSYNC | O_PATH | O_SYNC)

/* What each of the helper's descriptors is of is looked at now and then only. */
#define LOOK_EVERY 32

/* ---------------------------------------------------------------- after a step */

void play_close_lease(struct play *play, uint32_t order) {
    int *fd = &play->lease_fds[order % PLAY_ORDERS];
    if (*fd >= 0)
        harness_close(*fd);
    *fd = -1;
}

/* Our descriptors of leases that have ended, and of members that are no more. */
static void put_away_descriptors(struct play *play) {
    const struct reference *ref = &play->ref;
    for (int i = 0; i < ref->event_count; i++)
        if (ref->events[i].kind == EVENT(CLOSED))
            play_close_lease(play, ref->events[i].order);
    for (int i = 0; i < ref->gone_count; i++)
        harness_close(ref->gone[i]);
}

static void check_flags(const struct ref_member *member, int fd) {
    int flags = fcntl(fd, F_GETFL) & (FIXED | SETTABLE);
    int expected = (member->flags & FIXED) | member->status;
    if (flags != expected)
        fail_msg("member %u has flags %#o and should have %#o", member->id, flags, expected);
}

/* What the manager passed is as it was, but for what leases do to it. */
static void check_members(struct play *play) {
    const struct reference *ref = &play->ref;
    for (int i = 0; i < ref->member_count; i++)
        check_flags(&ref->members[i], ref->members[i].fd);
    for (int i = 0; i < ref->lease_count; i++)
        check_flags(ref_find_member(&play->ref, ref->leases[i].member),
                    play->lease_fds[ref->leases[i].order % PLAY_ORDERS]);
    for (int file = 0; file <= FILE_MEMFD && play->locks; file++) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        bool locked = false;
        for (int i = 0; i < ref->member_count; i++)
            locked |= ref->members[i].file == file && ref->members[i].locked;
        assert_int_equal(fcntl(play->world.files[file].base, F_OFD_GETLK, &lock), 0);
        assert_int_equal(lock.l_type != F_UNLCK, locked);
    }
}

/* The helper has the members' descriptors and the connections', by number and by
 * what they are of, and no other. */
static void check_descriptors(struct play *play) {
    const struct reference *ref = &play->ref;
    int connections = -2, before = play->helper->descriptors; /* two of which were there */
    if (before < 0)
        return;
    for (int i = 0; i < REF_CLIENTS; i++)
        connections += ref->clients[i].connected;
    assert_int_equal(helper_descriptors(play->helper), before + connections + ref->member_count);
    if (play->steps % LOOK_EVERY != 0)
        return;
    for (int file = 0; file < FILE_COUNT; file++) {
        int times = 0;
        if (file == FILE_DEVICE) /* its standard streams may be the same */
            continue;
        for (int i = 0; i < ref->member_count; i++)
            times += ref->members[i].file == file;
        assert_held(play->helper, play->world.files[file].base, times);
    }
}

/* Asks until both sides agree; where nothing is under way any more and no time has
 * to pass, they must at once. */
static void check_listing(struct play *play, bool timed) {
    static struct text expected, got;
    struct reference *ref = &play->ref;
    struct question question = {.query = FDSET__V1__QUERY__INIT};
    uint32_t connections = 0;
    bool told = false;
    for (int i = 0; i < REF_CLIENTS; i++)
        connections += ref->clients[i].connected;
    for (time_t began = time(NULL);; be_patient(began, "what the reference expects")) {
        Totals totals = listing_ask(play->clients[CLIENT_AUDITOR], &question, &got);
        watch_all(play);
        listing_expected(ref, &question, &expected);
        bool quiet = totals.settling == 0 && totals.connections == connections;
        if (quiet && strcmp(expected.bytes, got.bytes) == 0)
            return;
        if (quiet && !timed) {
            text_difference(&expected, &got);
            fail_msg("what Query says differs");
        }
        play->slow |= time(NULL) > began + 2;
        if (play->slow && !told)
            text_difference(&expected, &got);
        told = play->slow;
    }
}

void play_finish(struct play *play) {
    if (play->ref.served_events < 0)
        ref_served(&play->ref);
    bool timed = ref_time_passes(&play->ref);
    check_listing(play, timed);
    watch_check(play);
    put_away_descriptors(play);
    check_members(play);
    check_descriptors(play);
    memset(play->event_counts, 0, sizeof(play->event_counts));
    memset(play->lost, 0, sizeof(play->lost));
    play->out_of_order = false;
    play->steps++;
}

/* ------------------------------------------------------------------ a history */

/* Each is small enough to be reached all the time, or else sometimes. */
static uint32_t choose_limit(struct play *play, uint32_t least, uint32_t often, uint32_t most) {
    uint32_t from = chance(play, 30) ? least : often;
    return from + roll(play, (from == least ? often : most) - from + 1);
}

static void choose_limits(struct play *play, uint64_t seed, struct ref_limits *limits) {
    play->state = seed * 0x2545f4914f6cdd1d;
    *limits = (struct ref_limits){
        .sets = choose_limit(play, 3, 8, 20),
        .members = choose_limit(play, 6, 30, REF_MEMBERS),
        .leases = choose_limit(play, 4, 20, REF_LEASES),
        .leases_per_vmm = choose_limit(play, 2, 10, 40),
        .connections = choose_limit(play, 6, 10, 16),
        .waiting = choose_limit(play, 1, 8, REF_WAITING),
        .holds = choose_limit(play, 1, 8, REF_HOLDS),
        .events = choose_limit(play, 1, 8, 64),
    };
}

static void start_helper(struct play *play, const struct ref_limits *limits) {
    const uint32_t values[] = {limits->sets,           limits->members,     limits->leases,
                               limits->leases_per_vmm, limits->connections, limits->waiting,
                               limits->holds,          limits->events};
    static const char *const names[] = {"sets",        "members", "leases", "leases-per-vmm",
                                        "connections", "waiting", "holds",  "events"};
    char words[8][32];
    const char *options[17] = {NULL};
    for (int i = 0; i < 8; i++) {
        snprintf(words[i], sizeof(words[i]), "%s=%u", names[i], values[i]);
        say(play, "%s ", words[i]);
        options[2 * i] = "--limit";
        options[2 * i + 1] = words[i];
    }
    say(play, "\n");
    play->helper = helper_start(options);
    play->clients[CLIENT_BIRTH_VMM] = play->helper->vmm;
    play->clients[CLIENT_BIRTH_MANAGER] = play->helper->manager;
}

/* What depends on the machine: who we are to the helper. */
static void learn(struct play *play) {
    struct helper *helper = play->helper;
    struct client *manager = helper_connect_owner(helper, "probe", "probe");
    struct new_member member = {.fd = world_open(&play->world, 0, O_RDONLY)};
    struct new_set set = {.set = 0, .members = &member, .count = 1, .lifetime = LIFETIME(KEEP)};
    client_add_new(manager, set);
    client_wait_settled(manager);
    play->world.late_user = client_query(manager, 0, NULL)->sets[0]->owner_uid;
    struct client *vmm = helper_connect(helper, ROLE(VMM), "probe");
    struct opened opened = client_open_set(vmm, 0, O_RDONLY);
    QueryReply *page = client_query(manager, 0, NULL);
    play->world.sees_pid = page->sets[0]->members[0]->leases[0]->pid != 0;
    client_close(vmm, &opened);
    opened = client_open_set(vmm, 0, O_RDONLY | O_NOATIME);
    play->world.sets_noatime = opened.fd >= 0;
    if (opened.fd >= 0)
        client_close(vmm, &opened);
    client_barrier(vmm);
    client_remove(manager, 0, 0);
    client_leave(helper, vmm);
    client_leave(helper, manager);
    client_wait_settled(helper->manager);
    harness_close(member.fd);
}

/* From here on the reference knows as much as the helper. */
static void take_stock(struct play *play) {
    struct reference *ref = &play->ref;
    struct helper *helper = play->helper;
    play->clients[CLIENT_AUDITOR] = helper_connect(helper, ROLE(OBSERVER), "auditor");
    Totals totals = client_totals(play->clients[CLIENT_AUDITOR]);
    ref_connect(ref, CLIENT_BIRTH_VMM, ROLE(VMM), getpid(), false);
    ref_connect(ref, CLIENT_BIRTH_MANAGER, ROLE(MANAGER), getpid(), false);
    ref->next_connection = (uint32_t)totals.accepted;
    ref_connect(ref, CLIENT_AUDITOR, ROLE(OBSERVER), getpid(), true);
    for (int i = 0; i < REF_CLIENTS; i++)
        ref->clients[i].greeted = ref->clients[i].connected;
    strcpy(ref->clients[CLIENT_BIRTH_VMM].name, "test vmm");
    strcpy(ref->clients[CLIENT_BIRTH_MANAGER].name, "test manager");
    ref->totals.opens = totals.opens;
    ref->totals.denied = totals.denied;
    ref->totals.closes = totals.closes;
    ref->totals.hangups = totals.hangups;
    ref->totals.added = totals.added;
    ref->totals.removed = totals.removed;
    ref->next_set = 1;
    ref->next_member = 2;
}

/* The number of all events so far, which the first that is heard of tells. */
static void count_events(struct play *play) {
    struct helper *helper = play->helper;
    struct client *listener = helper_connect(helper, ROLE(OBSERVER), "probe");
    client_subscribe(listener);
    struct client *vmm = helper_connect(helper, ROLE(VMM), "probe");
    play->ref.sequence = client_event(listener, EVENT(VMM_CONNECTED))->sequence + 1;
    client_leave(helper, vmm);
    client_leave(helper, listener);
}

static struct play play;

void play_abandon(void) {
    harness_put_away();
    world_remove(&play.world);
}

void play_history(uint64_t seed, const struct step *steps, size_t count, bool trace) {
    struct ref_limits limits;
    play = (struct play){.trace = trace};
    for (int i = 0; i < PLAY_ORDERS; i++)
        play.lease_fds[i] = -1;
    world_make(&play.world);
    assert_int_equal(harness_begin(NULL), 0);
    choose_limits(&play, seed, &limits);
    start_helper(&play, &limits);
    learn(&play);
    ref_begin(&play.ref, &play.world, &limits);
    count_events(&play);
    take_stock(&play);
    for (size_t i = 0; i < count; i++)
        act_do(&play, &steps[i]);
    assert_int_equal(harness_end(NULL), 0);
    world_remove(&play.world);
}
