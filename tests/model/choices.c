/* SPDX-License-Identifier: MIT */
/* What the dice make of a step. */
#include "play.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEN   "0123456789"
#define FIFTY TEN TEN TEN TEN TEN
const char too_long_name[] = FIFTY FIFTY FIFTY FIFTY FIFTY "abcdef";

/* ----------------------------------------------------------------- the dice */

uint32_t roll(struct play *play, uint32_t sides) {
    uint64_t mixed = play->state += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    return (uint32_t)((mixed ^ mixed >> 31) % sides);
}

bool chance(struct play *play, uint32_t percent) {
    return roll(play, 100) < percent;
}

void say(struct play *play, const char *format, ...) {
    va_list arguments;
    if (!play->trace)
        return;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    fflush(stdout);
}

/* ------------------------------------------------------------------ opening */

void choose_path(struct play *play, char *path, size_t size) {
    static const char *const odd[] = {
        "/dev/fdset/",
        "/dev/fdset/01",
        "/dev/fdset/-1",
        "/dev/fdset/2147483648",
        "/dev/fdset/99999999999",
        "/dev/null",
        "",
        "/dev/fdset/1 ",
        "/dev/fdset/2147483647",
        "/dev/fdset/no\x01pe",
        "/dev/fdset/.x",
        "/dev/fdsets/1",
    };
    static const char *const names[] = {"disk0", "9 A,b-c_", "log", "none"};
    const struct reference *ref = &play->ref;
    if (chance(play, 3))
        snprintf(path, size, "%s", odd[roll(play, 12)]);
    else if (chance(play, 3))
        snprintf(path, size, "/dev/fdset/%s", too_long_name);
    else if (chance(play, 20))
        snprintf(path, size, "/dev/fdset/%s", names[roll(play, 4)]);
    else if (ref->set_count > 0 && chance(play, 85))
        snprintf(path, size, "/dev/fdset/%d", ref->sets[roll(play, (uint32_t)ref->set_count)].id);
    else
        snprintf(path, size, "/dev/fdset/%u", roll(play, 10));
}

void choose_open(struct play *play, int client, struct intent *intent) {
    static const int extra[] = {0,       0,         O_DIRECT,  O_APPEND,         O_NONBLOCK,
                                O_TRUNC, O_CREAT,   O_SYNC,    O_CREAT | O_EXCL, O_DSYNC,
                                O_EXCL,  O_NOATIME, O_CLOEXEC, O_DIRECT | O_SYNC};
    struct reference *ref = &play->ref;
    struct ref_result ignored;
    choose_path(play, intent->path, sizeof(intent->path));
    intent->flags = (int)roll(play, chance(play, 2) ? 4 : 3) | extra[roll(play, 14)];
    const struct ref_set *set = ref_find_path(ref, intent->path, &ignored);
    if (!set || chance(play, 25))
        return;
    /* As a member of the set would have it, or nearly. */
    for (int i = 0, from = (int)roll(play, 64); i < ref->member_count; i++) {
        const struct ref_member *member = &ref->members[(i + from) % ref->member_count];
        if (member->set != set->id)
            continue;
        intent->flags = (member->flags & (O_ACCMODE | O_SYNC | O_DSYNC)) | extra[roll(play, 7)];
        if (chance(play, 70))
            intent->flags |= member->flags & (O_DIRECT | O_APPEND | O_NONBLOCK);
        return;
    }
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
    static const char *const names[] = {"disk0", "9 A,b-c_", "log"};
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
        set->name = chance(play, 3) ? "no/name" : names[roll(play, 3)];
    /* Mostly the file that the set is of. */
    int file = chance(play, 95) && set->set != SET_NEW ? set->set : (int)roll(play, FILE_COUNT);
    for (size_t i = 0; i < set->count; i++)
        choose_member(play, plan,
                      chance(play, 97) ? file & 0x7fffffff % FILE_COUNT
                                       : (int)roll(play, FILE_COUNT));
}

void choose_addition(struct play *play, struct addition_plan *plan, bool among_others) {
    *plan = (struct addition_plan){.count = 0};
    size_t count = among_others      ? 1
                   : chance(play, 1) ? 0
                                     : 1 + roll(play, chance(play, 20) ? 3 : 1);
    while (plan->count < count)
        choose_set(play, plan);
    if (!among_others)
        return;
    /* What goes in time, or on a settle thread, may be there for the next request. */
    plan->sets[0].replace = false;
    if (plan->sets[0].idle_ms == 1)
        plan->sets[0].idle_ms = NEVER_MS;
}
