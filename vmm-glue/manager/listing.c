/* SPDX-License-Identifier: MIT */
/* The pages of a Query's answer become one listing. */
#include "manager/listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Makes room for `more` elements after the `count` that are there. The new ones
 * are zero. */
static int array_extend(void *array_pointer, size_t count, size_t more, size_t size) {
    void **array = array_pointer;
    if (more == 0)
        return 0;
    char *larger = reallocarray(*array, count + more, size);
    if (!larger)
        return -ENOMEM;
    memset(larger + count * size, 0, more * size);
    *array = larger;
    return 0;
}

static int leases_append(struct fdset_member_info *member, const Fdset__V1__MemberInfo *from) {
    int error =
        array_extend(&member->leases, member->lease_count, from->n_leases, sizeof(*member->leases));
    for (size_t i = 0; !error && i < from->n_leases; i++) {
        const Fdset__V1__LeaseInfo *info = from->leases[i];
        struct fdset_lease_info *lease = &member->leases[member->lease_count];
        lease->lease = info->lease;
        lease->flags = (int)info->flags;
        lease->age_ms = info->age_ms;
        lease->connection = info->connection;
        lease->pid = info->pid;
        lease->name = strdup(info->name);
        if (!lease->name)
            return -ENOMEM;
        member->lease_count++;
    }
    return error;
}

/* All of a member but its leases. */
static int member_copy(struct fdset_member_info *member, const Fdset__V1__MemberInfo *from) {
    member->member = from->member;
    member->state = (enum fdset_member_state)from->state;
    member->flags = (int)from->flags;
    member->device = from->device;
    member->inode = from->inode;
    member->type = from->type;
    member->device_number = from->device_number;
    member->sharing = (enum fdset_sharing)from->sharing;
    member->serves_read_only = from->serves_read_only;
    member->keep_content = from->keep_content;
    member->keep_locks = from->keep_locks;
    member->age_ms = from->age_ms;
    if (from->label_case == FDSET__V1__MEMBER_INFO__LABEL_OPAQUE) {
        member->opaque = strdup(from->opaque);
        if (!member->opaque)
            return -ENOMEM;
    }
    return 0;
}

static int member_append(struct fdset_info *set, const Fdset__V1__MemberInfo *from) {
    struct fdset_member_info *last =
        set->member_count ? &set->members[set->member_count - 1] : NULL;
    if (last && last->member == from->member)
        return leases_append(last, from);
    int error = array_extend(&set->members, set->member_count, 1, sizeof(*set->members));
    if (error)
        return error;
    last = &set->members[set->member_count++];
    error = member_copy(last, from);
    return error ? error : leases_append(last, from);
}

/* A copy of a string that may be empty, which is none. -ENOMEM through `error`. */
static char *text_copy(const char *text, int *error) {
    char *copy = *text ? strdup(text) : NULL;
    if (*text && !copy)
        *error = -ENOMEM;
    return copy;
}

static int set_copy(struct fdset_info *set, const Fdset__V1__SetInfo *from) {
    int error = 0;
    set->orphaned = from->orphaned;
    set->name = text_copy(from->name, &error);
    set->owner = text_copy(from->owner, &error);
    set->owner_uid = from->owner_uid;
    set->grace_ms = from->grace_ms;
    set->idle_ms = from->idle_ms;
    set->expires_ms =
        from->clock_case == FDSET__V1__SET_INFO__CLOCK_EXPIRES_MS ? (int64_t)from->expires_ms : -1;
    set->mixed = from->mixed;
    set->holds = from->holds;
    return error;
}

