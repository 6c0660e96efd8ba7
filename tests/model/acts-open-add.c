/* SPDX-License-Identifier: MIT */
/* What a client can do: opens and adds. */
#include "play.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------ opening */

static uint32_t begin_open(struct play *play, int client, uint32_t wait_ms) {
    struct intent intent;
    choose_open(play, client, &intent);
    say(play, "client %d opens %s with %#o, waits %u\n", client, intent.path, intent.flags,
        wait_ms);
    uint32_t serial =
        client_send_patient_open(play->clients[client], intent.path, intent.flags, wait_ms);
    ref_open(&play->ref, client, serial, intent.path, intent.flags, wait_ms);
    return serial;
}

void act_open(struct play *play, int client) {
    watch_reply(play, client, begin_open(play, client, 0));
}

void act_wait(struct play *play, int client) {
    if (client == CLIENT_BIRTH_VMM)
        return; /* the harness's end wants no reply that comes late */
    uint32_t wait_ms = chance(play, 2) ? WAIT_FOREVER_MS + 1 : WAIT_FOREVER_MS;
    watch_reply(play, client, begin_open(play, client, wait_ms));
    act_barrier(play, client);
}

void act_wait_shortly(struct play *play, int client) {
    watch_reply(play, client, begin_open(play, client, 1));
}

/* Members that a settle thread closes keep their set listed meanwhile, so what is
 * asked for next may be refused in one way or in another; and a short time may be
 * over before the next request, or not. */
static bool may_pipeline(struct reference *ref) {
    for (int i = 0; i < ref->set_count; i++)
        if (ref->sets[i].lifetime == LIFETIME(IDLE) && ref->sets[i].idle_ms <= REF_SHORT_MS)
            return false;
    for (int i = 0; i < ref->member_count; i++) {
        const struct ref_member *member = &ref->members[i];
        const struct ref_set *set = ref_find_set(ref, member->set);
        bool slow =
            member->file == FILE_MEMFD || member->file == FILE_DEVICE || !ref->world->directory[0];
        if (slow && (member->removed || set->orphaned || set->lifetime == LIFETIME(ONCE)))
            return false;
    }
    return true;
}

/* Several requests before the first reply is read. */
void act_pipeline(struct play *play, int client) {
    uint32_t serials[8];
    size_t count = 2 + roll(play, 7);
    if (!may_pipeline(&play->ref))
        count = 1;
    for (size_t i = 0; i < count; i++) {
        uint32_t kind = roll(play, 10);
        serials[i] = UINT32_MAX;
        if (kind < 5)
            serials[i] = begin_open(play, client, 0);
        else if (kind < 8)
            begin_close(play, client);
        else if (kind < 9)
            serials[i] = begin_hold(play, client);
        else
            serials[i] = begin_unhold(play, client);
        ref_served(&play->ref);
    }
    for (size_t i = 0; i < count; i++)
        watch_reply(play, client, serials[i]);
    act_barrier(play, client);
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

/* ------------------------------------------------------------------ looking */

void act_look(struct play *play, int client) {
    Fdset__V1__Look look = FDSET__V1__LOOK__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    char path[300];
    choose_path(play, path, sizeof(path));
    say(play, "client %d looks at %s\n", client, path);
    look.path = path;
    request.body_case = FDSET__V1__REQUEST__BODY_LOOK;
    request.look = &look;
    uint32_t serial = client_send(play->clients[client], &request, NULL, 0);
    ref_look(&play->ref, client, serial, path);
    watch_reply(play, client, serial);
}

/* ------------------------------------------------------------------- adding */

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
