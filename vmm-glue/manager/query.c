/* SPDX-License-Identifier: MIT */
/* Asking a helper what there is: the pages of its answer become one listing. A set or a member
 * that a page ended in goes on in the next. */
#include "manager/manager.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/failure.h"

/* Adds an element, all zero, to an array of `*count`. NULL, and -ENOMEM through `error`, where
 * there is no memory. */
static void *append(void *array_pointer, size_t *count, size_t size, int *error) {
    void **array = array_pointer;
    char *larger = reallocarray(*array, *count + 1, size);

    if (!larger) {
        *error = -ENOMEM;
        return NULL;
    }
    *array = larger;
    return memset(larger + (*count)++ * size, 0, size);
}

static char *copy(const char *text, int *error) {
    char *copied = strdup(text);

    if (!copied)
        *error = -ENOMEM;
    return copied;
}

/* The same of a string that may be empty, which is none. */
static char *copy_if_any(const char *text, int *error) {
    return *text ? copy(text, error) : NULL;
}

static int lease_append(struct fdset_member_info *member, const Fdset__V1__LeaseInfo *from) {
    int error = 0;
    struct fdset_lease_info *lease =
        append(&member->leases, &member->lease_count, sizeof(*lease), &error);

    if (lease)
        *lease = (struct fdset_lease_info){
            .lease = from->lease,
            .flags = (int)from->flags,
            .age_ms = from->age_ms,
            .connection = from->connection,
            .pid = from->pid,
            .name = copy(from->name, &error),
            .endpoint = copy_if_any(from->endpoint, &error),
        };
    return error;
}

static int member_append(struct fdset_info *set, const Fdset__V1__MemberInfo *from) {
    struct fdset_member_info *member =
        set->member_count ? &set->members[set->member_count - 1] : NULL;
    bool labelled = from->label_case == FDSET__V1__MEMBER_INFO__LABEL_OPAQUE;
    int error = 0;

    if (!member || member->member != from->member) {
        member = append(&set->members, &set->member_count, sizeof(*member), &error);
        if (!member)
            return error;
        *member = (struct fdset_member_info){
            .member = from->member,
            .opaque = labelled ? copy(from->opaque, &error) : NULL,
            .state = (enum fdset_member_state)from->state,
            .flags = (int)from->flags,
            .device = from->device,
            .inode = from->inode,
            .type = from->type,
            .device_number = from->device_number,
            .sharing = (enum fdset_sharing)from->sharing,
            .serves_read_only = from->serves_read_only,
            .keep_content = from->keep_content,
            .keep_locks = from->keep_locks,
            .age_ms = from->age_ms,
        };
    }
    for (size_t i = 0; !error && i < from->n_leases; i++)
        error = lease_append(member, from->leases[i]);
    return error;
}

static int set_append(struct fdset_listing *listing, const Fdset__V1__SetInfo *from) {
    struct fdset_info *set = listing->count ? &listing->sets[listing->count - 1] : NULL;
    bool expires = from->clock_case == FDSET__V1__SET_INFO__CLOCK_EXPIRES_MS;
    int error = 0;

    if (!set || set->set != from->set) {
        set = append(&listing->sets, &listing->count, sizeof(*set), &error);
        if (!set)
            return error;
        *set = (struct fdset_info){
            .set = from->set,
            .lifetime = (enum fdset_lifetime)from->lifetime,
            .orphaned = from->orphaned,
            .name = copy_if_any(from->name, &error),
            .owner = copy_if_any(from->owner, &error),
            .owner_uid = from->owner_uid,
            .grace_ms = from->grace_ms,
            .idle_ms = from->idle_ms,
            .expires_ms = expires ? (int64_t)from->expires_ms : -1,
            .mixed = from->mixed,
            .holds = from->holds,
            .reserved_for = copy_if_any(from->reserved_for, &error),
        };
    }
    for (size_t i = 0; !error && i < from->n_members; i++)
        error = member_append(set, from->members[i]);
    return error;
}

