/* SPDX-License-Identifier: MIT */
/* What stands in each column of a table of members, of leases or of opens that wait. */
#include "output/columns.h"

#include <time.h>

#include "base/words.h"
#include "common/memory.h"

/* What is absent is NULL. */
static char *text(const char *value) {
    return value ? xstrdup(value) : NULL;
}

static char *duration(uint64_t milliseconds) {
    return xstrdup(duration_text(milliseconds).text);
}

static char *list(struct words words) {
    return text(words.text[0] ? words.text : NULL);
}

static char *since(uint64_t age_ms) {
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return text(time_text((uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - age_ms).text);
}

/* A function that fills the column; and one for what a set without members lacks. */
#define CELL(name, value)                      \
    static char *name(const struct row *row) { \
        return value;                          \
    }
#define MEMBER_CELL(name, value) CELL(name, row->member ? (value) : NULL)

CELL(row_vm, text(row->vm))

/* Of a set. */
CELL(set_number, xasprintf("%d", row->set->set))
CELL(set_lifetime,
     xasprintf("%s%s", lifetime_word(row->set->lifetime), row->set->orphaned ? ",orphaned" : ""))
CELL(set_name, text(row->set->name))
CELL(set_owner, text(row->set->owner))
CELL(set_expires, row->set->expires_ms >= 0 ? duration(row->set->expires_ms) : NULL)
CELL(set_for, text(row->set->reserved_for))
CELL(set_holds, xasprintf("%u", row->set->holds))

/* Of a member. */
MEMBER_CELL(member_number, xasprintf("%u", row->member->member))
MEMBER_CELL(member_mode, text(mode_word(row->member->flags)))
MEMBER_CELL(member_flags, list(member_words(row->member)))
MEMBER_CELL(member_state, text(state_word(row->member->state)))
CELL(member_leases, xasprintf("%zu", row->member ? row->member->lease_count : 0))
MEMBER_CELL(member_age, duration(row->member->age_ms))
MEMBER_CELL(member_device, text(device_text(row->member->device).text))
MEMBER_CELL(member_inode, xasprintf("%llu", (unsigned long long)row->member->inode))
MEMBER_CELL(member_type, text(type_word(row->member->type)))
MEMBER_CELL(member_device_number,
            row->member->device_number ? text(device_text(row->member->device_number).text) : NULL)
MEMBER_CELL(member_opaque, text(row->member->opaque))

/* Of a lease or a waiting open, and of either. */
CELL(lease_number, xasprintf("%llu", (unsigned long long)row->lease->lease))
CELL(lease_since, since(row->lease->age_ms))
CELL(waiting_number, xasprintf("%llu", (unsigned long long)row->waiting->waiting))
CELL(waiting_path, text(row->waiting->path))
CELL(waiting_expires, row->waiting->expires_ms ? duration(row->waiting->expires_ms) : NULL)
CELL(opened_mode, text(mode_word(row->opened.flags)))
CELL(opened_flags, list(flags_words(row->opened.flags)))
CELL(opened_age, duration(row->opened.age_ms))
CELL(opened_pid, row->opened.pid > 0 ? xasprintf("%d", (int)row->opened.pid) : NULL)
CELL(opened_name, text(row->opened.name))
CELL(opened_endpoint, text(row->opened.endpoint))

/* ----------------------------------------------------------------- columns */

/* OPAQUE stays last: it may have blanks in it. */
static const struct column member_columns[] = {
    {{"VM"}, row_vm, IF_SEVERAL},
    {{"SET", true}, set_number},
    {{"MEMBER", true}, member_number},
    {{"MODE"}, member_mode},
    {{"FLAGS"}, member_flags},
    {{"STATE"}, member_state},
    {{"LEASES", true}, member_leases},
    {{"AGE", true}, member_age},
    {{"LIFETIME"}, set_lifetime},
    {{"NAME"}, set_name, IF_ANY},
    {{"OWNER"}, set_owner, IF_ANY},
    {{"EXPIRES", true}, set_expires, IF_ANY},
    {{"HOLDS", true}, set_holds, IF_ANY},
    {{"FOR"}, set_for, IF_ANY},
    {{"TYPE"}, member_type, IF_NAMED},
    {{"DEVICE-NUMBER"}, member_device_number, IF_ANY},
    {{"DEVICE"}, member_device, IF_NAMED},
    {{"INODE", true}, member_inode, IF_NAMED},
    {{"OPAQUE"}, member_opaque},
    {{NULL}},
};

static const struct column lease_columns[] = {
    {{"VM"}, row_vm, IF_SEVERAL},
    {{"LEASE", true}, lease_number},
    {{"SET", true}, set_number},
    {{"SET-NAME"}, set_name, IF_NAMED},
    {{"MEMBER", true}, member_number},
    {{"MODE"}, opened_mode},
    {{"FLAGS"}, opened_flags},
    {{"AGE", true}, opened_age},
    {{"SINCE"}, lease_since, IF_NAMED},
    {{"PID", true}, opened_pid},
    {{"NAME"}, opened_name},
    {{"ENDPOINT"}, opened_endpoint, IF_DIFFERENT},
    {{"OPAQUE"}, member_opaque, IF_NAMED},
    {{NULL}},
};

static const struct column waiting_columns[] = {
    {{"VM"}, row_vm, IF_SEVERAL},
    {{"WAITING", true}, waiting_number},
    {{"PATH"}, waiting_path},
    {{"MODE"}, opened_mode},
    {{"FLAGS"}, opened_flags},
    {{"AGE", true}, opened_age},
    {{"EXPIRES", true}, waiting_expires},
    {{"PID", true}, opened_pid},
    {{"NAME"}, opened_name},
    {{"ENDPOINT"}, opened_endpoint, IF_DIFFERENT},
    {{NULL}},
};

const struct column *const view_all_columns[] = {
    [VIEW_MEMBERS] = member_columns,
    [VIEW_LEASES] = lease_columns,
    [VIEW_WAITING] = waiting_columns,
};
