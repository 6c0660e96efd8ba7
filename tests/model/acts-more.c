/* What a client can do: opens and adds. */
#include "play.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------ opening */

static void open_with(struct play *play, int client, uint32_t wait_ms) {
    struct intent intent;
    choose_open(play, client, &intent);
    say(play, "client %d opens %s with %#o, waits %u\n", client, intent.path, intent.flags,
        wait_ms);
    uint32_t serial =
        client_send_patient_open(play->clients[client], intent.path, intent.flags, wait_ms);
    ref_open(&play->ref, client, serial, intent.path, intent.flags, wait_ms);
    watch_reply(play, client, serial);
    if (wait_ms > 0)
        barrier(play, client);
}

void act_open(struct play *play, int client) {
    open_with(play, client, 0);
}

void act_wait(struct play *play, int client) {
    if (client == CLIENT_BIRTH_VMM)
        return; /* the harness's end wants no reply that comes late */
    open_with(play, client, chance(play, 2) ? WAIT_FOREVER_MS + 1 : WAIT_FOREVER_MS);
}

void act_wait_shortly(struct play *play, int client) {
    struct intent intent;
    choose_open(play, client, &intent);
    say(play, "client %d opens %s with %#o, waits shortly\n", client, intent.path, intent.flags);
    uint32_t serial = client_send_patient_open(play->clients[client], intent.path, intent.flags, 1);
    ref_open(&play->ref, client, serial, intent.path, intent.flags, 1);
    watch_reply(play, client, serial);
}

static uint32_t send_open_many(struct client *client, const struct wanted *wanted,
                               const uint32_t *wait_ms, size_t count) {
    Fdset__V1__Open opens[16], *pointers[16];
    Fdset__V1__OpenMany many = FDSET__V1__OPEN_MANY__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    for (size_t i = 0; i < count; i++) {
        fdset__v1__open__init(&opens[i]);
        opens[i].path = (char *)wanted[i].path;
        opens[i].flags = (uint32_t)wanted[i].flags;
        opens[i].wait_ms = wait_ms[i];
        pointers[i] = &opens[i];
    }
    many.opens = pointers;
    many.n_opens = count;
    request.body_case = FDSET__V1__REQUEST__BODY_OPEN_MANY;
    request.open_many = &many;
    return client_send(client, &request, NULL, 0);
}

void act_open_many(struct play *play, int client) {
    struct intent intents[16];
    struct wanted wanted[16];
    uint32_t wait_ms[16];
    size_t count = roll(play, chance(play, 10) ? 16 : 5);
    for (size_t i = 0; i < count; i++) {
        choose_open(play, client, &intents[i]);
        wanted[i] = (struct wanted){intents[i].path, intents[i].flags};
        wait_ms[i] = chance(play, 2) ? 1 : 0;
        say(play, "%s %#o, ", intents[i].path, intents[i].flags);
    }
    say(play, "opened by client %d\n", client);
    uint32_t serial = send_open_many(play->clients[client], wanted, wait_ms, count);
    ref_open_many(&play->ref, client, serial, wanted, wait_ms, count);
    watch_reply(play, client, serial);
}

/* ------------------------------------------------------------------- adding */

static const char *choose_opaque(struct play *play) {
    static char longest[256], too_long[257];
    static const char *const usual[] = {NULL, NULL, NULL, "", "base:rw", "base:rw", "x"};
    memset(longest, 'o', 255);
    memset(too_long, 'o', 256);
    if (chance(play, 1))
        return chance(play, 50) ? too_long : "\xff";
    return chance(play, 5) ? longest : usual[roll(play, 7)];
}