static int waiting_append(struct fdset_listing *listing, const Fdset__V1__WaitingInfo *from) {
    int error =
        array_extend(&listing->waiting, listing->waiting_count, 1, sizeof(*listing->waiting));
    if (error)
        return error;
    listing->waiting[listing->waiting_count++] = (struct fdset_waiting_info){
        .waiting = from->waiting,
        .path = text_copy(from->path, &error),
        .flags = (int)from->flags,
        .age_ms = from->age_ms,
        .expires_ms = from->expires_ms,
        .connection = from->connection,
        .pid = from->pid,
        .name = strdup(from->name),
    };
    return error;
}

static int sandbox_append(struct fdset_listing *listing, const Fdset__V1__SandboxStage *from) {
    int error =
        array_extend(&listing->sandbox, listing->sandbox_count, 1, sizeof(*listing->sandbox));
    if (error)
        return error;
    listing->sandbox[listing->sandbox_count++] = (struct fdset_sandbox_info){
        .name = strdup(from->name),
        .whole = from->whole,
        .detail = strdup(from->detail),
    };
    return error;
}

static int set_append(struct fdset_listing *listing, const Fdset__V1__SetInfo *from) {
    struct fdset_info *set = listing->count ? &listing->sets[listing->count - 1] : NULL;
    int error = 0;
    if (!set || set->set != from->set) {
        error = array_extend(&listing->sets, listing->count, 1, sizeof(*listing->sets));
        if (error)
            return error;
        set = &listing->sets[listing->count++];
        set->set = from->set;
        set->lifetime = (enum fdset_lifetime)from->lifetime;
        error = set_copy(set, from);
    }
    for (size_t i = 0; !error && i < from->n_members; i++)
        error = member_append(set, from->members[i]);
    return error;
}

static void totals_copy(struct fdset_totals *totals, const Fdset__V1__Totals *from) {
    *totals = (struct fdset_totals){
        .sets = from->sets,
        .members = from->members,
        .leases = from->leases,
        .connections = from->connections,
        .settling = from->settling,
        .waiting = from->waiting,
        .opens = from->opens,
        .denied = from->denied,
        .closes = from->closes,
        .hangups = from->hangups,
        .uptime_ms = from->uptime_ms,
        .holds = from->holds,
        .subscribers = from->subscribers,
        .added = from->added,
        .removed = from->removed,
        .waited = from->waited,
        .expired = from->expired,
        .events_lost = from->events_lost,
        .accepted = from->accepted,
        .malformed = from->malformed,
    };
}

struct fdset_listing *listing_new(void) {
    return calloc(1, sizeof(struct fdset_listing));
}

int listing_append(struct fdset_listing *listing, const Fdset__V1__QueryReply *page) {
    int error = 0;
    for (size_t i = 0; !error && i < page->n_sets; i++)
        error = set_append(listing, page->sets[i]);
    for (size_t i = 0; !error && i < page->n_waiting; i++)
        error = waiting_append(listing, page->waiting[i]);
    for (size_t i = 0; !error && i < page->n_sandbox; i++)
        error = sandbox_append(listing, page->sandbox[i]);
    if (page->totals)
        totals_copy(&listing->totals, page->totals);
    return error;
}

static void member_free(struct fdset_member_info *member) {
    for (size_t i = 0; i < member->lease_count; i++)
        free(member->leases[i].name);
    free(member->leases);
    free(member->opaque);
}

void fdset_listing_free(struct fdset_listing *listing) {
    if (!listing)
        return;
    for (size_t i = 0; i < listing->count; i++) {
        struct fdset_info *set = &listing->sets[i];
        for (size_t j = 0; j < set->member_count; j++)
            member_free(&set->members[j]);
        free(set->members);
        free(set->name);
        free(set->owner);
    }
    for (size_t i = 0; i < listing->waiting_count; i++) {
        free(listing->waiting[i].path);
        free(listing->waiting[i].name);
    }
    for (size_t i = 0; i < listing->sandbox_count; i++) {
        free(listing->sandbox[i].name);
        free(listing->sandbox[i].detail);
    }
    free(listing->waiting);
    free(listing->sandbox);
    free(listing->sets);
    free(listing);
}
