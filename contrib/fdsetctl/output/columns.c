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

static char *lease_since(const struct row *row) {
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return text(
        time_text((uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - row->lease->age_ms).text);
}

/* ------------------------------------------------------- of a waiting open */

static char *waiting_number(const struct row *row) {
    return xasprintf("%u", row->waiting->waiting);
}

static char *waiting_path(const struct row *row) {
    return text(row->waiting->path);
}

static char *waiting_expires(const struct row *row) {
    return row->waiting->expires_ms ? duration(row->waiting->expires_ms) : NULL;
}

/* -------------------------------------------------------------- of either */

static char *opened_mode(const struct row *row) {
    return text(mode_word(row->opened.flags));
}

static char *opened_flags(const struct row *row) {
    return list(flags_words(row->opened.flags));
}

static char *opened_age(const struct row *row) {
    return duration(row->opened.age_ms);
}

static char *opened_pid(const struct row *row) {
    return row->opened.pid > 0 ? xasprintf("%d", (int)row->opened.pid) : NULL;
}

static char *opened_name(const struct row *row) {
    return text(row->opened.name);
}

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
    {{NULL}},
};

const struct column *const view_all_columns[] = {
    [VIEW_MEMBERS] = member_columns,
    [VIEW_LEASES] = lease_columns,
    [VIEW_WAITING] = waiting_columns,
};
