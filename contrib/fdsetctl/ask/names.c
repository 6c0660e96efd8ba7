/* SPDX-License-Identifier: MIT */
/* Remembers what each set is called, and asks again where that may have changed. */
#include "ask/names.h"

#include <search.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/memory.h"
#include "common/say.h"

struct known {
    int set;
    char *name;            /* NULL for none */
    size_t members, added; /* as it was asked for, and since then */
};

static void *all;         /* a tree of them */
static struct known gone; /* whose event is being told */

static int known_compare(const void *one, const void *other) {
    int left = ((const struct known *)one)->set, right = ((const struct known *)other)->set;

    return (left > right) - (left < right);
}

static struct known *known_find(int set) {
    struct known **found = tfind(&(struct known){.set = set}, &all, known_compare);

    return found ? *found : NULL;
}

static struct known *known_make(int set) {
    struct known *known = xcalloc(1, sizeof(*known));

    known->set = set;
    if (!tsearch(known, &all, known_compare))
        die("out of memory");
    return known;
}

static void known_fill(const struct fdset_info *info) {
    struct known *known = known_find(info->set);

    if (!known)
        known = known_make(info->set);
    free(known->name);
    known->name = info->name ? xstrdup(info->name) : NULL;
    known->members = info->member_count;
    known->added = 0;
}

/* Nothing where it cannot be had: the event is told without it. */
static void ask(struct fdset_manager *manager, const struct fdset_filter *filter) {
    struct fdset_listing *listing;

    if (fdset_query_filtered(manager, filter, &listing) < 0)
        return;
    for (size_t i = 0; i < listing->count; i++)
        known_fill(&listing->sets[i]);
    fdset_listing_free(listing);
}

void set_names_begin(struct fdset_manager *manager) {
    ask(manager, NULL);
}

static void known_free(void *known) {
    free(((struct known *)known)->name);
    free(known);
}

/* It may have got its name with a member. One with very many is not asked for again
 * with each of them. */
static bool may_have_changed(struct known *known, const struct fdset_event *event) {
    return event->kind == FDSET_EVENT_ADDED && !known->name && ++known->added > known->members / 16;
}

const char *set_name_of(struct fdset_manager *manager, const struct fdset_event *event) {
    struct known *known;

    free(gone.name);
    gone.name = NULL;
    if (event->lost) { /* it may have been the end of a set, and another has its number */
        tdestroy(all, known_free);
        all = NULL;
    }
    if (event->set < 0)
        return NULL;
    known = known_find(event->set);
    if (!known || may_have_changed(known, event))
        ask(manager, &(struct fdset_filter){.by_set = true, .set = event->set});
    if (!known)
        known = known_find(event->set);
    if (!known || event->kind != FDSET_EVENT_SET_GONE)
        return known ? known->name : NULL;
    gone = *known;
    tdelete(known, &all, known_compare);
    free(known);
    return gone.name;
}
