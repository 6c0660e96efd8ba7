/* SPDX-License-Identifier: MIT */
/* Reads the arguments of such a command, asks the helper, and makes the answer. */
#include "fdset-commands.h"

#include <errno.h>
#include <fdset/limits.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aside.h"
#include "envelope.h"
#include "fdset-json.h"

struct fdset_command {
    const char *name;
    bool (*read)(struct errand *errand, json_t *arguments);
    bool (*ask)(struct errand *errand);
    bool takes_descriptor;
};

struct errand *errand_new(const struct fdset_command *command, size_t size) {
    struct errand *errand = calloc(1, sizeof(*errand) + size);

    if (!errand)
        return NULL;
    errand->command = command;
    errand->size = size;
    errand->fd = -1;
    return errand;
}

bool errand_fail(struct errand *errand, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(errand->error, errand->size, format, arguments);
    va_end(arguments);
    return false;
}

void errand_free(struct errand *errand) {
    if (!errand)
        return;
    if (errand->fd >= 0)
        aside_close(&errand->fd, 1);
    json_decref(errand->result);
    free(errand->opaque);
    free(errand->id);
    free(errand);
}

/* ------------------------------------------------------------------ asking */

static bool fail(struct errand *errand) {
    return errand_fail(errand, "%s", fdset_error_text());
}

/* `error` is what came of sending it. */
static bool is_under_way(struct errand *errand, int error) {
    return error ? fail(errand) : true;
}

static void finish(struct errand *errand) {
    /* Before the answer: what was passed is the helper's alone then. */
    if (errand->fd >= 0)
        aside_close(&errand->fd, 1);
    errand->fd = -1;
    errand->done(errand);
}

/* QEMU checks this when it has taken the descriptor, which is gone then. */
static bool check_set(struct errand *errand) {
    if (!errand->has_set || (errand->set >= 0 && errand->set <= INT_MAX))
        return true;
    return errand_fail(errand, errand->set < 0
                                   ? "Parameter 'fdset-id' expects a non-negative value"
                                   : "Parameter 'fdset-id' expects a value of at most 2147483647");
}

static void added(struct fdset_manager *manager, int result, void *context) {
    struct errand *errand = context;

    if (result < 0)
        fail(errand);
    else
        errand->result = json_pack("{s:I, s:i}", "fd", (json_int_t)errand->added.id, "fdset-id",
                                   errand->add.set);
    if (result == -EINVAL && errand->has_set && errand->add.lifetime == FDSET_KEEP) {
        /* It may be somebody else's set, who has chosen another lifetime. */
        errand->add.lifetime = FDSET_LIFETIME_DEFAULT;
        if (is_under_way(errand, fdset_add_submit(manager, &errand->add, 1, added, errand)))
            return;
    }
    finish(errand);
}

/* In QEMU anything may be in any set, and what is there stays until it is removed. */
static bool ask_add(struct errand *errand) {
    if (!check_set(errand))
        return false;
    errand->added = (struct fdset_member){.fd = errand->fd, .opaque = errand->opaque};
    errand->add = (struct fdset_add){
        .set = errand->has_set ? (int)errand->set : FDSET_NEW_SET,
        .lifetime = FDSET_KEEP,
        .mixed = true,
        .members = &errand->added,
        .member_count = 1,
    };
    return is_under_way(errand, fdset_add_submit(errand->manager, &errand->add, 1, added, errand));
}

static bool fail_not_found(struct errand *errand) {
    if (errand->has_member)
        return errand_fail(errand,
                           "File descriptor named 'fdset-id:%" PRId64 ", fd:%" PRId64 "' not found",
                           errand->set, errand->member);
    return errand_fail(errand, "File descriptor named 'fdset-id:%" PRId64 "' not found",
                       errand->set);
}

/* `removed` is how many, or -errno. */
static void finish_removal(struct errand *errand, int removed) {
    if (removed > 0)
        errand->result = json_object();
    else if (removed == 0 || removed == -ENOENT)
        fail_not_found(errand);
    else
        fail(errand);
    finish(errand);
}

static void looked_at(struct fdset_manager *manager, int result, void *context) {
    struct errand *errand = context;

    if (result == 0) {
        result = errand->listing->count > 0 && set_is_visible(&errand->listing->sets[0]);
        fdset_listing_free(errand->listing);
    }
    finish_removal(errand, result);
}

static void removed(struct fdset_manager *manager, int result, void *context) {
    struct errand *errand = context;

    if (result != 0 || errand->has_member) {
        finish_removal(errand, result);
        return;
    }
    /* Nothing was left to remove: an empty set that is in use is still one. */
    errand->filter = (struct fdset_filter){.by_set = true, .set = (int)errand->set};
    result = fdset_query_submit(manager, &errand->filter, &errand->listing, looked_at, errand);
    if (!is_under_way(errand, result))
        finish(errand);
}

static bool ask_remove(struct errand *errand) {
    bool in_range = errand->set >= 0 && errand->set <= INT_MAX;
    uint32_t member = errand->has_member ? (uint32_t)errand->member : 0;

    if (errand->has_member) /* and 0 would mean all */
        in_range = in_range && errand->member > 0 && errand->member <= UINT32_MAX;
    if (!in_range)
        return fail_not_found(errand);
    return is_under_way(errand, fdset_remove_submit(errand->manager, (int)errand->set, member,
                                                    FDSET_REMOVE_WAIT_MS, NULL, removed, errand));
}

