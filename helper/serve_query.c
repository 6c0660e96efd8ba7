/* What managers and observers ask: Query. */
#include "service.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* Upper bounds of what each part takes when packed: tags, lengths and the
 * longest varints of all its fields. */
#define FRAME_BYTES  256 /* the reply, the totals, the cursor */
#define SET_BYTES    24
#define MEMBER_BYTES (88 + OPAQUE_MAX_BYTES)
#define LEASE_BYTES  (56 + NAME_MAX_BYTES)

/* As many as could fit. */
#define PAGE_SETS    512
#define PAGE_MEMBERS 512
#define PAGE_LEASES  256

/* The page being made: one at a time. */
static struct {
    Fdset__V1__SetInfo sets[PAGE_SETS], *set_pointers[PAGE_SETS];
    Fdset__V1__MemberInfo members[PAGE_MEMBERS], *member_pointers[PAGE_MEMBERS];
    Fdset__V1__LeaseInfo leases[PAGE_LEASES], *lease_pointers[PAGE_LEASES];
    uint32_t set_count, member_count, lease_count;
    size_t room; /* bytes */
    uint64_t now_ms;
    Fdset__V1__Cursor last; /* what was put in last */
} page;

static bool page_takes(size_t bytes, uint32_t count, uint32_t most) {
    if (bytes > page.room || count >= most)
        return false;
    page.room -= bytes;
    return true;
}

static bool put_lease(const struct lease *lease) {
    if (!page_takes(LEASE_BYTES, page.lease_count, PAGE_LEASES))
        return false;
    Fdset__V1__LeaseInfo *info = &page.leases[page.lease_count];
    fdset__v1__lease_info__init(info);
    info->lease = lease->id;
    info->flags = (uint32_t)lease->flags;
    info->age_ms = page.now_ms - lease->opened_ms;
    info->connection = lease->holder->connection;
    info->pid = lease->holder->pid;
    info->name = lease->holder->name;
    page.lease_pointers[page.lease_count++] = info;
    page.members[page.member_count - 1].n_leases++;
    page.last.lease = lease->id;
    return true;
}

static bool put_member(const struct member *member) {
    size_t bytes = MEMBER_BYTES - OPAQUE_MAX_BYTES + (member->opaque ? strlen(member->opaque) : 0);

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
    info->device = member->device;
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
    if (!page_takes(SET_BYTES, page.set_count, PAGE_SETS))
        return false;
    Fdset__V1__SetInfo *info = &page.sets[page.set_count];
    fdset__v1__set_info__init(info);
    info->set = (int32_t)set->id;
    info->lifetime = (Fdset__V1__Lifetime)set->lifetime;
    info->orphaned = set->orphaned;
    info->members = page.member_pointers + page.member_count;
    page.set_pointers[page.set_count++] = info;
    page.last = (Fdset__V1__Cursor)FDSET__V1__CURSOR__INIT;
    page.last.set = (int32_t)set->id;
    return true;
}

/* Puts in the member and its leases after `after_lease`; false if not all fit. */
static bool list_member(const struct member *member, uint32_t after_lease) {
    if (!put_member(member))
        return false;
    list_for_each (link, &member->leases) {
        const struct lease *lease = list_object(link, struct lease, in_member);
        if (lease->id > after_lease && !put_lease(lease))
            return false;
    }
    return true;
}

static bool has_lease_after(const struct member *member, uint32_t lease) {
    return !list_empty(&member->leases) &&
           list_object(member->leases.previous, struct lease, in_member)->id > lease;
}

/* Members stand in the order of their ids, so a cursor's place is found even
 * when its member has gone. */
static bool list_set(const struct fdset *set, const Fdset__V1__Cursor *after) {
    bool here = after && after->set == (int32_t)set->id;

    if (!put_set(set))
        return false;
    list_for_each (link, &set->members) {
        const struct member *member = list_object(link, struct member, in_set);
        uint32_t after_lease = 0;
        if (here && member->id < after->member)
            continue;
        if (here && member->id == after->member) {
            if (!has_lease_after(member, after->lease))
                continue;
            after_lease = after->lease;
        }
        if (!list_member(member, after_lease))
            return false;
    }
    return true;
}

/* The first set of the page. */
static const struct fdset *first_set(const struct model *model, const Fdset__V1__Cursor *after) {
    if (!after)
        return list_empty(&model->sets) ? NULL : list_object(model->sets.next, struct fdset, by_id);
    const struct fdset *set = model_find_set(model, (uint32_t)after->set);
    return set ? set : model_next_set(model, (uint32_t)after->set);
}

static bool list_sets(const struct model *model, const Fdset__V1__Query *query) {
    const struct fdset *set;

    if (query->which_case == FDSET__V1__QUERY__WHICH_SET) {
        set = model_find_set(model, (uint32_t)query->set);
        return !set || list_set(set, query->after);
    }
    for (set = first_set(model, query->after); set; set = model_next_set(model, set->id))
        if (!list_set(set, query->after))
            return false;
    return true;
}

static void fill_totals(const struct service *service, Fdset__V1__Totals *totals) {
    const struct model *model = &service->model;

    totals->sets = model->set_slab.used;
    totals->members = model->member_count;
    totals->leases = model->lease_slab.used;
    totals->connections = service->session_slab.used;
    totals->settling = service->settle.count;
    totals->waiting = service->waiting_slab.used;
    totals->opens = model->totals.opens;
    totals->denied = model->totals.denied;
    totals->closes = model->totals.closes;
    totals->hangups = model->totals.hangups;
    totals->uptime_ms = service_now() - service->started_ms;
}

int serve_query(struct service *service, struct session *session, const Fdset__V1__Request *request,
                struct refusal *refusal) {
    const Fdset__V1__Query *query = request->query;
    Fdset__V1__Reply reply = FDSET__V1__REPLY__INIT;
    Fdset__V1__QueryReply answer = FDSET__V1__QUERY_REPLY__INIT;
    Fdset__V1__Totals totals = FDSET__V1__TOTALS__INIT;
    bool one = query->which_case == FDSET__V1__QUERY__WHICH_SET;

    if ((one && query->set < 0) || (query->after && query->after->set < 0))
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL, "a set's number is 0 to %d", INT_MAX);
    /* In the middle of its pages a set may go; that is its end, not an error. */
    if (one && !query->after && !model_find_set(&service->model, (uint32_t)query->set))
        return refuse(refusal, REFUSAL_NO_SET, ENOENT, "there is no set %d", query->set);

    page.set_count = page.member_count = page.lease_count = 0;
    page.room = PACKET_MAX_BYTES - FRAME_BYTES;
    page.now_ms = service_now();
    page.last = query->after ? *query->after : (Fdset__V1__Cursor)FDSET__V1__CURSOR__INIT;
    if (!list_sets(&service->model, query))
        answer.next = &page.last;
    answer.sets = page.set_pointers;
    answer.n_sets = page.set_count;
    fill_totals(service, &totals);
    answer.totals = &totals;
    reply.serial = request->serial;
    reply.body_case = FDSET__V1__REPLY__BODY_QUERY;
    reply.query = &answer;
    service_reply(service, session, &reply, NULL, 0);
    return 0;
}
