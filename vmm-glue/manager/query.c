/* SPDX-License-Identifier: MIT */
/* Asking a helper what there is. */
#include <errno.h>

#include "manager/listing.h"
#include "manager/manager.h"
#include "wire/failure.h"

/* Is `next` further on than `place`? Pages of a faulty helper must not go on
 * for ever. */
static bool cursor_advances(const Fdset__V1__Cursor *place, const Fdset__V1__Cursor *next) {
    if (next->waiting != place->waiting) /* waiting opens come after all sets */
        return next->waiting > place->waiting;
    if (next->set != place->set)
        return next->set > place->set;
    if (next->member != place->member)
        return next->member > place->member;
    return next->lease > place->lease;
}

/* Without the fields of `next` that we do not know: they are in the buffers. */
static void cursor_copy(Fdset__V1__Cursor *place, const Fdset__V1__Cursor *next) {
    ProtobufCMessage base = place->base;
    *place = *next;
    place->base = base;
}

/* A Query with all that it points to. */
struct query {
    struct question question; /* first */
    Fdset__V1__Query body;
    Fdset__V1__Cursor place;
    uint32_t generation; /* of the connection that brought the first page */
    struct fdset_listing *pages, **listing;
};

/* A page: the next one is asked for from where this one has ended. */
static int page_read(struct question *question, const Fdset__V1__Reply *reply) {
    struct query *query = (struct query *)question;
    uint32_t generation = question->manager->connection.generation;
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
    cursor_copy(&query->place, next);
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
    query->pages = listing_new();
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
