/* SPDX-License-Identifier: MIT */
/* Who is there, what becomes of sets, what is told. */
#include "reference-shares.h"

#include "harness.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Takes an element out of an array. */
#define DROP(array, count, index)                   \
    memmove(&(array)[index], &(array)[(index) + 1], \
            (size_t)(--(count) - (index)) * sizeof((array)[0]))

void ref_begin(struct reference *ref, const struct world *world, const struct ref_limits *limits) {
    *ref = (struct reference){.world = world,
                              .limits = *limits,
                              .next_member = 1,
                              .next_connection = 1,
                              .next_order = 1,
                              .requester = -1};
    assert_true(limits->sets <= REF_SETS && limits->members <= REF_MEMBERS);
    assert_true(limits->leases <= REF_LEASES && limits->waiting <= REF_WAITING);
    assert_true(limits->holds <= REF_HOLDS);
}

void ref_step(struct reference *ref, int requester) {
    ref->gone_count = 0;
    ref->reply_count = ref->result_count = ref->added_count = ref->event_count = 0;
    ref->served_events = ref->timed_events = -1;
    ref->requester = requester;
}

/* ------------------------------------------------------------------ looking */

struct ref_set *ref_find_set(struct reference *ref, int id) {
    for (int i = 0; i < ref->set_count; i++)
        if (ref->sets[i].id == id)
            return &ref->sets[i];
    return NULL;
}

struct ref_set *ref_find_name(struct reference *ref, const char *name) {
    for (int i = 0; i < ref->set_count; i++)
        if (*name && strcmp(ref->sets[i].name, name) == 0)
            return &ref->sets[i];
    return NULL;
}

struct ref_member *ref_find_member(struct reference *ref, uint32_t id) {
    for (int i = 0; i < ref->member_count; i++)
        if (ref->members[i].id == id)
            return &ref->members[i];
    return NULL;
}

int ref_member_leases(const struct reference *ref, uint32_t member) {
    int count = 0;
    for (int i = 0; i < ref->lease_count; i++)
        count += ref->leases[i].member == member;
    return count;
}

int ref_set_leases(const struct reference *ref, int set) {
    int count = 0;
    for (int i = 0; i < ref->member_count; i++)
        if (ref->members[i].set == set)
            count += ref_member_leases(ref, ref->members[i].id);
    return count;
}

int ref_set_holds(const struct reference *ref, int set) {
    int count = 0;
    for (int i = 0; i < ref->hold_count; i++)
        count += ref->holds[i].set == set;
    return count;
}

static int set_members(const struct reference *ref, int set) {
    int count = 0;
    for (int i = 0; i < ref->member_count; i++)
        count += ref->members[i].set == set;
    return count;
}

/* ------------------------------------------------------------------ telling */

struct ref_reply *ref_reply(struct reference *ref, int client, uint32_t serial, int kind) {
    assert_true(ref->reply_count < REF_REPLIES);
    struct ref_reply *reply = &ref->replies[ref->reply_count++];
    *reply = (struct ref_reply){.client = client, .serial = serial, .kind = kind};
    return reply;
}

void ref_refuse(struct reference *ref, int client, uint32_t serial, int code, int error) {
    struct ref_reply *reply = ref_reply(ref, client, serial, REPLY(ERROR));
    reply->code = code;
    reply->error = error;
}

void ref_done(struct reference *ref, int client, uint32_t serial) {
    ref_reply(ref, client, serial, REPLY(DONE));
}

struct ref_event *ref_tell(struct reference *ref, int kind, int set) {
    assert_true(ref->event_count < REF_EVENTS);
    struct ref_event *event = &ref->events[ref->event_count++];
    *event = (struct ref_event){.kind = kind, .set = set, .name = ""};
    ref->sequence++;
    return event;
}

void ref_tell_of(struct reference *ref, int client, struct ref_event *event) {
    event->connection = ref->clients[client].connection;
    event->pid = ref->clients[client].pid;
    event->name = ref->clients[client].name;
}

