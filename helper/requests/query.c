/* SPDX-License-Identifier: MIT */
/* What managers and observers ask: Query, Subscribe. */
#include "requests/add_remove.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "requests/opening.h"

/* Upper bounds of what each part takes when packed: tags, lengths and the
 * longest varints of all its fields, beside its texts. */
#define FRAME_BYTES    384 /* the reply, the totals, the cursor */
#define SET_BYTES      72
#define MEMBER_BYTES   88
#define LEASE_BYTES    (70 + FDSET_MAX_NAME_BYTES) /* with its name */
#define WAITING_BYTES  82
#define STAGE_BYTES    12
#define ENDPOINT_BYTES 64

/* As many as could fit. */
#define PAGE_SETS      128
#define PAGE_MEMBERS   192
#define PAGE_LEASES    160
#define PAGE_WAITING   96
#define PAGE_STAGES    12
#define PAGE_ENDPOINTS 160

/* The page being made: one at a time. */
static struct {
    Fdset__V1__SetInfo sets[PAGE_SETS], *set_pointers[PAGE_SETS];
    Fdset__V1__MemberInfo members[PAGE_MEMBERS], *member_pointers[PAGE_MEMBERS];
    Fdset__V1__LeaseInfo leases[PAGE_LEASES], *lease_pointers[PAGE_LEASES];
    Fdset__V1__WaitingInfo waiting[PAGE_WAITING], *waiting_pointers[PAGE_WAITING];
    Fdset__V1__SandboxStage stages[PAGE_STAGES], *stage_pointers[PAGE_STAGES];
    Fdset__V1__EndpointInfo endpoints[PAGE_ENDPOINTS], *endpoint_pointers[PAGE_ENDPOINTS];
    uint32_t set_count, member_count, lease_count, waiting_count, stage_count, endpoint_count;
    const struct endpoint *bound; /* of whom asks: it sees no more than its; NULL: all */
    size_t room;                  /* bytes */
    int looks;                    /* at what a filter leaves out */
    uint64_t now_ms;
    Fdset__V1__Cursor last; /* what was put in last */
} page;

static bool page_takes(size_t bytes, uint32_t count, uint32_t most) {
    if (bytes > page.room || count >= most)
        return false;
    page.room -= bytes;
    return true;
}

/* What a filter leaves out takes time too. A page is of so many looks at it, and may be empty;
 * to look at a set or a waiting open is as much as to look at ten members. */
#define PAGE_LOOKS 1000
#define SET_LOOKS  10

static bool page_looks(int looks) {
    page.looks -= looks;
    return page.looks > 0;
}

/* The next page goes on after this member of this set. */
static bool page_ends(uint32_t set, uint32_t member) {
    page.last = (Fdset__V1__Cursor)FDSET__V1__CURSOR__INIT;
    page.last.set = (int32_t)set;
    page.last.member = member;
    return false;
}

/* In a cursor: after all that there is of the set. */
#define LAST_LEASE UINT64_MAX

static bool page_ends_behind(uint32_t set) {
    page_ends(set, UINT32_MAX);
    page.last.lease = LAST_LEASE;
    return false;
}

static uint64_t remaining(uint64_t due_ms) {
    return due_ms > page.now_ms ? due_ms - page.now_ms : 0;
}

static char *text(const char *label) {
    return label ? (char *)label : (char *)protobuf_c_empty_string;
}

static char *name_of(const struct endpoint *endpoint) {
    return endpoint ? (char *)endpoint->name : (char *)protobuf_c_empty_string;
}

static bool put_lease(const struct lease *lease) {
    size_t bytes = LEASE_BYTES + strlen(lease->holder->endpoint->name);

    if (!page_takes(bytes, page.lease_count, PAGE_LEASES))
        return false;
    Fdset__V1__LeaseInfo *info = &page.leases[page.lease_count];
    fdset__v1__lease_info__init(info);
    info->lease = lease->id;
    info->flags = (uint32_t)lease->flags;
    info->age_ms = page.now_ms - lease->opened_ms;
    info->connection = lease->holder->connection;
    info->pid = lease->holder->pid;
    info->name = lease->holder->name;
    info->endpoint = name_of(lease->holder->endpoint);
    page.lease_pointers[page.lease_count++] = info;
    page.members[page.member_count - 1].n_leases++;
    page.last.lease = lease->id;
    return true;
}

