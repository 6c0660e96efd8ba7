/* SPDX-License-Identifier: MIT */
/* Asking a helper what there is: the pages of its answer become one listing. A set or a member
 * that a page ended in goes on in the next. */
#include "manager/manager.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "wire/failure.h"

/* A listing with all that it points to: blocks of memory, which go with it. */
struct block {
    struct block *next;
    max_align_t bytes[];
};

struct pages {
    struct fdset_listing listing; /* first: it is the caller's */
    struct block *blocks;
    bool incomplete; /* for want of memory */
};

static void *block_take(struct pages *pages, size_t size) {
    struct block *block = calloc(1, sizeof(*block) + size);

    pages->incomplete |= !block;
    if (!block)
        return NULL;
    block->next = pages->blocks;
    pages->blocks = block;
    return block->bytes;
}

void fdset_listing_free(struct fdset_listing *listing) {
    struct pages *pages = (struct pages *)listing;

    for (struct block *block = pages ? pages->blocks : NULL, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    free(pages);
}

/* Adds an element, all zero, to an array of `*count`, for which there is room up to the next
 * power of two. NULL where there is no memory. */
static void *append(struct pages *pages, void *array_pointer, size_t *count, size_t size) {
    void **array = array_pointer;

    if ((*count & (*count - 1)) == 0) {
        void *larger = block_take(pages, (*count ? 2 * *count : 1) * size);
        if (!larger)
            return NULL;
        if (*count)
            memcpy(larger, *array, *count * size);
        *array = larger;
    }
    return (char *)*array + (*count)++ * size;
}

static char *copy(struct pages *pages, const char *text) {
    char *copied = block_take(pages, strlen(text) + 1);
    return copied ? strcpy(copied, text) : NULL;
}

/* The same of a string that may be empty, which is none. */
static char *copy_if_any(struct pages *pages, const char *text) {
    return *text ? copy(pages, text) : NULL;
}

static void lease_append(struct pages *pages, struct fdset_member_info *member,
                         const Fdset__V1__LeaseInfo *from) {
    struct fdset_lease_info *lease =
        append(pages, &member->leases, &member->lease_count, sizeof(*lease));

    if (lease)
        *lease = (struct fdset_lease_info){
            .lease = from->lease,
            .flags = (int)from->flags,
            .age_ms = from->age_ms,
            .connection = from->connection,
            .pid = from->pid,
            .name = copy(pages, from->name),
            .endpoint = copy_if_any(pages, from->endpoint),
        };
}

static void member_append(struct pages *pages, struct fdset_info *set,
                          const Fdset__V1__MemberInfo *from) {
    struct fdset_member_info *member =
        set->member_count ? &set->members[set->member_count - 1] : NULL;
    bool labelled = from->label_case == FDSET__V1__MEMBER_INFO__LABEL_OPAQUE;

    if (!member || member->member != from->member) {
        member = append(pages, &set->members, &set->member_count, sizeof(*member));
        if (!member)
            return;
        *member = (struct fdset_member_info){
            .member = from->member,
            .opaque = labelled ? copy(pages, from->opaque) : NULL,
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
    for (size_t i = 0; i < from->n_leases; i++)
        lease_append(pages, member, from->leases[i]);
}

static void set_append(struct pages *pages, const Fdset__V1__SetInfo *from) {
    struct fdset_info *set =
        pages->listing.count ? &pages->listing.sets[pages->listing.count - 1] : NULL;
    bool expires = from->clock_case == FDSET__V1__SET_INFO__CLOCK_EXPIRES_MS;

    if (!set || set->set != from->set) {
        set = append(pages, &pages->listing.sets, &pages->listing.count, sizeof(*set));
        if (!set)
            return;
        *set = (struct fdset_info){
            .set = from->set,
            .lifetime = (enum fdset_lifetime)from->lifetime,
            .orphaned = from->orphaned,
            .name = copy_if_any(pages, from->name),
            .owner = copy_if_any(pages, from->owner),
            .owner_uid = from->owner_uid,
            .grace_ms = from->grace_ms,
            .idle_ms = from->idle_ms,
            .expires_ms = expires ? (int64_t)from->expires_ms : -1,
            .mixed = from->mixed,
            .holds = from->holds,
            .reserved_for = copy_if_any(pages, from->reserved_for),
        };
    }
    for (size_t i = 0; i < from->n_members; i++)
        member_append(pages, set, from->members[i]);
}

static void waiting_append(struct pages *pages, const Fdset__V1__WaitingInfo *from) {
    struct fdset_waiting_info *waiting =
        append(pages, &pages->listing.waiting, &pages->listing.waiting_count, sizeof(*waiting));

    if (waiting)
        *waiting = (struct fdset_waiting_info){
            .waiting = from->waiting,
            .path = copy_if_any(pages, from->path),
            .flags = (int)from->flags,
            .age_ms = from->age_ms,
            .expires_ms = from->expires_ms,
            .endpoint = copy_if_any(pages, from->endpoint),
            .connection = from->connection,
            .pid = from->pid,
            .name = copy(pages, from->name),
        };
}

static void endpoint_append(struct pages *pages, const Fdset__V1__EndpointInfo *from) {
    struct fdset_endpoint_info *endpoint =
        append(pages, &pages->listing.endpoints, &pages->listing.endpoint_count, sizeof(*endpoint));

    if (endpoint)
        *endpoint = (struct fdset_endpoint_info){
            .name = copy(pages, from->name),
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
}

static void sandbox_append(struct pages *pages, const Fdset__V1__SandboxStage *from) {
    struct fdset_sandbox_info *stage =
        append(pages, &pages->listing.sandbox, &pages->listing.sandbox_count, sizeof(*stage));

    if (stage)
        *stage = (struct fdset_sandbox_info){
            .name = copy(pages, from->name),
            .whole = from->whole,
            .detail = copy(pages, from->detail),
        };
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

/* Copies a page to the end. */
static void pages_append(struct pages *pages, const Fdset__V1__QueryReply *page) {
    for (size_t i = 0; i < page->n_sets; i++)
        set_append(pages, page->sets[i]);
    for (size_t i = 0; i < page->n_waiting; i++)
        waiting_append(pages, page->waiting[i]);
    for (size_t i = 0; i < page->n_sandbox; i++)
        sandbox_append(pages, page->sandbox[i]);
    for (size_t i = 0; i < page->n_endpoints; i++)
        endpoint_append(pages, page->endpoints[i]);
    if (page->totals)
        totals_copy(&pages->listing.totals, page->totals);
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
    struct pages *pages;
    struct fdset_listing **listing;
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
    pages_append(query->pages, reply->query);
    if (query->pages->incomplete)
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
    if (result == -ENOENT && query->pages && query->pages->listing.count > 0)
        result = 0;
    if (result == 0)
        *query->listing = &query->pages->listing;
    else
        fdset_listing_free(&query->pages->listing);
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