void ref_tell_path(struct ref_event *event, const char *path) {
    if (strlen(path) <= REF_LONGEST_PATH)
        snprintf(event->path, sizeof(event->path), "%s", path);
    else
        snprintf(event->path, sizeof(event->path), "%.*s...", REF_LONGEST_PATH - 3, path);
    for (char *c = event->path; *c; c++)
        if (!isprint((unsigned char)*c))
            *c = '?';
}

/* --------------------------------------------------------- sets and members */

void ref_member_remove(struct reference *ref, struct ref_member *member) {
    if (member->removed)
        return;
    member->removed = true;
    ref->totals.removed++;
    struct ref_event *event = ref_tell(ref, EVENT(REMOVED), member->set);
    event->member = member->id;
    event->flags = member->flags;
}

int ref_clear(struct reference *ref, int set) {
    uint64_t before = ref->totals.removed;
    for (int i = 0; i < ref->member_count; i++)
        if (ref->members[i].set == set)
            ref_member_remove(ref, &ref->members[i]);
    return (int)(ref->totals.removed - before);
}

/* Of a set whose manager has gone for good, what nobody uses goes. */
void ref_trim(struct reference *ref, int id) {
    struct ref_set *set = ref_find_set(ref, id);
    if (!set->orphaned || ref_set_holds(ref, id) > 0)
        return;
    for (int i = 0; i < ref->member_count; i++)
        if (ref->members[i].set == id && ref_member_leases(ref, ref->members[i].id) == 0)
            ref_member_remove(ref, &ref->members[i]);
}

/* An idle set's time runs while nobody has it open or holds it. */
void ref_clock(struct reference *ref, int id) {
    struct ref_set *set = ref_find_set(ref, id);
    if (set->lifetime == LIFETIME(IDLE))
        set->clock = ref_set_leases(ref, id) == 0 && ref_set_holds(ref, id) == 0;
}

/* What has been removed and is not leased is no more, nor is a set of nothing. */
static void settle(struct reference *ref) {
    for (int i = ref->member_count - 1; i >= 0; i--)
        if (ref->members[i].removed && ref_member_leases(ref, ref->members[i].id) == 0) {
            ref->gone[ref->gone_count++] = ref->members[i].fd;
            DROP(ref->members, ref->member_count, i);
        }
    for (int i = ref->set_count - 1; i >= 0; i--)
        if (set_members(ref, ref->sets[i].id) == 0 && ref_set_holds(ref, ref->sets[i].id) == 0) {
            ref_tell(ref, EVENT(SET_GONE), ref->sets[i].id);
            DROP(ref->sets, ref->set_count, i);
        }
}

void ref_served(struct reference *ref) {
    ref->served_events = ref->event_count;
    settle(ref);
    ref_retry(ref);
    settle(ref);
    ref->timed_events = ref->event_count;
}

static void orphan(struct reference *ref, struct ref_set *set) {
    set->orphaned = true;
    ref_trim(ref, set->id);
}

bool ref_time_passes(struct reference *ref) {
    bool any = false;
    for (int i = 0; i < ref->set_count; i++) {
        struct ref_set *set = &ref->sets[i];
        bool idle = set->lifetime == LIFETIME(IDLE);
        if (!set->clock || (idle ? set->idle_ms : set->grace_ms) > REF_SHORT_MS)
            continue;
        set->clock = false;
        any = true;
        if (idle)
            ref_clear(ref, set->id);
        else
            orphan(ref, set);
    }
    settle(ref);
    any |= ref_waits_end(ref);
    settle(ref);
    return any;
}

/* -------------------------------------------------------------- connections */

