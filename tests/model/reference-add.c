/* SPDX-License-Identifier: MIT */
/* AddFds and RemoveFd. */
#include "reference.h"

#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#define SETTABLE (O_APPEND | O_DIRECT | O_NOATIME | O_NONBLOCK)

struct refused {
    int code, error;
};

static bool refused(struct refused *why, int code, int error) {
    *why = (struct refused){code, error};
    return true;
}

static bool valid_utf8(const char *text) {
    /* The generator's only other bytes are 0xff, which no UTF-8 has. */
    return !strchr(text, '\xff');
}

/* What is wrong with one descriptor and what is said of it. */
static bool member_refused(const struct new_member *member, const struct ref_offer *offer,
                           struct refused *why) {
    if (member->sharing > SHARING(SHARED))
        return refused(why, CODE(ARGUMENT), EINVAL);
    if (member->opaque && (strlen(member->opaque) > 255 || !valid_utf8(member->opaque)))
        return refused(why, CODE(ARGUMENT), EINVAL);
    if (offer->file == FILE_PATH_ONLY)
        return refused(why, CODE(BAD_FD), EBADF);
    if (offer->file >= FILE_COUNT)
        return refused(why, CODE(FILE_TYPE), EINVAL);
    return false;
}

/* The set that is meant, NULL where it is a new one. */
static struct ref_set *target(struct reference *ref, const struct new_set *wanted) {
    if (wanted->set != SET_NEW)
        return ref_find_set(ref, wanted->set);
    return wanted->name ? ref_find_name(ref, wanted->name) : NULL;
}

static bool name_refused(struct reference *ref, const struct new_set *wanted, struct refused *why) {
    if (!wanted->name || !*wanted->name)
        return false;
    if (!ref_name_valid(wanted->name))
        return refused(why, CODE(NAME), EINVAL);
    struct ref_set *has_it = ref_find_name(ref, wanted->name), *set = target(ref, wanted);
    if (wanted->set != SET_NEW && has_it && has_it != set)
        return refused(why, CODE(NAME), EEXIST);
    if (set && *set->name && strcmp(set->name, wanted->name) != 0)
        return refused(why, CODE(NAME), EEXIST);
    return false;
}

/* The file that the set's listed members are of, or -1. */
static int file_of(const struct reference *ref, int set) {
    for (int i = 0; i < ref->member_count; i++)
        if (ref->members[i].set == set && !ref->members[i].removed)
            return ref->members[i].file;
    return -1;
}

static bool set_refused(struct reference *ref, const struct new_set *wanted,
                        const struct ref_offer *offers, struct refused *why) {
    struct ref_set *set = target(ref, wanted);
    if (wanted->count == 0 || (wanted->set != SET_NEW && wanted->set < 0))
        return refused(why, CODE(ARGUMENT), EINVAL);
    if (name_refused(ref, wanted, why))
        return true;
    if (set && wanted->lifetime != LIFETIME(UNSPECIFIED) && wanted->lifetime != set->lifetime)
        return refused(why, CODE(LIFETIME), EINVAL);
    if (!set && wanted->lifetime == LIFETIME(IDLE) && wanted->idle_ms == 0)
        return refused(why, CODE(ARGUMENT), EINVAL);
    if (set ? set->mixed : wanted->mixed)
        return false;
    int file = set && !wanted->replace ? file_of(ref, set->id) : -1;
    for (size_t i = 0; i < wanted->count; i++)
        if (offers[i].file != (file < 0 ? offers[0].file : file))
            return refused(why, CODE(OTHER_FILE), EXDEV);
    return false;
}

/* The id that each will have; new ones are beyond all that the request names. */
static void number_sets(struct reference *ref, const struct new_set *sets, size_t count,
                        int64_t *ids) {
    int64_t next = ref->next_set;
    for (size_t i = 0; i < count; i++)
        if (sets[i].set != SET_NEW && sets[i].set >= next)
            next = (int64_t)sets[i].set + 1;
    for (size_t i = 0; i < count; i++) {
        struct ref_set *set = target(ref, &sets[i]);
        ids[i] = set ? set->id : sets[i].set != SET_NEW ? sets[i].set : next++;
    }
}

static bool twice(const struct new_set *one, const struct new_set *other) {
    return one->name && other->name && *one->name && strcmp(one->name, other->name) == 0;
}

static bool all_refused(struct reference *ref, const struct new_set *sets, size_t count,
                        const struct ref_offer *offers, int64_t *ids, struct refused *why) {
    size_t used = 0, new_sets = 0;
    for (size_t i = 0; i < count; i++)
        if (sets[i].lifetime > LIFETIME(IDLE))
            return refused(why, CODE(ARGUMENT), EINVAL);
        else
            for (size_t j = 0; j < sets[i].count; j++)
                if (member_refused(&sets[i].members[j], &offers[used++], why))
                    return true;
    used = 0;
    for (size_t i = 0; i < count; used += sets[i++].count) {
        if (set_refused(ref, &sets[i], offers + used, why))
            return true;
        new_sets += !target(ref, &sets[i]);
    }
    number_sets(ref, sets, count, ids);
    for (size_t i = 0; i < count; i++)
        if (ids[i] > INT_MAX)
            return refused(why, CODE(LIMIT), ENOSPC);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (ids[i] == ids[j] || twice(&sets[i], &sets[j]))
                return refused(why, CODE(ARGUMENT), EINVAL);
    if ((size_t)ref->set_count + new_sets > ref->limits.sets ||
        (size_t)ref->member_count + used > ref->limits.members)
        return refused(why, CODE(LIMIT), ENOSPC);
    return false;
}

