/* SPDX-License-Identifier: MIT */
#include "fdset-commands.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "envelope.h"
#include "fdset-json.h"

/* -------------------------------------------------- in the helper's thread */

static void fail(struct job *job) {
    snprintf(job->error, sizeof job->error, "%s", fdset_error_text());
}

/* 1, 0 or -errno. The failure is another than that of what was asked before. */
static int set_visible(struct fdset_manager *manager, int set) {
    struct fdset_listing *listing;
    int error = fdset_query(manager, set, &listing);

    if (error < 0)
        return error == -ENOENT ? 0 : error;
    bool visible = listing->count > 0 && set_is_visible(&listing->sets[0]);
    fdset_listing_free(listing);
    return visible;
}

/* QEMU checks this when it has taken the descriptor, which is gone then. */
static bool check_set(struct job *job) {
    if (!job->has_set || (job->set >= 0 && job->set <= INT_MAX))
        return true;
    snprintf(job->error, sizeof job->error,
             job->set < 0 ? "Parameter 'fdset-id' expects a non-negative value"
                          : "Parameter 'fdset-id' expects a value of at most 2147483647");
    return false;
}

/* In QEMU anything may be in any set, and what is there stays until it is removed. */
static void run_add(struct fdset_manager *manager, struct job *job) {
    if (!check_set(job))
        return;
    struct fdset_member member = {.fd = job->fd, .opaque = job->opaque};
    struct fdset_add add = {
        .set = job->has_set ? (int)job->set : FDSET_NEW_SET,
        .lifetime = FDSET_KEEP,
        .mixed = true,
        .members = &member,
        .member_count = 1,
    };

    int error = fdset_add_fds(manager, &add, 1);
    if (error)
        fail(job);
    if (error == -EINVAL && job->has_set && set_visible(manager, add.set) > 0) {
        /* Somebody else's, who may have chosen another lifetime. */
        add.lifetime = FDSET_LIFETIME_DEFAULT;
        error = fdset_add_fds(manager, &add, 1);
        if (error)
            fail(job);
    }
    if (!error)
        job->result = json_pack("{s:I, s:i}", "fd", (json_int_t)member.id, "fdset-id", add.set);
}

static void fail_not_found(struct job *job) {
    if (job->has_member)
        snprintf(job->error, sizeof job->error,
                 "File descriptor named 'fdset-id:%" PRId64 ", fd:%" PRId64 "' not found", job->set,
                 job->member);
    else
        snprintf(job->error, sizeof job->error,
                 "File descriptor named 'fdset-id:%" PRId64 "' not found", job->set);
}

static void run_remove(struct fdset_manager *manager, struct job *job) {
    bool in_range = job->set >= 0 && job->set <= INT_MAX;
    int removed = -ENOENT;

    if (job->has_member) /* and 0 would mean all */
        in_range = in_range && job->member > 0 && job->member <= UINT32_MAX;
    if (in_range)
        removed =
            fdset_remove_wait(manager, (int)job->set, job->has_member ? (uint32_t)job->member : 0,
                              job->waits ? FDSET_REMOVE_WAIT_MS : 0, NULL);
    /* Nothing was left to remove: an empty set that is in use is still one. */
    if (removed == 0)
        removed = job->has_member ? 0 : set_visible(manager, (int)job->set);
    if (removed == 0)
        removed = -ENOENT;
    if (removed >= 0)
        job->result = json_object();
    else if (removed == -ENOENT)
        fail_not_found(job);
    else
        fail(job);
}

static void run_query_as(struct fdset_manager *manager, struct job *job,
                         json_t *(*shape)(const struct fdset_listing *)) {
    struct fdset_listing *listing;

    if (fdset_query(manager, FDSET_ALL_SETS, &listing) < 0) {
        fail(job);
        return;
    }
    job->result = shape(listing);
    fdset_listing_free(listing);
    if (!job->result)
        snprintf(job->error, sizeof job->error, "out of memory");
}

static void run_query(struct fdset_manager *manager, struct job *job) {
    run_query_as(manager, job, sets_json);
}

static void run_leases(struct fdset_manager *manager, struct job *job) {
    run_query_as(manager, job, leases_json);
}

static void run_events(struct fdset_manager *manager, struct job *job) {
    if (job->enable && helper_subscribe(manager) < 0)
        fail(job);
    else
        job->result = json_object();
}

/* --------------------------------------------------------------- arguments */

struct argument_reader {
    json_t *arguments; /* NULL: none */
    char *error;
    size_t size;
};

static bool complain(struct argument_reader *reader, const char *format, const char *name,
                     const char *type) {
    snprintf(reader->error, reader->size, format, name, type);
    return false;
}

