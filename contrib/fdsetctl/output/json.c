/* SPDX-License-Identifier: MIT */
/* Writes a listing as JSON, with all that it has. */
#include "output/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/figures.h"
#include "base/words.h"
#include "common/memory.h"
#include "common/say.h"

json_t *json_text(const char *text) {
    if (!text)
        return json_null();
    json_t *value = json_string(text);
    if (value)
        return value;

    char *ascii = xcalloc(3 * strlen(text) + 1, 1), *end = ascii;
    for (; *text; text++)
        if (*text & 0x80)
            end = stpcpy(end, "\xef\xbf\xbd");
        else
            *end++ = *text;
    *end = '\0';
    value = json_string(ascii);
    free(ascii);
    return value;
}

static void print_as(json_t *value, size_t format) {
    char *text = value ? json_dumps(value, format | JSON_ENSURE_ASCII) : NULL;
    if (!text)
        die("out of memory");
    /* Then DEL is all that is not plain text. */
    for (const char *next = text; *next; next++)
        if (*next == '\x7f')
            fputs("\\u007f", stdout);
        else
            putchar(*next);
    free(text);
    putchar('\n');
    json_decref(value);
}

void json_print(json_t *value) {
    print_as(value, JSON_INDENT(2));
}

void json_print_line(json_t *value) {
    print_as(value, JSON_COMPACT);
}

json_t *flags_json(int flags) {
    json_t *array = json_array();
    const char *word;
    bool is_set;

    for (size_t i = 0; (word = flag_word(i, flags, &is_set)); i++)
        if (is_set)
            json_array_append_new(array, json_string(word));
    return array;
}

json_t *number_json(uint64_t number, bool is_there) {
    return is_there ? json_integer((json_int_t)number) : json_null();
}

static json_t *pid_json(pid_t pid) {
    return number_json(pid, pid > 0);
}

json_t *lease_json(const struct fdset_lease_info *lease) {
    return json_pack("{s:I, s:s, s:o, s:I, s:I, s:o, s:o, s:o}", "lease", (json_int_t)lease->lease,
                     "mode", mode_word(lease->flags), "flags", flags_json(lease->flags), "age_ms",
                     (json_int_t)lease->age_ms, "connection", (json_int_t)lease->connection, "pid",
                     pid_json(lease->pid), "name", json_text(lease->name), "endpoint",
                     json_text(lease->endpoint));
}

static json_t *member_json(const struct fdset_member_info *member) {
    json_t *leases = json_array();

    for (size_t i = 0; i < member->lease_count; i++)
        json_array_append_new(leases, lease_json(&member->leases[i]));
    return json_pack(
        "{s:I, s:s, s:o, s:s, s:o, s:s, s:I, s:o, s:o, s:s, s:b, s:b, s:b, s:I, s:o}", "member",
        (json_int_t)member->member, "mode", mode_word(member->flags), "flags",
        flags_json(member->flags), "state", state_word(member->state), "opaque",
        json_text(member->opaque), "device", device_text(member->device).text, "inode",
        (json_int_t)member->inode, "type", json_text(type_word(member->type)), "device_number",
        json_text(member->device_number ? device_text(member->device_number).text : NULL),
        "sharing", sharing_word(member->sharing), "serves_read_only", member->serves_read_only,
        "keep_content", member->keep_content, "keep_locks", member->keep_locks, "age_ms",
        (json_int_t)member->age_ms, "leases", leases);
}

static json_t *set_json(const struct fdset_info *set, const struct file_id *file) {
    json_t *members = json_array();
    char path[32];

    snprintf(path, sizeof(path), "/dev/fdset/%d", set->set);
    for (size_t i = 0; i < set->member_count; i++)
        if (file_id_fits(file, &set->members[i]))
            json_array_append_new(members, member_json(&set->members[i]));
    return json_pack("{s:i, s:s, s:s, s:b, s:o, s:o, s:I, s:I, s:I, s:o, s:b, s:I, s:o, s:o}",
                     "set", set->set, "path", path, "lifetime", lifetime_word(set->lifetime),
                     "orphaned", set->orphaned, "name", json_text(set->name), "owner",
                     json_text(set->owner), "owner_uid", (json_int_t)set->owner_uid, "grace_ms",
                     (json_int_t)set->grace_ms, "idle_ms", (json_int_t)set->idle_ms, "expires_ms",
                     number_json(set->expires_ms, set->expires_ms >= 0), "mixed", set->mixed,
                     "holds", (json_int_t)set->holds, "reserved_for", json_text(set->reserved_for),
                     "members", members);
}