/* ----------------------------------------------------------------- the deed */

static struct ref_set *make_set(struct reference *ref, int id, const struct new_set *wanted) {
    int place = ref->set_count++;
    while (place > 0 && ref->sets[place - 1].id > id) {
        ref->sets[place] = ref->sets[place - 1];
        place--;
    }
    struct ref_set *set = &ref->sets[place];
    *set = (struct ref_set){
        .id = id,
        .lifetime = wanted->lifetime ? wanted->lifetime : LIFETIME(CONNECTION),
        .name = "",
        .grace_ms = wanted->grace_ms,
        .idle_ms = wanted->idle_ms,
        .mixed = wanted->mixed,
    };
    return set;
}

static const char *lasting_owner(const char *owner) {
    static const char *const owners[] = {"alpha", "beta"};
    for (size_t i = 0; i < 2; i++)
        if (strcmp(owner, owners[i]) == 0)
            return owners[i];
    return "";
}

/* A new set is its maker's; one whose manager has gone is whose who adds to it. */
static void own(struct reference *ref, struct ref_set *set, int client, bool made) {
    const struct ref_client *who = &ref->clients[client];
    bool ends = set->lifetime == LIFETIME(CONNECTION) || set->lifetime == LIFETIME(ONCE);
    if (!made && (set->manager != 0 || !ends))
        return;
    set->owner = lasting_owner(who->owner);
    set->user = who->user;
    set->manager = who->connection;
    set->orphaned = set->clock = false;
}

static void add_member(struct reference *ref, int set, const struct new_member *as_asked,
                       const struct ref_offer *offer) {
    struct ref_member *member = &ref->members[ref->member_count++];
    *member = (struct ref_member){
        .id = ref->next_member++,
        .set = set,
        .file = offer->file,
        .flags = offer->flags,
        .status = offer->flags & SETTABLE,
        .fd = offer->fd,
        .as_asked = *as_asked,
    };
    ref->totals.added++;
    struct ref_event *event = ref_tell(ref, EVENT(ADDED), set);
    event->member = member->id;
    event->flags = member->flags;
}

static void add_set(struct reference *ref, int client, int id, const struct new_set *wanted,
                    const struct ref_offer *offers) {
    struct ref_set *set = ref_find_set(ref, id);
    bool made = !set;
    if (made)
        set = make_set(ref, id, wanted);
    own(ref, set, client, made);
    set->spent = false;
    if (wanted->name && !*set->name)
        set->name = wanted->name;
    if (wanted->replace)
        ref_clear(ref, id);
    ref->added[ref->added_count++] = (struct ref_added){id, ref->next_member, wanted->count};
    for (size_t i = 0; i < wanted->count; i++)
        add_member(ref, id, &wanted->members[i], &offers[i]);
    ref_clock(ref, id);
    if (id >= ref->next_set)
        ref->next_set = (int64_t)id + 1;
}

void ref_add(struct reference *ref, int client, uint32_t serial, const struct new_set *sets,
             size_t count, const struct ref_offer *offers) {
    struct refused why;
    int64_t ids[8];
    size_t used = 0;
    if (count == 0) {
        ref_refuse(ref, client, serial, CODE(ARGUMENT), EINVAL);
        return;
    }
    if (all_refused(ref, sets, count, offers, ids, &why)) {
        ref_refuse(ref, client, serial, why.code, why.error);
        return;
    }
    for (size_t i = 0; i < count; used += sets[i++].count)
        add_set(ref, client, (int)ids[i], &sets[i], offers + used);
    ref_reply(ref, client, serial, REPLY(ADDED))->count = (int)count;
}

void ref_remove(struct reference *ref, int client, uint32_t serial, int set, bool one,
                uint32_t id) {
    if (set < 0 || (one && id == 0)) {
        ref_refuse(ref, client, serial, CODE(ARGUMENT), EINVAL);
        return;
    }
    if (!ref_find_set(ref, set)) {
        ref_refuse(ref, client, serial, CODE(NO_SET), ENOENT);
        return;
    }
    struct ref_member *member = one ? ref_find_member(ref, id) : NULL;
    if (one && (!member || member->set != set)) {
        ref_refuse(ref, client, serial, CODE(NO_MEMBER), ENOENT);
        return;
    }
    int count = one ? !member->removed : ref_clear(ref, set);
    if (one)
        ref_member_remove(ref, member);
    struct ref_reply *reply = ref_reply(ref, client, serial, REPLY(REMOVED));
    reply->count = count;
    for (int i = 0; i < ref->member_count; i++)
        if (ref->members[i].set == set && (!one || ref->members[i].id == id))
            reply->first += (int)ref_member_leases(ref, ref->members[i].id);
}