static void choose_member(struct play *play, struct addition_plan *plan, int file) {
    static const int modes[] = {O_RDONLY, O_RDWR, O_RDWR, O_WRONLY};
    struct new_member *member = &plan->members[plan->member_count];
    struct ref_offer *offer = &plan->offers[plan->member_count++];
    int flags = modes[roll(play, 4)];
    flags |= chance(play, 25) ? O_DIRECT : 0;
    flags |= chance(play, 15) ? O_APPEND : 0;
    flags |= chance(play, 10) ? O_NONBLOCK : 0;
    flags |= chance(play, 5) ? O_NOATIME : 0;
    flags |= chance(play, 10) ? (chance(play, 50) ? O_SYNC : O_DSYNC) : 0;
    if (chance(play, 1))
        file = FILE_COUNT + (int)roll(play, 3);
    offer->file = file;
    offer->fd = world_open(&play->world, file, flags);
    offer->flags = fcntl(offer->fd, F_GETFL);
    *member = (struct new_member){
        .fd = offer->fd,
        .opaque = choose_opaque(play),
        .sharing = chance(play, 1)    ? 3
                   : chance(play, 60) ? 0
                                      : 1 + (int)roll(play, 2),
        .serves_read_only = chance(play, 20),
        .keep_content = chance(play, 20),
        .keep_locks = chance(play, 20),
    };
}

static int choose_lifetime(struct play *play) {
    static const int lifetimes[] = {0, 0, 0, 1, 1, 1, 2, 2, 3, 4};
    return chance(play, 1) ? 5 : lifetimes[roll(play, 10)];
}

static void choose_set(struct play *play, struct addition_plan *plan) {
    static const char *const names[] = {"disk0", "A.b-c_9", "log"};
    static const uint32_t graces[] = {0, 0, NEVER_MS, NEVER_MS, 1};
    struct new_set *set = &plan->sets[plan->count++];
    *set = (struct new_set){
        .set = chance(play, 2) ? -1 : (int)roll(play, 8),
        .members = &plan->members[plan->member_count],
        .count = chance(play, 1) ? 0 : 1 + roll(play, 4),
        .lifetime = choose_lifetime(play),
        .replace = chance(play, 20),
        .mixed = chance(play, 15),
        .grace_ms = graces[roll(play, 5)],
        .idle_ms = chance(play, 5)    ? 0
                   : chance(play, 20) ? 1
                                      : NEVER_MS,
    };
    if (chance(play, 15))
        set->set = SET_NEW;
    if (roll(play, 500) == 0)
        set->set = INT_MAX;
    if (chance(play, 15))
        set->name = chance(play, 3) ? "0name" : names[roll(play, 3)];
    /* Mostly the file that the set is of. */
    int file = chance(play, 95) && set->set != SET_NEW ? set->set : (int)roll(play, FILE_COUNT);
    for (size_t i = 0; i < set->count; i++)
        choose_member(play, plan,
                      chance(play, 97) ? file & 0x7fffffff % FILE_COUNT
                                       : (int)roll(play, FILE_COUNT));
}

void choose_addition(struct play *play, struct addition_plan *plan, bool simple) {
    *plan = (struct addition_plan){.count = 0};
    size_t count = simple ? 1 : chance(play, 1) ? 0 : 1 + roll(play, chance(play, 20) ? 3 : 1);
    while (plan->count < count)
        choose_set(play, plan);
}

void act_add(struct play *play, int client) {
    struct addition_plan plan;
    struct reference *ref = &play->ref;
    choose_addition(play, &plan, false);
    for (size_t i = 0; i < plan.count; i++)
        say(play, "%zu members to set %d '%s' lifetime %d%s%s, ", plan.sets[i].count,
            plan.sets[i].set, plan.sets[i].name ? plan.sets[i].name : "", plan.sets[i].lifetime,
            plan.sets[i].replace ? " replacing" : "", plan.sets[i].mixed ? " mixed" : "");
    say(play, "added by client %d\n", client);
    uint32_t serial = client_send_add(play->clients[client], plan.sets, plan.count);
    int before = ref->added_count;
    ref_add(ref, client, serial, plan.sets, plan.count, plan.offers);
    if (ref->added_count == before) /* refused */
        for (size_t i = 0; i < plan.member_count; i++)
            harness_close(plan.offers[i].fd);
    watch_reply(play, client, serial);
}
