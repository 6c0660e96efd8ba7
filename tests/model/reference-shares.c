/* SPDX-License-Identifier: MIT */
/* Shares, counted anew each time: whoever has not what is kept for it is counted as if it had. */
#include "reference-shares.h"

#include "harness.h"

enum { MANAGERS = REF_ENDPOINTS, OBSERVERS, PARTIES };

struct parties {
    uint32_t used[PARTIES], kept[PARTIES];
};

static uint32_t larger(uint32_t one, uint32_t other) {
    return one > other ? one : other;
}

static bool has_room(const struct parties *parties, int who, uint32_t limit, uint32_t most) {
    uint32_t spoken_for = 0;
    for (int i = 0; i < PARTIES; i++)
        spoken_for += i == who ? parties->used[i] : larger(parties->used[i], parties->kept[i]);
    return parties->used[who] < most && spoken_for < limit;
}

/* Half of it for the two together, but one for each where there are two. */
static void keep(struct parties *parties, uint32_t room, uint32_t most) {
    uint32_t kept = room / REF_ENDPOINTS / 2;
    if (kept > most)
        kept = most;
    if (kept == 0 && room >= REF_ENDPOINTS)
        kept = 1;
    parties->kept[REF_BIRTH] = parties->kept[REF_OTHERS] = kept;
}

bool ref_may_lease(const struct reference *ref, int client) {
    uint32_t limit = ref->limits.leases, most = ref->limits.leases_per_vmm;
    struct parties parties = {0};
    keep(&parties, limit, most);
    for (int i = 0; i < ref->lease_count; i++)
        parties.used[ref->clients[ref->leases[i].client].endpoint]++;
    return has_room(&parties, ref->clients[client].endpoint, limit, most);
}

bool ref_may_wait(const struct reference *ref, int client) {
    uint32_t limit = ref->limits.waiting;
    struct parties parties = {0};
    keep(&parties, limit, limit);
    for (int i = 0; i < ref->waiting_count; i++)
        parties.used[ref->clients[ref->waiting[i].client].endpoint]++;
    return has_room(&parties, ref->clients[client].endpoint, limit, limit);
}

bool ref_may_hold(const struct reference *ref, int client) {
    uint32_t limit = ref->limits.holds;
    struct parties parties = {0};
    keep(&parties, limit, limit);
    for (int i = 0; i < ref->hold_count; i++)
        parties.used[ref->clients[ref->holds[i].client].endpoint]++;
    return has_room(&parties, ref->clients[client].endpoint, limit, limit);
}

static int party(int role, int endpoint) {
    return role == ROLE(MANAGER) ? MANAGERS : role == ROLE(OBSERVER) ? OBSERVERS : endpoint;
}

bool ref_may_connect(const struct reference *ref, int role) {
    uint32_t limit = ref->limits.connections;
    struct parties parties = {.kept[MANAGERS] = limit / 8, .kept[OBSERVERS] = limit / 16};
    keep(&parties, limit - limit / 8 - limit / 16, limit);
    for (int i = 0; i < REF_CLIENTS; i++)
        if (ref->clients[i].connected)
            parties.used[party(ref->clients[i].role, ref->clients[i].endpoint)]++;
    return has_room(&parties, party(role, REF_OTHERS), limit, limit);
}
