/* SPDX-License-Identifier: MIT */
/* x-fdset-query-leases and x-fdset-events, which the helper answers. */
#include "questions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fdset-json.h"

/* A command on its way to the helper and back. */
struct own_question {
    struct relay *relay;
    uint64_t link;
    char *id;
    bool sets_events, enable;
    struct fdset_filter filter;
    struct fdset_listing *listing;
};

static void question_end(struct own_question *question, json_t *result, const char *error) {
    struct qmp_link *link = link_find(question->relay, question->link);

    if (link) {
        link->busy = false;
        if (result && question->sets_events)
            link->events = question->enable;
        if (result)
            reply_result(link, question->id, result);
        else
            reply_error(link, question->id, error);
        question->relay->pump(link);
    } else {
        json_decref(result);
    }
    free(question->id);
    free(question);
}

static void answered(struct fdset_manager *manager, int result, void *context) {
    struct own_question *question = context;
    json_t *json = NULL;

    if (result >= 0 && question->listing) {
        json = leases_json(question->listing);
        fdset_listing_free(question->listing);
    } else if (result >= 0) {
        json = json_object();
    }
    question_end(question, json, result < 0 ? fdset_error_text() : "out of memory");
}

/* Answers at once where the arguments are not those that it has: `known`, the name of the one
 * that it must have, or NULL. */
static bool is_refused(struct qmp_link *link, const char *id, json_t *json, const char *known) {
    json_t *arguments = json_object_get(json, "arguments"), *value;
    const char *name;
    char why[200] = "";

    if (arguments && !json_is_object(arguments))
        snprintf(why, sizeof(why), "QMP input member 'arguments' must be an object");
    else if (known && !(value = json_object_get(arguments, known)))
        snprintf(why, sizeof(why), "Parameter '%s' is missing", known);
    else if (known && !json_is_boolean(value))
        snprintf(why, sizeof(why), "Invalid parameter type for '%s', expected: boolean", known);
    else
        json_object_foreach(arguments, name, value) {
            if (!known || strcmp(name, known) != 0)
                snprintf(why, sizeof(why), "Parameter '%.100s' is unexpected", name);
        }
    if (*why)
        reply_error(link, id, why);
    return *why;
}

static struct own_question *question_new(struct qmp_link *link, struct qmp_command *command,
                                         json_t *json, const char *argument) {
    if (is_refused(link, command->id, json, argument))
        return NULL;
    struct own_question *question = calloc(1, sizeof(*question));
    if (!question) {
        link->failed = true;
        return NULL;
    }
    *question =
        (struct own_question){.relay = link->relay, .link = link->number, .id = command->id};
    command->id = NULL;
    link->busy = true;
    return question;
}

bool question_leases(struct qmp_link *link, struct qmp_command *command, json_t *json) {
    struct own_question *question = question_new(link, command, json, NULL);

    if (question) {
        int error = fdset_query_submit(link->relay->manager, &question->filter, &question->listing,
                                       answered, question);
        if (error)
            question_end(question, NULL, fdset_error_text());
    }
    return true;
}

bool question_events(struct qmp_link *link, struct qmp_command *command, json_t *json) {
    struct own_question *question = question_new(link, command, json, "enable");
    const json_t *enable = json_object_get(json_object_get(json, "arguments"), "enable");

    if (question) {
        question->sets_events = true;
        question->enable = json_is_true(enable);
        uint32_t kinds = EVENTS_MIRRORED | (question->enable ? EVENTS_TOLD : 0);
        if (!question->enable)
            question_end(question, json_object(), NULL);
        else if (fdset_subscribe_submit(link->relay->manager, kinds, answered, question) < 0)
            question_end(question, NULL, fdset_error_text());
    }
    return true;
}

/* ------------------------------------------------------------------- lists */

/* The array in `reply`, with what is there because of us. */
static void pass_extended(struct qmp_link *link, struct span message, const struct envelope *reply,
                          const char *more) {
    struct span list = reply->returned;

    if (list.length < 2 || *list.bytes != '[' || span_contains(list, "\"x-fdset-events\"")) {
        reply_pass(link, message);
        return;
    }
    struct text text = {0};
    text_append_string(&text, list.length > 2 ? ", " : "");
    text_append_string(&text, more);
    link->failed |= text.failed;
    reply_replace(link, message, (struct span){list.bytes + list.length - 1, 0}, text_span(&text));
    text_free(&text);
}

void answered_commands(struct qmp_link *link, struct span message, const struct envelope *reply) {
    pass_extended(link, message, reply,
                  "{\"name\": \"x-fdset-query-leases\"}, {\"name\": \"x-fdset-events\"}");
}

void answered_schema(struct qmp_link *link, struct span message, const struct envelope *reply) {
    pass_extended(link, message, reply, schema_text);
}
