/* SPDX-License-Identifier: MIT */
/* What Query lists, as lines of text: see listing.h. */
#include "listing.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BY_SET    FDSET__V1__QUERY__WHICH_SET
#define BY_OPAQUE FDSET__V1__QUERY__LABEL_OPAQUE

void text_clear(struct text *text) {
    text->used = 0;
    text->bytes[0] = '\0';
}

void text_add(struct text *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length =
        vsnprintf(text->bytes + text->used, sizeof(text->bytes) - text->used, format, arguments);
    va_end(arguments);
    text->used += (size_t)length;
    assert_true(text->used < sizeof(text->bytes));
}

void text_difference(const struct text *expected, const struct text *got) {
    const char *one = expected->bytes, *other = got->bytes;
    for (;;) {
        size_t length = strcspn(one, "\n"), other_length = strcspn(other, "\n");
        if (length != other_length || memcmp(one, other, length) != 0) {
            print_error("expected: %.*s\n     got: %.*s\n", (int)length, one, (int)other_length,
                        other);
            return;
        }
        if (!one[length])
            return;
        one += length + 1;
        other += length + 1;
    }
}

/* -------------------------------------------------------------------- lines */

static void add_set(struct text *text, const SetInfo *set) {
    text_add(
        text,
        "set %d lifetime %d orphaned %d name '%s' owner '%s' user %u grace %u idle %u clock %d "
        "mixed %d holds %u\n",
        set->set, set->lifetime, set->orphaned, set->name, set->owner, set->owner_uid,
        set->grace_ms, set->idle_ms, set->clock_case != 0, set->mixed, set->holds);
}

static void add_member(struct text *text, const MemberInfo *member) {
    bool labelled = member->label_case == FDSET__V1__MEMBER_INFO__LABEL_OPAQUE;
    text_add(text,
             "  member %u '%s' %d state %d flags %o type %o file %llx %llx %llx sharing "
             "%d%d%d%d leases %u\n",
             member->member, labelled ? member->opaque : "", labelled, member->state, member->flags,
             member->type, (unsigned long long)member->device, (unsigned long long)member->inode,
             (unsigned long long)member->device_number, member->sharing, member->serves_read_only,
             member->keep_content, member->keep_locks, member->lease_count);
}

static void add_lease(struct text *text, const Fdset__V1__LeaseInfo *lease, bool blind) {
    text_add(text, "    lease %llu flags %o connection %llu pid %d name '%s'\n",
             blind ? 0 : (unsigned long long)lease->lease, lease->flags,
             (unsigned long long)lease->connection, lease->pid, lease->name);
}

static void add_waiting(struct text *text, const WaitingInfo *waiting) {
    text_add(text, "waiting '%s' flags %o connection %llu pid %d name '%s'\n", waiting->path,
             waiting->flags, (unsigned long long)waiting->connection, waiting->pid, waiting->name);
}

static void add_totals(struct text *text, const Totals *totals) {
    text_add(text,
             "sets %u members %u leases %u connections %u settling %u waiting %u holds %u "
             "subscribers %u opens %llu denied %llu closes %llu hangups %llu added %llu removed "
             "%llu waited %llu expired %llu lost %llu accepted %llu malformed %llu\n",
             totals->sets, totals->members, totals->leases, totals->connections, totals->settling,
             totals->waiting, totals->holds, totals->subscribers, (unsigned long long)totals->opens,
             (unsigned long long)totals->denied, (unsigned long long)totals->closes,
             (unsigned long long)totals->hangups, (unsigned long long)totals->added,
             (unsigned long long)totals->removed, (unsigned long long)totals->waited,
             (unsigned long long)totals->expired, (unsigned long long)totals->events_lost,
             (unsigned long long)totals->accepted, (unsigned long long)totals->malformed);
}

/* ----------------------------------------------------------------- expected */

static bool member_wanted(const struct ref_member *member, const Query *query) {
    const char *opaque = member->as_asked.opaque;
    return query->label_case != BY_OPAQUE || (opaque && strcmp(opaque, query->opaque) == 0);
}