static bool put_member(const struct member *member) {
    size_t bytes = MEMBER_BYTES + strlen(text(member->opaque));

    if (!page_takes(bytes, page.member_count, PAGE_MEMBERS))
        return false;
    Fdset__V1__MemberInfo *info = &page.members[page.member_count];
    fdset__v1__member_info__init(info);
    info->member = member->id;
    if (member->opaque) {
        info->label_case = FDSET__V1__MEMBER_INFO__LABEL_OPAQUE;
        info->opaque = member->opaque;
    }
    info->state = (Fdset__V1__MemberState)member_state(member);
    info->flags = (uint32_t)member->flags;
    info->device = device_unpack(member->device);
    info->type = member->type;
    if (member_is_device(member))
        info->device_number = device_unpack(member->device_number);
    info->inode = member->inode;
    info->sharing = (Fdset__V1__Sharing)member->sharing;
    info->serves_read_only = member->serves_read_only;
    info->keep_content = member->keep_content;
    info->keep_locks = member->keep_locks;
    info->age_ms = page.now_ms - member->added_ms;
    info->lease_count = member->lease_count;
    info->leases = page.lease_pointers + page.lease_count;
    page.member_pointers[page.member_count++] = info;
    page.sets[page.set_count - 1].n_members++;
    page.last.member = member->id;
    page.last.lease = 0;
    return true;
}

static bool put_set(const struct fdset *set) {
    size_t bytes = SET_BYTES + strlen(text(set->name)) + strlen(text(set->owner)) +
                   strlen(name_of(set->reserved));

    if (!page_takes(bytes, page.set_count, PAGE_SETS))
        return false;
    Fdset__V1__SetInfo *info = &page.sets[page.set_count];
    fdset__v1__set_info__init(info);
    info->set = (int32_t)set->id;
    info->lifetime = (Fdset__V1__Lifetime)set->lifetime;
    info->orphaned = set->orphaned;
    info->name = text(set->name);
    info->owner = text(set->owner);
    info->owner_uid = set->owner_uid;
    info->grace_ms = set->grace_ms;
    info->idle_ms = set->idle_ms;
    if (deadline_runs(&set->deadline)) {
        info->clock_case = FDSET__V1__SET_INFO__CLOCK_EXPIRES_MS;
        info->expires_ms = remaining(set->deadline.due_ms);
    }
    info->mixed = set->mixed;
    info->holds = set->hold_count;
    info->reserved_for = name_of(set->reserved);
    info->members = page.member_pointers + page.member_count;
    page.set_pointers[page.set_count++] = info;
    page.last = (Fdset__V1__Cursor)FDSET__V1__CURSOR__INIT;
    page.last.set = (int32_t)set->id;
    return true;
}

/* Puts in the member and its leases after `after_lease`; false if not all fit. */
static bool list_member(const struct member *member, uint64_t after_lease) {
    if (!put_member(member))
        return false;
    list_for_each (link, &member->leases) {
        const struct lease *lease = list_object(link, struct lease, in_member);
        if (lease->id > after_lease && !put_lease(lease))
            return false;
    }
    return true;
}

static bool has_lease_after(const struct member *member, uint64_t lease) {
    return !list_empty(&member->leases) &&
           list_object(member->leases.previous, struct lease, in_member)->id > lease;
}

/* ----------------------------------------------------------------- filters */

static bool member_wanted(const struct member *member, const Fdset__V1__Query *query) {
    if (query->label_case != FDSET__V1__QUERY__LABEL_OPAQUE)
        return true;
    return member->opaque && *member->opaque == *query->opaque &&
           strcmp(member->opaque, query->opaque) == 0;
}

/* But for the label. */
static bool set_wanted(const struct fdset *set, const Fdset__V1__Query *query) {
    if (!set_is_seen(set, page.bound))
        return false;
    if (query->which_case == FDSET__V1__QUERY__WHICH_SET && set->id != (uint32_t)query->set)
        return false;
    if (*query->name && (!set->name || strcmp(set->name, query->name) != 0))
        return false;
    return !*query->owner || (set->owner && strcmp(set->owner, query->owner) == 0);
}

static bool is_labelled(const Fdset__V1__Query *query) {
    return query->label_case == FDSET__V1__QUERY__LABEL_OPAQUE;
}

static bool set_has_label(const struct fdset *set, const Fdset__V1__Query *query) {
    list_for_each (link, &set->members) {
        if (member_wanted(list_object(link, struct member, in_set), query))
            return true;
        page_looks(1);
    }
    return false;
}