static int waiting_append(struct fdset_listing *listing, const Fdset__V1__WaitingInfo *from) {
    int error = 0;
    struct fdset_waiting_info *waiting =
        append(&listing->waiting, &listing->waiting_count, sizeof(*waiting), &error);

    if (waiting)
        *waiting = (struct fdset_waiting_info){
            .waiting = from->waiting,
            .path = copy_if_any(from->path, &error),
            .flags = (int)from->flags,
            .age_ms = from->age_ms,
            .expires_ms = from->expires_ms,
            .endpoint = copy_if_any(from->endpoint, &error),
            .connection = from->connection,
            .pid = from->pid,
            .name = copy(from->name, &error),
        };
    return error;
}

static int endpoint_append(struct fdset_listing *listing, const Fdset__V1__EndpointInfo *from) {
    int error = 0;
    struct fdset_endpoint_info *endpoint =
        append(&listing->endpoints, &listing->endpoint_count, sizeof(*endpoint), &error);

    if (endpoint)
        *endpoint = (struct fdset_endpoint_info){
            .name = copy(from->name, &error),
            .leases = from->leases,
            .leases_kept = from->leases_kept,
            .waiting = from->waiting,
            .waiting_kept = from->waiting_kept,
            .holds = from->holds,
            .holds_kept = from->holds_kept,
            .connections = from->connections,
            .connections_kept = from->connections_kept,
            .in_flight = from->in_flight,
        };
    return error;
}

static int sandbox_append(struct fdset_listing *listing, const Fdset__V1__SandboxStage *from) {
    int error = 0;
    struct fdset_sandbox_info *stage =
        append(&listing->sandbox, &listing->sandbox_count, sizeof(*stage), &error);

    if (stage)
        *stage = (struct fdset_sandbox_info){
            .name = copy(from->name, &error),
            .whole = from->whole,
            .detail = copy(from->detail, &error),
        };
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

/* Copies a page to the end. Returns 0 or -ENOMEM; nothing said. */
static int listing_append(struct fdset_listing *listing, const Fdset__V1__QueryReply *page) {
    int error = 0;
    for (size_t i = 0; !error && i < page->n_sets; i++)
        error = set_append(listing, page->sets[i]);
    for (size_t i = 0; !error && i < page->n_waiting; i++)
        error = waiting_append(listing, page->waiting[i]);
    for (size_t i = 0; !error && i < page->n_sandbox; i++)
        error = sandbox_append(listing, page->sandbox[i]);
    for (size_t i = 0; !error && i < page->n_endpoints; i++)
        error = endpoint_append(listing, page->endpoints[i]);
    if (page->totals)
        totals_copy(&listing->totals, page->totals);
    return error;
}

static void member_free(struct fdset_member_info *member) {
    for (size_t i = 0; i < member->lease_count; i++) {
        free(member->leases[i].name);
        free(member->leases[i].endpoint);
    }
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
        free(set->reserved_for);
    }
    for (size_t i = 0; i < listing->waiting_count; i++) {
        free(listing->waiting[i].path);
        free(listing->waiting[i].name);
        free(listing->waiting[i].endpoint);
    }
    for (size_t i = 0; i < listing->sandbox_count; i++) {
        free(listing->sandbox[i].name);
        free(listing->sandbox[i].detail);
    }
    free(listing->waiting);
    for (size_t i = 0; i < listing->endpoint_count; i++)
        free(listing->endpoints[i].name);
    free(listing->endpoints);
    free(listing->sandbox);
    free(listing->sets);
    free(listing);
}

/* ------------------------------------------------------------------- asking */

/* Is `next` further on than `place`? Pages of a faulty helper must not go on
 * for ever. */
static bool cursor_advances(const Fdset__V1__Cursor *place, const Fdset__V1__Cursor *next) {
    if (next->endpoint != place->endpoint) /* endpoints come last, after waiting opens */
        return next->endpoint > place->endpoint;
    if (next->waiting != place->waiting) /* waiting opens come after all sets */
        return next->waiting > place->waiting;
    if (next->set != place->set)
        return next->set > place->set;
    if (next->member != place->member)
        return next->member > place->member;
    return next->lease > place->lease;
}

