/* SPDX-License-Identifier: MIT */
/* Writes sets, leases and events as JSON. */
#include "fdset-json.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "envelope.h"
#include "name.h"
#include "number.h"

json_t *json_read(struct span json) {
    struct text text = {0};
    json_error_t error;
    size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY;

    json_normalise(json, &text);
    json_t *value = text.failed ? NULL : json_loadb(text.bytes, text.length, flags, &error);
    if (!value && !text.failed && json_error_code(&error) == json_error_numeric_overflow)
        value = json_loadb(text.bytes, text.length, flags | JSON_DECODE_INT_AS_REAL, &error);
    text_free(&text);
    return value;
}

json_t *text_json(const char *text) {
    json_t *value = json_string(text);
    size_t length = strlen(text);

    if (value)
        return value;
    char *ascii = malloc(length + 1);
    if (!ascii)
        return NULL;
    for (size_t i = 0; i <= length; i++)
        ascii[i] = text[i] & 0x80 ? '?' : text[i];
    value = json_string(ascii);
    free(ascii);
    return value;
}

/* ------------------------------------------------------------------ leases */

static const char *mode_word(int flags) {
    static const char *const words[] = {"read-only", "write-only", "read-write", "none"};
    return words[flags & O_ACCMODE];
}

static json_t *lease_json(const struct fdset_info *set, const struct fdset_member_info *member,
                          const struct fdset_lease_info *lease) {
    return json_pack("{s:i, s:I, s:I, s:s, s:b, s:I, s:I, s:i, s:o}", "fdset-id", set->set, "fd",
                     (json_int_t)member->member, "lease", (json_int_t)lease->lease, "mode",
                     mode_word(lease->flags), "direct", (lease->flags & O_DIRECT) != 0, "age-ms",
                     (json_int_t)lease->age_ms, "connection", (json_int_t)lease->connection, "pid",
                     (int)lease->pid, "client", text_json(lease->name));
}

json_t *leases_json(const struct fdset_listing *listing) {
    json_t *leases = json_array();

    for (size_t s = listing->count; s-- > 0;)
        for (size_t m = 0; m < listing->sets[s].member_count; m++) {
            const struct fdset_member_info *member = &listing->sets[s].members[m];
            for (size_t i = 0; i < member->lease_count; i++)
                json_array_append_new(leases,
                                      lease_json(&listing->sets[s], member, &member->leases[i]));
        }
    return leases;
}

/* ------------------------------------------------------------------ events */

const char *event_name(enum fdset_event_kind kind) {
    return kind == FDSET_EVENT_WANTED   ? "FDSET_WANTED"
           : kind == FDSET_EVENT_CLOSED ? "FDSET_CLOSED"
           : kind == FDSET_EVENT_DENIED ? "FDSET_DENIED"
                                        : NULL;
}

/* enum Code of fdset.proto, as far as an open can have it. */
static const char *reason_word(int code) {
    static const char *const words[] = {"path", "no-set", "empty-set", "mode",
                                        "sync", "busy",   "flags"};
    bool known = code >= 10 && code < 10 + (int)(sizeof(words) / sizeof(*words));
    return known ? words[code - 10] : code == 5 ? "limit" : "other";
}

/* "/dev/fdset/3" has a number; -1 where it is a name. */
static int path_set(const char *path) {
    size_t length = strlen(SET_PATH_PREFIX);
    int set;

    return strncmp(path, SET_PATH_PREFIX, length) == 0 && int_parse(path + length, &set) ? set : -1;
}

static void open_json(json_t *data, const struct fdset_event *event) {
    json_object_set_new(data, "path", text_json(event->path));
    json_object_set_new(data, "mode", json_string(mode_word(event->flags)));
    json_object_set_new(data, "direct", json_boolean(event->flags & O_DIRECT));
    json_object_set_new(data, "reason", json_string(reason_word(event->code)));
    if (event->kind == FDSET_EVENT_WANTED)
        json_object_set_new(data, "wait-ms", json_integer(event->wait_ms));
}

json_t *event_json(const struct fdset_event *event, uint64_t lost) {
    json_t *data = json_object();
    int set = event->set >= 0 ? event->set : path_set(event->path);

    if (set >= 0)
        json_object_set_new(data, "fdset-id", json_integer(set));
    if (event->kind == FDSET_EVENT_CLOSED) {
        json_object_set_new(data, "fd", json_integer(event->member));
        json_object_set_new(data, "lease", json_integer(event->lease));
    } else {
        open_json(data, event);
    }
    json_object_set_new(data, "connection", json_integer(event->connection));
    json_object_set_new(data, "pid", json_integer(event->pid));
    json_object_set_new(data, "client", text_json(event->name));
    if (lost > 0)
        json_object_set_new(data, "lost", json_integer((json_int_t)lost));
    return data;
}