static bool is_filtered(const Fdset__V1__Query *query) {
    return query->which_case == FDSET__V1__QUERY__WHICH_SET || *query->name || *query->owner ||
           query->label_case == FDSET__V1__QUERY__LABEL_OPAQUE;
}

/* ----------------------------------------------------------------- listing */

/* Where the listing of a set goes on. Members stand in the order of their ids, so a cursor's
 * place is found even when its member has gone. */
static const struct list *first_member(const struct model *model, const struct fdset *set,
                                       const Fdset__V1__Cursor *after) {
    const struct list *link = set->members.next;

    if (!after || after->set != (int32_t)set->id)
        return link;
    const struct member *member = model_find_member(model, after->member);
    if (member && member->set == set)
        return has_lease_after(member, after->lease) ? &member->in_set : member->in_set.next;
    while (link != &set->members && list_object(link, struct member, in_set)->id < after->member)
        link = link->next;
    return link;
}

/* By label only a set is listed that has a member of it. */
static bool list_set(const struct model *model, const struct fdset *set,
                     const Fdset__V1__Query *query) {
    const Fdset__V1__Cursor *after = query->after;
    bool here = after && after->set == (int32_t)set->id, put = !is_labelled(query);

    if (put && !put_set(set))
        return false;
    for (const struct list *link = first_member(model, set, after); link != &set->members;
         link = link->next) {
        const struct member *member = list_object(link, struct member, in_set);
        if (!member_wanted(member, query)) {
            if (!page_looks(1))
                return page_ends(set->id, member->id);
            continue;
        }
        if (!put && !put_set(set))
            return false;
        put = true;
        if (!list_member(member, here && member->id == after->member ? after->lease : 0))
            return false;
    }
    return true;
}

/* The first set that may be in the page. */
static const struct fdset *first_set(const struct model *model, const Fdset__V1__Query *query) {
    uint32_t id = query->after ? (uint32_t)query->after->set : 0;

    if (query->which_case == FDSET__V1__QUERY__WHICH_SET)
        return model_find_set(model, (uint32_t)query->set);
    if (*query->name)
        return model_find_name(model, query->name);
    const struct fdset *set = model_find_set(model, id);
    return set ? set : model_next_set(model, id);
}

static bool is_before(const struct fdset *set, const Fdset__V1__Cursor *after) {
    return after && ((int32_t)set->id < after->set ||
                     ((int32_t)set->id == after->set && after->lease == LAST_LEASE));
}

static bool list_sets(const struct model *model, const Fdset__V1__Query *query) {
    bool single = query->which_case == FDSET__V1__QUERY__WHICH_SET || *query->name;

    for (const struct fdset *set = first_set(model, query); set;
         set = single ? NULL : model_next_set(model, set->id)) {
        if (!is_before(set, query->after) && set_wanted(set, query) && !list_set(model, set, query))
            return false;
        if (is_filtered(query) && !page_looks(SET_LOOKS))
            return page_ends_behind(set->id);
    }
    return true;
}

/* The set of an open that waits, if there is one. */
static const struct fdset *set_of(const struct model *model, const struct waiting *waiting) {
    const char *word = waiting->path + strlen(SET_PATH_PREFIX);

    return word[strspn(word, "0123456789")]
               ? model_find_name(model, word)
               : model_find_set(model, (uint32_t)strtoul(word, NULL, 10));
}

static bool waiting_wanted(const struct model *model, const struct waiting *waiting,
                           const Fdset__V1__Query *query) {
    if (page.bound && waiting->session->holder.endpoint != page.bound)
        return false;
    if (!is_filtered(query))
        return true;
    const struct fdset *set = set_of(model, waiting);
    return set && set_wanted(set, query) && (!is_labelled(query) || set_has_label(set, query));
}

static bool put_waiting(struct service *service, const struct waiting *waiting) {
    const struct holder *holder = &waiting->session->holder;

    size_t bytes = WAITING_BYTES + strlen(waiting->path) + strlen(holder->name) +
                   strlen(name_of(holder->endpoint));

    if (!page_takes(bytes, page.waiting_count, PAGE_WAITING))
        return false;
    Fdset__V1__WaitingInfo *info = &page.waiting[page.waiting_count];
    fdset__v1__waiting_info__init(info);
    info->waiting = waiting->number;
    info->path = (char *)waiting->path;
    info->flags = (uint32_t)waiting->flags;
    info->age_ms = page.now_ms - waiting->began_ms;
    if (deadline_runs(&waiting->deadline))
        info->expires_ms = remaining(waiting->deadline.due_ms);
    info->connection = holder->connection;
    info->pid = holder->pid;
    info->name = (char *)holder->name;
    info->endpoint = name_of(holder->endpoint);
    page.waiting_pointers[page.waiting_count++] = info;
    page.last = (Fdset__V1__Cursor)FDSET__V1__CURSOR__INIT;
    page.last.waiting = waiting->number;
    return true;
}

