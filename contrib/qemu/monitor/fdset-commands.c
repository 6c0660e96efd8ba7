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

#define ARGUMENTS_MAX 2

struct fdset_command {
    const char *name;
    bool (*ask)(struct errand *errand);
    bool takes_descriptor;

    struct argument {
        const char *name; /* NULL: none */
        bool (*take)(struct errand *errand, const char *name, json_t *value);
        bool is_required;
    } arguments[ARGUMENTS_MAX];
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

static bool take_integer(struct errand *errand, const char *name, json_t *value) {
    bool is_member = strcmp(name, "fd") == 0;

    if (!json_is_integer(value))
        return wrong_type(errand, name, "integer");
    *(is_member ? &errand->member : &errand->set) = json_integer_value(value);
    *(is_member ? &errand->has_member : &errand->has_set) = true;
    return true;
}

/* QEMU keeps a label of any length, the helper has taken its memory beforehand. */
static bool take_label(struct errand *errand, const char *name, json_t *value) {
    const char *label = json_string_value(value);

    if (!label)
        return wrong_type(errand, name, "string");
    if (strlen(label) != json_string_length(value))
        return errand_fail(errand, "Parameter '%s' must not contain NUL", name);
    if (strlen(label) > FDSET_MAX_OPAQUE_BYTES)
        return errand_fail(errand, "Parameter '%s' has %zu bytes, and may have %d", name,
                           strlen(label), FDSET_MAX_OPAQUE_BYTES);
    errand->opaque = strdup(label);
    return errand->opaque || errand_fail(errand, "out of memory");
}

static bool take_boolean(struct errand *errand, const char *name, json_t *value) {
    if (!json_is_boolean(value))
        return wrong_type(errand, name, "boolean");
    errand->sets_events = true;
    errand->enable = json_is_true(value);
    return true;
}

static bool is_known(const struct argument *arguments, const char *name) {
    for (size_t i = 0; i < ARGUMENTS_MAX && arguments[i].name; i++)
        if (strcmp(arguments[i].name, name) == 0)
            return true;
    return false;
}

bool errand_read(struct errand *errand, json_t *arguments) {
    const struct argument *known = errand->command->arguments;
    const char *name;
    json_t *value;

    for (size_t i = 0; i < ARGUMENTS_MAX && known[i].name; i++) {
        value = json_object_get(arguments, known[i].name);
        if (!value && known[i].is_required)
            return errand_fail(errand, "Parameter '%s' is missing", known[i].name);
        if (value && !known[i].take(errand, known[i].name, value))
            return false;
    }
    json_object_foreach(arguments, name, value) {
        if (!is_known(known, name))
            return errand_fail(errand, "Parameter '%s' is unexpected", name);
    }
    return true;
}

/* ------------------------------------------------------------------- table */

static const struct fdset_command commands[] = {
    {"add-fd", ask_add, true, {{"fdset-id", take_integer}, {"opaque", take_label}}},
    {"remove-fd", ask_remove, false, {{"fdset-id", take_integer, true}, {"fd", take_integer}}},
    {"query-fdsets", ask_sets},
    {"x-fdset-query-leases", ask_leases},
    {"x-fdset-events", ask_events, false, {{"enable", take_boolean, true}}},
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

bool errand_begin(struct errand *errand) {
    return errand->command->ask(errand);
}