static json_t *waiting_json(const struct fdset_listing *listing) {
    json_t *array = json_array();

    for (size_t i = 0; i < listing->waiting_count; i++) {
        const struct fdset_waiting_info *waiting = &listing->waiting[i];
        json_array_append_new(
            array, json_pack("{s:I, s:o, s:s, s:o, s:I, s:o, s:I, s:o, s:o, s:o}", "waiting",
                             (json_int_t)waiting->waiting, "path", json_text(waiting->path), "mode",
                             mode_word(waiting->flags), "flags", flags_json(waiting->flags),
                             "age_ms", (json_int_t)waiting->age_ms, "expires_ms",
                             number_json(waiting->expires_ms, waiting->expires_ms), "connection",
                             (json_int_t)waiting->connection, "pid", pid_json(waiting->pid), "name",
                             json_text(waiting->name), "endpoint", json_text(waiting->endpoint)));
    }
    return array;
}

json_t *totals_json(const struct fdset_totals *totals) {
    json_t *object = json_object();

    for (const struct figure *total = total_figures; total->name; total++)
        json_object_set_new(object, total->name, json_integer(figure_value(total, totals)));
    return object;
}

json_t *endpoints_json(const struct fdset_listing *listing) {
    json_t *array = json_array();

    for (size_t i = 0; i < listing->endpoint_count; i++) {
        const struct fdset_endpoint_info *endpoint = &listing->endpoints[i];
        json_t *object = json_pack("{s:o}", "name", json_text(endpoint->name));
        for (const struct figure *figure = endpoint_figures; figure->name; figure++)
            json_object_set_new(object, figure->name, json_integer(figure_value(figure, endpoint)));
        json_array_append_new(array, object);
    }
    return array;
}

json_t *sandbox_json(const struct fdset_listing *listing) {
    json_t *stages = json_array();

    for (size_t i = 0; i < listing->sandbox_count; i++) {
        const struct fdset_sandbox_info *stage = &listing->sandbox[i];
        bool told = stage->detail && *stage->detail;
        json_array_append_new(stages, json_pack("{s:o, s:b, s:o}", "name", json_text(stage->name),
                                                "whole", stage->whole, "detail",
                                                json_text(told ? stage->detail : NULL)));
    }
    return json_pack("{s:o}", "sandbox", stages);
}

json_t *listing_set_json(const struct fdset_listing *listing) {
    json_t *set = set_json(&listing->sets[0], NULL);

    json_object_set_new(set, "waiting", waiting_json(listing));
    return set;
}

static bool set_has(const struct fdset_info *set, const struct file_id *file) {
    for (size_t i = 0; i < set->member_count; i++)
        if (file_id_fits(file, &set->members[i]))
            return true;
    return !file;
}

static json_t *listing_json(const struct fdset_listing *listing, const struct file_id *file) {
    json_t *sets = json_array();

    for (size_t i = 0; i < listing->count; i++)
        if (set_has(&listing->sets[i], file))
            json_array_append_new(sets, set_json(&listing->sets[i], file));
    return json_pack("{s:o, s:o, s:o}", "sets", sets, "waiting", waiting_json(listing), "totals",
                     totals_json(&listing->totals));
}

json_t *sources_json(const struct sources *sources, const struct file_id *file) {
    if (!sources->several)
        return listing_json(sources->all[0].listing, file);
    json_t *helpers = json_array();
    for (size_t i = 0; i < sources->count; i++) {
        const struct helper_source *source = &sources->all[i];
        json_t *helper = listing_json(source->listing, file);
        json_object_set_new(helper, "vm", json_text(source->vm));
        json_object_set_new(helper, "socket", json_text(source->socket));
        json_array_append_new(helpers, helper);
    }
    return json_pack("{s:o}", "helpers", helpers);
}

static void holders_add(json_t *holders, const struct helper_source *source,
                        const struct fdset_info *set, const struct fdset_member_info *member) {
    for (size_t i = 0; i < member->lease_count; i++) {
        json_t *holder = lease_json(&member->leases[i]);
        json_object_set_new(holder, "vm", json_text(source->vm));
        json_object_set_new(holder, "socket", json_text(source->socket));
        json_object_set_new(holder, "set", json_integer(set->set));
        json_object_set_new(holder, "set_name", json_text(set->name));
        json_object_set_new(holder, "member", json_integer(member->member));
        json_array_append_new(holders, holder);
    }
}

json_t *holders_json(const struct sources *sources, const struct file_id *file) {
    json_t *holders = json_array();
    struct member_cursor cursor = {0};
    const struct fdset_member_info *member;

    while ((member = sources_next(sources, file, &cursor))) {
        const struct helper_source *source = &sources->all[cursor.source];
        holders_add(holders, source, &source->listing->sets[cursor.set], member);
    }
    return json_pack("{s:o}", "holders", holders);
}