static bool list_waiting(struct service *service, const Fdset__V1__Query *query) {
    uint64_t seen = query->after ? query->after->waiting : 0;

    list_for_each (link, &service->waits.all) {
        const struct waiting *waiting = list_object(link, struct waiting, link);
        if (waiting->number <= seen)
            continue;
        if (is_filtered(query) && !page_looks(SET_LOOKS)) {
            page_ends_behind(INT_MAX); /* all sets are done */
            page.last.waiting = seen;
            return false;
        }
        seen = waiting->number;
        if (waiting_wanted(&service->model, waiting, query) && !put_waiting(service, waiting))
            return false;
    }
    return true;
}

static bool put_endpoint(const struct endpoint *endpoint, uint32_t number) {
    const struct share *shares = endpoint->shares;

    if (!page_takes(ENDPOINT_BYTES + strlen(endpoint->name), page.endpoint_count, PAGE_ENDPOINTS))
        return false;
    Fdset__V1__EndpointInfo *info = &page.endpoints[page.endpoint_count];
    fdset__v1__endpoint_info__init(info);
    info->name = name_of(endpoint);
    info->leases = shares[RESOURCE_LEASES].used;
    info->leases_kept = shares[RESOURCE_LEASES].kept;
    info->waiting = shares[RESOURCE_WAITING].used;
    info->waiting_kept = shares[RESOURCE_WAITING].kept;
    info->holds = shares[RESOURCE_HOLDS].used;
    info->holds_kept = shares[RESOURCE_HOLDS].kept;
    info->connections = shares[RESOURCE_CONNECTIONS].used;
    info->connections_kept = shares[RESOURCE_CONNECTIONS].kept;
    info->in_flight = endpoint->in_flight;
    page.endpoint_pointers[page.endpoint_count++] = info;
    page.last = (Fdset__V1__Cursor)FDSET__V1__CURSOR__INIT;
    page.last.endpoint = number;
    return true;
}

static bool list_endpoints(const struct endpoints *endpoints, const Fdset__V1__Query *query) {
    for (uint32_t i = query->after ? query->after->endpoint : 0; i < endpoints->count; i++) {
        const struct endpoint *endpoint = &endpoints->all[i];
        if (page.bound && endpoint != page.bound)
            continue;
        if (!put_endpoint(endpoint, i + 1))
            return false;
    }
    return true;
}

static void list_sandbox(const struct service *service) {
    for (size_t i = 0; i < service->sandbox_count && i < PAGE_STAGES; i++) {
        const struct sandbox_stage *stage = &service->sandbox[i];
        size_t bytes = STAGE_BYTES + strlen(stage->name) + strlen(stage->detail);
        if (!page_takes(bytes, page.stage_count, PAGE_STAGES))
            return;
        Fdset__V1__SandboxStage *info = &page.stages[page.stage_count];
        fdset__v1__sandbox_stage__init(info);
        info->name = (char *)stage->name;
        info->whole = stage->whole;
        info->detail = (char *)stage->detail;
        page.stage_pointers[page.stage_count++] = info;
    }
}

/* Of one endpoint nothing is counted but what it has now. */
static void fill_bound(Fdset__V1__Totals *totals) {
    const struct share *shares = page.bound->shares;

    totals->leases = shares[RESOURCE_LEASES].used;
    totals->waiting = shares[RESOURCE_WAITING].used;
    totals->holds = shares[RESOURCE_HOLDS].used;
    totals->connections = shares[RESOURCE_CONNECTIONS].used;
}