static bool set_wanted(const struct reference *ref, const struct ref_set *set, const Query *query) {
    if ((query->which_case == BY_SET && set->id != query->set) ||
        (*query->name && strcmp(set->name, query->name) != 0) ||
        (*query->owner && strcmp(set->owner, query->owner) != 0))
        return false;
    for (int i = 0; i < ref->member_count; i++)
        if (ref->members[i].set == set->id && member_wanted(&ref->members[i], query))
            return true;
    return query->label_case != BY_OPAQUE;
}

static void expect_lease(const struct reference *ref, const struct ref_lease *lease,
                         const struct question *question, struct text *text) {
    const struct ref_client *client = &ref->clients[lease->client];
    Fdset__V1__LeaseInfo info = FDSET__V1__LEASE_INFO__INIT;
    info.lease = lease->id;
    info.flags = (uint32_t)lease->flags;
    info.connection = client->connection;
    info.pid = client->pid;
    info.name = (char *)client->name;
    add_lease(text, &info, question->blind);
}

static void expect_member(const struct reference *ref, const struct ref_member *member,
                          const struct question *question, struct text *text) {
    const struct world_file *file = &ref->world->files[member->file];
    const Cursor *after = question->query.after;
    MemberInfo info = FDSET__V1__MEMBER_INFO__INIT;
    uint32_t after_lease = 0;
    if (after && member->set == after->set && member->id < after->member)
        return;
    info.member = member->id;
    if (member->as_asked.opaque) {
        info.label_case = FDSET__V1__MEMBER_INFO__LABEL_OPAQUE;
        info.opaque = (char *)member->as_asked.opaque;
    }
    info.state = member->removed ? MEMBER(REMOVED) : MEMBER(LISTED);
    info.flags = (uint32_t)member->flags;
    info.device = file->device;
    info.inode = file->inode;
    info.type = file->type;
    info.device_number = file->device_number;
    info.sharing = (Fdset__V1__Sharing)member->as_asked.sharing;
    info.serves_read_only = member->as_asked.serves_read_only;
    info.keep_content = member->as_asked.keep_content;
    info.keep_locks = member->as_asked.keep_locks;
    info.lease_count = (uint32_t)ref_member_leases(ref, member->id);
    if (after && member->set == after->set && member->id == after->member)
        after_lease = after->lease;
    else
        add_member(text, &info);
    /* Leases come in the order in which they were given, which the ids have too. */
    for (int i = 0; i < ref->lease_count; i++)
        if (ref->leases[i].member == member->id &&
            (!after_lease || ref->leases[i].id > after_lease))
            expect_lease(ref, &ref->leases[i], question, text);
}

static void expect_set(const struct reference *ref, const struct ref_set *set,
                       const struct question *question, struct text *text) {
    const Cursor *after = question->query.after;
    SetInfo info = FDSET__V1__SET_INFO__INIT;
    if (after && set->id < after->set)
        return;
    info.set = set->id;
    info.lifetime = (Fdset__V1__Lifetime)set->lifetime;
    info.orphaned = set->orphaned;
    info.name = (char *)set->name;
    info.owner = (char *)set->owner;
    info.owner_uid = set->user;
    info.grace_ms = set->grace_ms;
    info.idle_ms = set->idle_ms;
    info.clock_case =
        set->clock ? FDSET__V1__SET_INFO__CLOCK_EXPIRES_MS : FDSET__V1__SET_INFO__CLOCK__NOT_SET;
    info.mixed = set->mixed;
    info.holds = (uint32_t)ref_set_holds(ref, set->id);
    if (!after || set->id > after->set)
        add_set(text, &info);
    for (int i = 0; i < ref->member_count; i++)
        if (ref->members[i].set == set->id && member_wanted(&ref->members[i], &question->query))
            expect_member(ref, &ref->members[i], question, text);
}

static bool waiting_wanted(struct reference *ref, const struct ref_waiting *waiting,
                           const Query *query) {
    struct ref_result result;
    if (query->which_case != BY_SET && !*query->name && !*query->owner &&
        query->label_case != BY_OPAQUE)
        return true;
    const struct ref_set *set = ref_find_path(ref, waiting->path, &result);
    return set && set_wanted(ref, set, query);
}