/* A Query with all that it points to. */
struct query {
    struct question question; /* first */
    Fdset__V1__Query body;
    Fdset__V1__Cursor place;
    uint64_t generation; /* of the connection that brought the first page */
    struct fdset_listing *pages, **listing;
};

/* A page: the next one is asked for from where this one has ended. */
static int page_read(struct question *question, const Fdset__V1__Reply *reply) {
    struct query *query = (struct query *)question;
    uint64_t generation = question->manager->connection.generation;
    const Fdset__V1__Cursor *next = reply->query->next;

    if (!query->body.after)
        query->generation = generation;
    if (query->generation != generation)
        return fail(ECONNRESET, "fdset-helper was restarted while its sets were listed");
    if (listing_append(query->pages, reply->query) < 0)
        return fail(ENOMEM, "out of memory");
    if (!next)
        return 0;
    if (query->body.after && !cursor_advances(&query->place, next))
        return fail(EPROTO, "fdset-helper's listing runs in a circle");
    ProtobufCMessage base = query->place.base;
    query->place = *next;
    query->place.base = base; /* what we do not know of `next` is in the buffers */
    query->body.after = &query->place;
    return QUESTION_GOES_ON;
}

static int query_end(struct question *question, int result) {
    struct query *query = (struct query *)question;

    /* The set may go while its pages are read; then that was all of it. */
    if (result == -ENOENT && query->pages && query->pages->count > 0)
        result = 0;
    if (result == 0)
        *query->listing = query->pages;
    else
        fdset_listing_free(query->pages);
    return result;
}

static int filter_write(Fdset__V1__Query *query, const struct fdset_filter *theirs) {
    struct fdset_filter ours, *filter = &ours;
    int error = SIZED_TAKE(filter, theirs);

    if (error)
        return error;
    if (filter->by_set) {
        query->which_case = FDSET__V1__QUERY__WHICH_SET;
        query->set = filter->set;
    }
    if (filter->name)
        query->name = (char *)filter->name;
    if (filter->owner)
        query->owner = (char *)filter->owner;
    if (filter->opaque) {
        query->label_case = FDSET__V1__QUERY__LABEL_OPAQUE;
        query->opaque = (char *)filter->opaque;
    }
    query->sandbox = filter->sandbox;
    query->endpoints = filter->endpoints;
    return 0;
}

static struct question *query_new(struct fdset_manager *manager, const struct fdset_filter *filter,
                                  struct fdset_listing **listing) {
    struct query *query = question_new(manager, sizeof(*query), FDSET__V1__REQUEST__BODY_QUERY,
                                       FDSET__V1__REPLY__BODY_QUERY, page_read);

    *listing = NULL;
    if (!query)
        return NULL;
    query->question.message.query = &query->body;
    query->question.end = query_end;
    query->listing = listing;
    fdset__v1__query__init(&query->body);
    fdset__v1__cursor__init(&query->place);
    query->pages = calloc(1, sizeof(*query->pages));
    if (!query->pages)
        query->question.result = fail(ENOMEM, "out of memory");
    else if (filter)
        query->question.result = filter_write(&query->body, filter);
    return &query->question;
}

int fdset_query(struct fdset_manager *manager, int set, struct fdset_listing **listing) {
    struct fdset_filter filter = {.by_set = set != FDSET_ALL_SETS, .set = set};

    return fdset_query_filtered(manager, &filter, listing);
}

int fdset_query_filtered(struct fdset_manager *manager, const struct fdset_filter *filter,
                         struct fdset_listing **listing) {
    return question_put(query_new(manager, filter, listing), NULL, NULL);
}

int fdset_query_submit(struct fdset_manager *manager, const struct fdset_filter *filter,
                       struct fdset_listing **listing, fdset_done_function done, void *context) {
    return question_put(query_new(manager, filter, listing), done, context);
}
