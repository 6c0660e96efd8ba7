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

static char *pid(pid_t number) {
    return number > 0 ? xasprintf("%d", (int)number) : NULL;
}

static char *list(struct words words) {
    return text(words.text[0] ? words.text : NULL);
}

static char *row_vm(const struct row *row) {
    return text(row->vm);
}

/* ---------------------------------------------------------------- of a set */

static char *set_number(const struct row *row) {
    return xasprintf("%d", row->set->set);
}

static char *set_lifetime(const struct row *row) {
    return xasprintf("%s%s", lifetime_word(row->set->lifetime),
                     row->set->orphaned ? ",orphaned" : "");
}

static char *set_name(const struct row *row) {
    return text(row->set->name);
}

static char *set_owner(const struct row *row) {
    return text(row->set->owner);
}

static char *set_expires(const struct row *row) {
    return row->set->expires_ms >= 0 ? duration(row->set->expires_ms) : NULL;
}

static char *set_holds(const struct row *row) {
    return xasprintf("%u", row->set->holds);
}

static bool any_name(const struct fdset_info *set) {
    return set->name;
}

static bool any_owner(const struct fdset_info *set) {
    return set->owner;
}

static bool any_expires(const struct fdset_info *set) {
    return set->expires_ms >= 0;
}

static bool any_device_number(const struct fdset_info *set) {
    for (size_t i = 0; i < set->member_count; i++)
        if (set->members[i].device_number)
            return true;
    return false;
}

static bool any_holds(const struct fdset_info *set) {
    return set->holds;
}

/* ------------------------------------- of a member, which a held set may lack */

static char *member_number(const struct row *row) {
    return row->member ? xasprintf("%u", row->member->member) : NULL;
}

static char *member_mode(const struct row *row) {
    return text(row->member ? mode_word(row->member->flags) : NULL);
}

static char *member_flags(const struct row *row) {
    return row->member ? list(member_words(row->member)) : NULL;
}

static char *member_state(const struct row *row) {
    return text(row->member ? state_word(row->member->state) : NULL);
}

static char *member_leases(const struct row *row) {
    return xasprintf("%zu", row->member ? row->member->lease_count : 0);
}

static char *member_age(const struct row *row) {
    return row->member ? duration(row->member->age_ms) : NULL;
}

static char *member_device(const struct row *row) {
    return row->member ? text(device_text(row->member->device).text) : NULL;
}

static char *member_inode(const struct row *row) {
    return row->member ? xasprintf("%llu", (unsigned long long)row->member->inode) : NULL;
}

static char *member_type(const struct row *row) {
    return row->member ? text(type_word(row->member->type)) : NULL;
}

static char *member_device_number(const struct row *row) {
    return row->member && row->member->device_number
               ? text(device_text(row->member->device_number).text)
               : NULL;
}

static char *member_opaque(const struct row *row) {
    return text(row->member ? row->member->opaque : NULL);
}

/* -------------------------------------------------------------- of a lease */

static char *lease_number(const struct row *row) {
    return xasprintf("%u", row->lease->lease);
}

static char *lease_mode(const struct row *row) {
    return text(mode_word(row->lease->flags));
}

static char *lease_flags(const struct row *row) {
    return list(flags_words(row->lease->flags));
}

static char *lease_age(const struct row *row) {
    return duration(row->lease->age_ms);
}

static char *lease_since(const struct row *row) {
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return text(
        time_text((uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - row->lease->age_ms).text);
}

static char *lease_pid(const struct row *row) {
    return pid(row->lease->pid);
}

static char *lease_holder(const struct row *row) {
    return text(row->lease->name);
}

/* ------------------------------------------------------- of a waiting open */

static char *waiting_number(const struct row *row) {
    return xasprintf("%u", row->waiting->waiting);
}

static char *waiting_path(const struct row *row) {
    return text(row->waiting->path);
}

static char *waiting_mode(const struct row *row) {
    return text(mode_word(row->waiting->flags));
}

static char *waiting_flags(const struct row *row) {
    return list(flags_words(row->waiting->flags));
}

static char *waiting_age(const struct row *row) {
    return duration(row->waiting->age_ms);
}

static char *waiting_expires(const struct row *row) {
    return row->waiting->expires_ms ? duration(row->waiting->expires_ms) : NULL;
}

static char *waiting_pid(const struct row *row) {
    return pid(row->waiting->pid);
}

static char *waiting_holder(const struct row *row) {
    return text(row->waiting->name);
}

/* ----------------------------------------------------------------- columns */

static bool never(const struct fdset_info *set) {
    (void)set;
    return false;
}

/* OPAQUE stays last: it may have blanks in it. */
static const struct column member_columns[] = {
    {{"VM"}, row_vm, never, .several = true},
    {{"SET", true}, set_number},
    {{"MEMBER", true}, member_number},
    {{"MODE"}, member_mode},
    {{"FLAGS"}, member_flags},
    {{"STATE"}, member_state},
    {{"LEASES", true}, member_leases},
    {{"AGE", true}, member_age},
    {{"LIFETIME"}, set_lifetime},
    {{"NAME"}, set_name, any_name},
    {{"OWNER"}, set_owner, any_owner},
    {{"EXPIRES", true}, set_expires, any_expires},
    {{"HOLDS", true}, set_holds, any_holds},
    {{"TYPE"}, member_type, never},
    {{"DEVICE-NUMBER"}, member_device_number, any_device_number},
    {{"DEVICE"}, member_device, never},
    {{"INODE", true}, member_inode, never},
    {{"OPAQUE"}, member_opaque},
    {{NULL}},
};

static const struct column lease_columns[] = {
    {{"VM"}, row_vm, never, .several = true},
    {{"LEASE", true}, lease_number},
    {{"SET", true}, set_number},
    {{"SET-NAME"}, set_name, never},
    {{"MEMBER", true}, member_number},
    {{"MODE"}, lease_mode},
    {{"FLAGS"}, lease_flags},
    {{"AGE", true}, lease_age},
    {{"SINCE"}, lease_since, never},
    {{"PID", true}, lease_pid},
    {{"NAME"}, lease_holder},
    {{"OPAQUE"}, member_opaque, never},
    {{NULL}},
};

static const struct column waiting_columns[] = {
    {{"VM"}, row_vm, never, .several = true},
    {{"WAITING", true}, waiting_number},
    {{"PATH"}, waiting_path},
    {{"MODE"}, waiting_mode},
    {{"FLAGS"}, waiting_flags},
    {{"AGE", true}, waiting_age},
    {{"EXPIRES", true}, waiting_expires},
    {{"PID", true}, waiting_pid},
    {{"NAME"}, waiting_holder},
    {{NULL}},
};

const struct column *const view_all_columns[] = {
    [VIEW_MEMBERS] = member_columns,
    [VIEW_LEASES] = lease_columns,
    [VIEW_WAITING] = waiting_columns,
};