static void expect_waiting(struct reference *ref, const struct question *question,
                           struct text *text) {
    for (int i = 0; i < ref->waiting_count; i++) {
        const struct ref_waiting *waiting = &ref->waiting[i];
        const struct ref_client *client = &ref->clients[waiting->client];
        WaitingInfo info = FDSET__V1__WAITING_INFO__INIT;
        info.path = (char *)waiting->path;
        info.flags = (uint32_t)waiting->flags;
        info.connection = client->connection;
        info.pid = client->pid;
        info.name = (char *)client->name;
        if (waiting_wanted(ref, waiting, &question->query))
            add_waiting(text, &info);
    }
}

static void expect_totals(const struct reference *ref, struct text *text) {
    Totals totals = FDSET__V1__TOTALS__INIT;
    for (int i = 0; i < REF_CLIENTS; i++) {
        totals.connections += ref->clients[i].connected;
        totals.subscribers += ref->clients[i].kinds != 0;
    }
    totals.sets = (uint32_t)ref->set_count;
    totals.members = (uint32_t)ref->member_count;
    totals.leases = (uint32_t)ref->lease_count;
    totals.waiting = (uint32_t)ref->waiting_count;
    totals.holds = (uint32_t)ref->hold_count;
    totals.opens = ref->totals.opens;
    totals.denied = ref->totals.denied;
    totals.closes = ref->totals.closes;
    totals.hangups = ref->totals.hangups;
    totals.added = ref->totals.added;
    totals.removed = ref->totals.removed;
    totals.waited = ref->totals.waited;
    totals.expired = ref->totals.expired;
    totals.events_lost = ref->totals.lost;
    totals.accepted = ref->next_connection - 1;
    totals.malformed = ref->totals.malformed;
    add_totals(text, &totals);
}

int listing_refusal(struct reference *ref, const Query *query) {
    if ((query->which_case == BY_SET && query->set < 0) || (query->after && query->after->set < 0))
        return CODE(ARGUMENT);
    if (query->after)
        return 0;
    if ((query->which_case == BY_SET && !ref_find_set(ref, query->set)) ||
        (*query->name && !ref_find_name(ref, query->name)))
        return CODE(NO_SET);
    return 0;
}

void listing_expected(struct reference *ref, const struct question *question, struct text *text) {
    text_clear(text);
    for (int i = 0; i < ref->set_count; i++)
        if (set_wanted(ref, &ref->sets[i], &question->query))
            expect_set(ref, &ref->sets[i], question, text);
    expect_waiting(ref, question, text);
    expect_totals(ref, text);
}

/* --------------------------------------------------------------------- came */

static void page_member(const SetInfo *set, const MemberInfo *member, const Cursor *after,
                        const struct question *question, struct text *text) {
    bool goes_on = after && after->set == set->set && after->member == member->member;
    if (!goes_on)
        add_member(text, member);
    for (size_t i = 0; i < member->n_leases; i++)
        add_lease(text, member->leases[i], question->blind);
}

static void page_add(const QueryReply *page, const Cursor *after, const struct question *question,
                     struct text *text) {
    uint32_t last = 0;
    for (size_t i = 0; i < page->n_sets; i++) {
        const SetInfo *set = page->sets[i];
        if (!after || after->set != set->set)
            add_set(text, set);
        if (set->clock_case)
            assert_true(set->expires_ms <= set->grace_ms + set->idle_ms);
        for (size_t j = 0; j < set->n_members; j++)
            page_member(set, set->members[j], after, question, text);
    }
    for (size_t i = 0; i < page->n_waiting; i++) {
        assert_true(page->waiting[i]->waiting > last);
        last = page->waiting[i]->waiting;
        add_waiting(text, page->waiting[i]);
    }
}

Totals listing_ask(struct client *client, const struct question *question, struct text *text) {
    Query query = question->query;
    Cursor after;
    Totals totals;
    text_clear(text);
    for (;;) {
        QueryReply *page = client_query_with(client, &query);
        assert_non_null(page->totals);
        totals = *page->totals;
        page_add(page, query.after, question, text);
        if (!page->next)
            break;
        after = *page->next;
        query.after = &after;
    }
    add_totals(text, &totals);
    return totals;
}