static void fill_totals(const struct service *service, Fdset__V1__Totals *totals) {
    const struct model *model = &service->model;

    totals->uptime_ms = page.now_ms - service->started_ms;
    if (page.bound) {
        fill_bound(totals);
        return;
    }

    totals->sets = model->set_slab.used;
    totals->members = model->member_count;
    totals->leases = model->lease_slab.used;
    totals->connections = service->sessions.slab.used;
    totals->settling = service->settle.count + service->model.unswept_count;
    totals->waiting = service->waits.slab.used;
    totals->opens = model->totals.opens;
    totals->denied = model->totals.denied;
    totals->closes = model->totals.closes;
    totals->hangups = model->totals.hangups;
    totals->holds = model->hold_slab.used;
    totals->subscribers = service->subscriptions.slab.used;
    totals->added = model->totals.added;
    totals->removed = model->totals.removed;
    totals->waited = service->waits.waited;
    totals->expired = service->waits.expired;
    totals->events_lost = service->subscriptions.lost;
    totals->accepted = service->sessions.accepted;
    totals->malformed = service->inbox.malformed;
}

static bool is_seen(const struct fdset *set, const struct endpoint *bound) {
    return set && set_is_seen(set, bound);
}

static int check_query(const struct model *model, const Fdset__V1__Query *query,
                       const struct endpoint *bound, struct refusal *refusal) {
    bool by_id = query->which_case == FDSET__V1__QUERY__WHICH_SET;

    if ((by_id && query->set < 0) || (query->after && query->after->set < 0))
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL, "a set's number is 0 to %d", INT_MAX);
    if (query->after)
        return 0; /* between its pages a set may go; that is its end, not an error */
    if (by_id && !is_seen(model_find_set(model, (uint32_t)query->set), bound))
        return refuse(refusal, REFUSAL_NO_SET, ENOENT, "there is no set %d", query->set);
    if (*query->name && !is_seen(model_find_name(model, query->name), bound))
        return refuse(refusal, REFUSAL_NO_SET, ENOENT, "there is no set called %s", query->name);
    return 0;
}

/* Fills the page. Returns whether all there is has found room. */
static bool fill_page(struct service *service, const Fdset__V1__Query *query) {
    bool waiting_done = query->after && query->after->endpoint;
    bool sets_done = waiting_done || (query->after && query->after->waiting);

    page.set_count = page.member_count = page.lease_count = 0;
    page.waiting_count = page.stage_count = page.endpoint_count = 0;
    page.room = FDSET_MAX_PACKET_BYTES - FRAME_BYTES;
    page.looks = PAGE_LOOKS;
    page.now_ms = service->model.now_ms;
    page.last = query->after ? *query->after : (Fdset__V1__Cursor)FDSET__V1__CURSOR__INIT;
    if (query->sandbox && !query->after)
        list_sandbox(service);
    return (sets_done || list_sets(&service->model, query)) &&
           (waiting_done || list_waiting(service, query)) &&
           (!query->endpoints || list_endpoints(&service->model.endpoints, query));
}

int serve_query(struct service *service, struct session *session, const Fdset__V1__Request *request,
                struct refusal *refusal) {
    Fdset__V1__QueryReply answer = FDSET__V1__QUERY_REPLY__INIT;
    Fdset__V1__Totals totals = FDSET__V1__TOTALS__INIT;

    if (service->model.unswept_count > 0) /* who looks is not to find what is put off */
        work_sweep_due(&service->model);
    int result = check_query(&service->model, request->query, session->holder.endpoint, refusal);
    if (result < 0)
        return result;
    page.bound = session->holder.endpoint;
    if (!fill_page(service, request->query))
        answer.next = &page.last;
    answer.sets = page.set_pointers;
    answer.n_sets = page.set_count;
    answer.waiting = page.waiting_pointers;
    answer.n_waiting = page.waiting_count;
    answer.sandbox = page.stage_pointers;
    answer.n_sandbox = page.stage_count;
    answer.endpoints = page.endpoint_pointers;
    answer.n_endpoints = page.endpoint_count;
    fill_totals(service, &totals);
    answer.totals = &totals;
    reply_send(session, request->serial, FDSET__V1__REPLY__BODY_QUERY, &answer, NULL, 0);
    return 0;
}

int serve_subscribe(struct service *service, struct session *session,
                    const Fdset__V1__Request *request, struct refusal *refusal) {
    const Fdset__V1__Subscribe *wanted = request->subscribe;
    uint32_t kinds = wanted->all ? UINT32_MAX : 0;

    for (size_t i = 0; i < wanted->n_kinds; i++) {
        int kind = (int)wanted->kinds[i];
        if (kind < EVENT_ADDED || kind >= EVENT_KINDS)
            return refuse(refusal, REFUSAL_ARGUMENT, EINVAL, "there is no kind of event %d", kind);
        kinds |= 1u << kind;
    }
    subscribe(service, session, kinds);
    reply_done(session, request->serial);
    return 0;
}
