/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/verb.h"
#include "base/words.h"
#include "output/columns.h"
#include "output/view.h"

/* What is absent is left NULL. */
static void cell_print(struct cell *cell, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void cell_print(struct cell *cell, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&cell->text, format, arguments) < 0)
        refused("fdsetctl", "out of memory");
    va_end(arguments);
}

static void cell_text(struct cell *cell, const char *text) {
    if (text)
        cell_print(cell, "%s", text);
}

static void cell_duration(struct cell *cell, uint64_t milliseconds) {
    cell_print(cell, "%s", duration_text(milliseconds).text);
}

static void cell_pid(struct cell *cell, pid_t pid) {
    if (pid > 0)
        cell_print(cell, "%d", (int)pid);
}

static void cell_flags(struct cell *cell, int flags) {
    struct words words = flags_words(flags);
    cell_text(cell, words.text[0] ? words.text : NULL);
}

static void cell_device(struct cell *cell, dev_t device) {
    cell_print(cell, "%s", device_text(device).text);
}

static void row_vm(struct cell *cell, const struct row *row) {
    cell_text(cell, row->vm);
}

/* ---------------------------------------------------------------- of a set */

static void set_number(struct cell *cell, const struct row *row) {
    cell_print(cell, "%d", row->set->set);
}

static void set_lifetime(struct cell *cell, const struct row *row) {
    cell_print(cell, "%s%s", lifetime_word(row->set->lifetime),
               row->set->orphaned ? ",orphaned" : "");
}

static void set_name(struct cell *cell, const struct row *row) {
    cell_text(cell, row->set->name);
}

static void set_owner(struct cell *cell, const struct row *row) {
    cell_text(cell, row->set->owner);
}

static void set_expires(struct cell *cell, const struct row *row) {
    if (row->set->expires_ms >= 0)
        cell_duration(cell, row->set->expires_ms);
}

static void set_holds(struct cell *cell, const struct row *row) {
    cell_print(cell, "%u", row->set->holds);
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

static void member_number(struct cell *cell, const struct row *row) {
    if (row->member)
        cell_print(cell, "%u", row->member->member);
}

static void member_mode(struct cell *cell, const struct row *row) {
    cell_text(cell, row->member ? mode_word(row->member->flags) : NULL);
}

static void member_flags(struct cell *cell, const struct row *row) {
    struct words words = row->member ? member_words(row->member) : (struct words){""};
    cell_text(cell, words.text[0] ? words.text : NULL);
}

static void member_state(struct cell *cell, const struct row *row) {
    cell_text(cell, row->member ? state_word(row->member->state) : NULL);
}

static void member_leases(struct cell *cell, const struct row *row) {
    cell_print(cell, "%zu", row->member ? row->member->lease_count : 0);
}

static void member_age(struct cell *cell, const struct row *row) {
    if (row->member)
        cell_duration(cell, row->member->age_ms);
}

static void member_device(struct cell *cell, const struct row *row) {
    if (row->member)
        cell_device(cell, row->member->device);
}

static void member_inode(struct cell *cell, const struct row *row) {
    if (row->member)
        cell_print(cell, "%llu", (unsigned long long)row->member->inode);
}

static void member_type(struct cell *cell, const struct row *row) {
    if (row->member)
        cell_text(cell, type_word(row->member->type));
}

static void member_device_number(struct cell *cell, const struct row *row) {
    if (row->member && row->member->device_number)
        cell_device(cell, row->member->device_number);
}

static void member_opaque(struct cell *cell, const struct row *row) {
    cell_text(cell, row->member ? row->member->opaque : NULL);
}

/* -------------------------------------------------------------- of a lease */

static void lease_number(struct cell *cell, const struct row *row) {
    cell_print(cell, "%u", row->lease->lease);
}

static void lease_mode(struct cell *cell, const struct row *row) {
    cell_text(cell, mode_word(row->lease->flags));
}

static void lease_flags(struct cell *cell, const struct row *row) {
    cell_flags(cell, row->lease->flags);
}

static void lease_age(struct cell *cell, const struct row *row) {
    cell_duration(cell, row->lease->age_ms);
}

static void lease_since(struct cell *cell, const struct row *row) {
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    cell_text(
        cell,
        time_text((uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - row->lease->age_ms).text);
}

static void lease_pid(struct cell *cell, const struct row *row) {
    cell_pid(cell, row->lease->pid);
}

static void lease_holder(struct cell *cell, const struct row *row) {
    cell_text(cell, row->lease->name);
}

/* ------------------------------------------------------- of a waiting open */

static void waiting_number(struct cell *cell, const struct row *row) {
    cell_print(cell, "%u", row->waiting->waiting);
}

static void waiting_path(struct cell *cell, const struct row *row) {
    cell_text(cell, row->waiting->path);
}

static void waiting_mode(struct cell *cell, const struct row *row) {
    cell_text(cell, mode_word(row->waiting->flags));
}

static void waiting_flags(struct cell *cell, const struct row *row) {
    cell_flags(cell, row->waiting->flags);
}

static void waiting_age(struct cell *cell, const struct row *row) {
    cell_duration(cell, row->waiting->age_ms);
}

static void waiting_expires(struct cell *cell, const struct row *row) {
    if (row->waiting->expires_ms)
        cell_duration(cell, row->waiting->expires_ms);
}

static void waiting_pid(struct cell *cell, const struct row *row) {
    cell_pid(cell, row->waiting->pid);
}

static void waiting_holder(struct cell *cell, const struct row *row) {
    cell_text(cell, row->waiting->name);
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