static bool read_integer(struct argument_reader *reader, const char *name, int64_t *to, bool *has) {
    json_t *value = json_object_get(reader->arguments, name);

    *has = value;
    if (!value)
        return true;
    if (!json_is_integer(value))
        return complain(reader, "Invalid parameter type for '%s', expected: %s", name, "integer");
    *to = json_integer_value(value);
    return true;
}

static bool read_string(struct argument_reader *reader, const char *name, char **to) {
    json_t *value = json_object_get(reader->arguments, name);

    if (!value)
        return true;
    if (!json_is_string(value))
        return complain(reader, "Invalid parameter type for '%s', expected: %s", name, "string");
    if (strlen(json_string_value(value)) != json_string_length(value))
        return complain(reader, "Parameter '%s' must not contain %s", name, "NUL");
    *to = strdup(json_string_value(value));
    return *to || complain(reader, "%s%s", "out of memory", "");
}

static bool is_missing(struct argument_reader *reader, const char *name) {
    return complain(reader, "Parameter '%s' is missing%s", name, "");
}

/* Names that nobody asked for. */
static bool read_end(struct argument_reader *reader, const char *const *known) {
    const char *name;
    json_t *value;

    json_object_foreach(reader->arguments, name, value) {
        const char *const *k = known;
        while (*k && strcmp(*k, name) != 0)
            k++;
        if (!*k)
            return complain(reader, "Parameter '%s' is unexpected%s", name, "");
    }
    return true;
}

/* QEMU keeps a label of any length, the helper has taken its memory beforehand. */
static bool check_label(struct argument_reader *reader, const char *opaque) {
    size_t length = opaque ? strlen(opaque) : 0;

    if (length > FDSET_MAX_OPAQUE_BYTES)
        snprintf(reader->error, reader->size, "Parameter 'opaque' has %zu bytes, and may have %d",
                 length, FDSET_MAX_OPAQUE_BYTES);
    return length <= FDSET_MAX_OPAQUE_BYTES;
}

static bool read_add(struct argument_reader *reader, struct job *job) {
    static const char *const known[] = {"fdset-id", "opaque", NULL};

    return read_integer(reader, "fdset-id", &job->set, &job->has_set) &&
           read_string(reader, "opaque", &job->opaque) && check_label(reader, job->opaque) &&
           read_end(reader, known);
}

static bool read_remove(struct argument_reader *reader, struct job *job) {
    static const char *const known[] = {"fdset-id", "fd", NULL};

    if (!read_integer(reader, "fdset-id", &job->set, &job->has_set))
        return false;
    if (!job->has_set)
        return is_missing(reader, "fdset-id");
    return read_integer(reader, "fd", &job->member, &job->has_member) && read_end(reader, known);
}

static bool read_nothing(struct argument_reader *reader, struct job *job) {
    static const char *const known[] = {NULL};

    return read_end(reader, known);
}

static bool read_events(struct argument_reader *reader, struct job *job) {
    static const char *const known[] = {"enable", NULL};
    json_t *value = json_object_get(reader->arguments, "enable");

    if (!value)
        return is_missing(reader, "enable");
    if (!json_is_boolean(value))
        return complain(reader, "Invalid parameter type for '%s', expected: %s", "enable",
                        "boolean");
    job->sets_events = true;
    job->enable = json_is_true(value);
    return read_end(reader, known);
}

/* ------------------------------------------------------------------- table */

struct fdset_command {
    const char *name;
    bool (*read)(struct argument_reader *reader, struct job *job);
    void (*run)(struct fdset_manager *manager, struct job *job);
    bool takes_descriptor, waits;
};

static const struct fdset_command commands[] = {
    {"add-fd", read_add, run_add, .takes_descriptor = true, .waits = true},
    {"remove-fd", read_remove, run_remove, .waits = true},
    {"query-fdsets", read_nothing, run_query},
    {"x-fdset-query-leases", read_nothing, run_leases},
    {"x-fdset-events", read_events, run_events},
};
#define COMMAND_COUNT (sizeof commands / sizeof *commands)

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

struct job *fdset_command_job(const struct fdset_command *command, json_t *arguments, char *error,
                              size_t size) {
    struct argument_reader reader = {.arguments = arguments, .error = error, .size = size};
    struct job *job = job_new();

    if (!job) {
        snprintf(error, size, "out of memory");
        return NULL;
    }
    job->run = command->run;
    job->waits = command->waits;
    if (command->read(&reader, job))
        return job;
    job_free(job);
    return NULL;
}