static void queried(struct fdset_manager *manager, int result, void *context) {
    struct errand *errand = context;

    if (result < 0) {
        fail(errand);
    } else {
        errand->result = errand->shape(errand->listing);
        fdset_listing_free(errand->listing);
        if (!errand->result)
            errand_fail(errand, "out of memory");
    }
    finish(errand);
}

static bool ask_as(struct errand *errand, json_t *(*shape)(const struct fdset_listing *)) {
    errand->shape = shape;
    return is_under_way(errand, fdset_query_submit(errand->manager, &errand->filter,
                                                   &errand->listing, queried, errand));
}

static bool ask_sets(struct errand *errand) {
    return ask_as(errand, sets_json);
}

static bool ask_leases(struct errand *errand) {
    return ask_as(errand, leases_json);
}

static void subscribed(struct fdset_manager *manager, int result, void *context) {
    struct errand *errand = context;

    if (result < 0)
        fail(errand);
    else
        errand->result = json_object();
    finish(errand);
}

static bool ask_events(struct errand *errand) {
    uint32_t kinds = FDSET_EVENT_BIT(FDSET_EVENT_WANTED) | FDSET_EVENT_BIT(FDSET_EVENT_CLOSED) |
                     FDSET_EVENT_BIT(FDSET_EVENT_DENIED);

    if (!errand->enable) {
        errand->result = json_object();
        return false;
    }
    return is_under_way(errand, fdset_subscribe_submit(errand->manager, kinds, subscribed, errand));
}

/* --------------------------------------------------------------- arguments */

static bool wrong_type(struct errand *errand, const char *name, const char *type) {
    return errand_fail(errand, "Invalid parameter type for '%s', expected: %s", name, type);
}

static bool is_missing(struct errand *errand, const char *name) {
    return errand_fail(errand, "Parameter '%s' is missing", name);
}

static bool read_integer(struct errand *errand, json_t *arguments, const char *name, int64_t *to,
                         bool *has) {
    json_t *value = json_object_get(arguments, name);

    *has = value;
    if (!value)
        return true;
    if (!json_is_integer(value))
        return wrong_type(errand, name, "integer");
    *to = json_integer_value(value);
    return true;
}

/* QEMU keeps a label of any length, the helper has taken its memory beforehand. */
static bool read_label(struct errand *errand, json_t *arguments) {
    json_t *value = json_object_get(arguments, "opaque");
    const char *label = json_string_value(value);

    if (!value)
        return true;
    if (!label)
        return wrong_type(errand, "opaque", "string");
    if (strlen(label) != json_string_length(value))
        return errand_fail(errand, "Parameter 'opaque' must not contain NUL");
    if (strlen(label) > FDSET_MAX_OPAQUE_BYTES)
        return errand_fail(errand, "Parameter 'opaque' has %zu bytes, and may have %d",
                           strlen(label), FDSET_MAX_OPAQUE_BYTES);
    errand->opaque = strdup(label);
    return errand->opaque || errand_fail(errand, "out of memory");
}

/* Names that nobody asked for. */
static bool read_end(struct errand *errand, json_t *arguments, const char *const *known) {
    const char *name;
    json_t *value;

    json_object_foreach(arguments, name, value) {
        const char *const *k = known;
        while (*k && strcmp(*k, name) != 0)
            k++;
        if (!*k)
            return errand_fail(errand, "Parameter '%s' is unexpected", name);
    }
    return true;
}

static bool read_add(struct errand *errand, json_t *arguments) {
    static const char *const known[] = {"fdset-id", "opaque", NULL};

    return read_integer(errand, arguments, "fdset-id", &errand->set, &errand->has_set) &&
           read_label(errand, arguments) && read_end(errand, arguments, known);
}

static bool read_remove(struct errand *errand, json_t *arguments) {
    static const char *const known[] = {"fdset-id", "fd", NULL};

    if (!read_integer(errand, arguments, "fdset-id", &errand->set, &errand->has_set))
        return false;
    if (!errand->has_set)
        return is_missing(errand, "fdset-id");
    return read_integer(errand, arguments, "fd", &errand->member, &errand->has_member) &&
           read_end(errand, arguments, known);
}

static bool read_nothing(struct errand *errand, json_t *arguments) {
    static const char *const known[] = {NULL};

    return read_end(errand, arguments, known);
}

static bool read_events(struct errand *errand, json_t *arguments) {
    static const char *const known[] = {"enable", NULL};
    json_t *value = json_object_get(arguments, "enable");

    if (!value)
        return is_missing(errand, "enable");
    if (!json_is_boolean(value))
        return wrong_type(errand, "enable", "boolean");
    errand->sets_events = true;
    errand->enable = json_is_true(value);
    return read_end(errand, arguments, known);
}

/* ------------------------------------------------------------------- table */

static const struct fdset_command commands[] = {
    {"add-fd", read_add, ask_add, .takes_descriptor = true},
    {"remove-fd", read_remove, ask_remove},
    {"query-fdsets", read_nothing, ask_sets},
    {"x-fdset-query-leases", read_nothing, ask_leases},
    {"x-fdset-events", read_events, ask_events},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(*commands))

const struct fdset_command *fdset_command_find(struct span name) {
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (string_is(name, commands[i].name))
            return &commands[i];
    return NULL;
}

const char *fdset_command_name(size_t index) {
    return index < COMMAND_COUNT ? commands[index].name : NULL;
}

bool fdset_command_takes_descriptor(const struct fdset_command *command) {
    return command->takes_descriptor;
}

bool errand_read(struct errand *errand, json_t *arguments) {
    return errand->command->read(errand, arguments);
}

bool errand_begin(struct errand *errand) {
    return errand->command->ask(errand);
}