bool ref_connect(struct reference *ref, int client, int role, int pid, bool by_path) {
    if (by_path && !ref_may_connect(ref, role)) {
        ref_refuse(ref, client, 0, CODE(LIMIT), EMFILE);
        return false;
    }
    ref->clients[client] = (struct ref_client){
        .connected = true,
        .role = role,
        .endpoint = by_path ? REF_OTHERS : REF_BIRTH,
        .connection = ref->next_connection++,
        .user = by_path ? ref->world->late_user : getuid(),
        .pid = !by_path || ref->world->sees_pid ? pid : 0,
    };
    return true;
}

static bool ends_with_manager(const struct ref_set *set) {
    return set->lifetime == LIFETIME(CONNECTION) || set->lifetime == LIFETIME(ONCE);
}

static void adopt(struct reference *ref, const struct ref_client *manager) {
    for (int i = 0; i < ref->set_count; i++) {
        struct ref_set *set = &ref->sets[i];
        if (!ends_with_manager(set) || !set->clock || strcmp(set->owner, manager->owner) != 0 ||
            set->user != manager->user)
            continue;
        set->clock = false;
        set->manager = manager->connection;
    }
}

void ref_hello(struct reference *ref, int client, uint32_t serial, const char *name,
               const char *owner) {
    struct ref_client *who = &ref->clients[client];
    bool plain = strlen(owner) < sizeof(who->owner);
    for (const char *c = owner; *c; c++)
        plain &= isprint((unsigned char)*c) != 0;
    if (!plain) {
        ref_refuse(ref, client, serial, CODE(ARGUMENT), EINVAL);
        return;
    }
    snprintf(who->name, sizeof(who->name), "%s", name);
    for (char *c = who->name; *c; c++)
        if (!isprint((unsigned char)*c))
            *c = '?';
    who->greeted = true;
    if (who->role == ROLE(MANAGER) && *owner) {
        strcpy(who->owner, owner);
        adopt(ref, who);
    }
    if (who->role == ROLE(VMM))
        ref_tell_of(ref, client, ref_tell(ref, EVENT(VMM_CONNECTED), -1));
    ref_reply(ref, client, serial, REPLY(HELLO));
}

static void manager_gone(struct reference *ref, uint32_t manager) {
    for (int i = 0; i < ref->set_count; i++) {
        struct ref_set *set = &ref->sets[i];
        if (set->manager != manager)
            continue;
        set->manager = 0;
        if (!ends_with_manager(set))
            continue;
        if (set->grace_ms > 0)
            set->clock = true;
        else
            orphan(ref, set);
    }
}

void ref_hang_up(struct reference *ref, int client) {
    struct ref_client *who = &ref->clients[client];
    for (int i = ref->waiting_count - 1; i >= 0; i--)
        if (ref->waiting[i].client == client)
            DROP(ref->waiting, ref->waiting_count, i);
    for (int i = 0; i < ref->lease_count;)
        if (ref->leases[i].client == client) {
            ref_lease_end(ref, i);
            ref->totals.hangups++;
        } else {
            i++;
        }
    for (int i = 0; i < ref->hold_count;) {
        int set = ref->holds[i].set;
        if (ref->holds[i].client != client) {
            i++;
            continue;
        }
        DROP(ref->holds, ref->hold_count, i);
        ref_clock(ref, set);
        ref_trim(ref, set);
    }
    if (who->role == ROLE(MANAGER))
        manager_gone(ref, who->connection);
    if (who->role == ROLE(VMM) && who->greeted)
        ref_tell_of(ref, client, ref_tell(ref, EVENT(VMM_GONE), -1));
    who->connected = who->greeted = false;
    who->kinds = 0;
}

void ref_malformed(struct reference *ref, int client, uint32_t serial) {
    ref_refuse(ref, client, serial, CODE(PROTOCOL), EPROTO);
    ref->totals.malformed++;
    ref_hang_up(ref, client);
}

void ref_subscribe(struct reference *ref, int client, uint32_t serial, uint32_t kinds) {
    ref->clients[client].kinds = kinds;
    ref_done(ref, client, serial);
}
