/* SPDX-License-Identifier: MIT */
/* What comes from the emulator, and what is said beside it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fdset-commands.h"
#include "fdset-json.h"
#include "link-private.h"

/* ------------------------------------------------------------- expectations */

static bool contains(struct span span, const char *text) {
    return span.length > 0 && memmem(span.bytes, span.length, text, strlen(text));
}

/* A whole string, in quotes. */
static bool contains_string(struct span span, const char *text) {
    char quoted[64];

    snprintf(quoted, sizeof(quoted), "\"%s\"", text);
    return contains(span, quoted);
}

void reply_expect(struct qmp_link *link, const struct envelope *envelope, bool oob) {
    struct expected *expected = calloc(1, sizeof(*expected));

    if (!expected) {
        link->failed = true;
        return;
    }
    if (oob) {
        if (envelope->id.bytes)
            json_normalise(envelope->id, &expected->id);
        expected->next = link->out_of_band;
        link->out_of_band = expected;
        link->out_of_band_count++;
        return;
    }
    if (string_is(envelope->execute, "qmp_capabilities"))
        expected->kind = REPLY_CAPABILITIES;
    else if (string_is(envelope->execute, "query-commands"))
        expected->kind = REPLY_COMMANDS;
    else if (string_is(envelope->execute, "query-qmp-schema"))
        expected->kind = REPLY_SCHEMA;
    expected->asks_oob = contains(envelope->arguments, "oob");
    if (link->last_expected)
        link->last_expected->next = expected;
    else
        link->first_expected = expected;
    link->last_expected = expected;
    link->expected_count++;
}

static void expected_free(struct expected *expected) {
    text_free(&expected->id);
    free(expected);
}

void replies_free(struct qmp_link *link) {
    struct expected *lists[] = {link->first_expected, link->out_of_band}, *next;

    for (size_t i = 0; i < 2; i++)
        for (struct expected *expected = lists[i]; expected; expected = next) {
            next = expected->next;
            expected_free(expected);
        }
    text_free(&link->held);
    text_free(&link->deferred);
}

/* QEMU writes an id in its own way. */
static bool same_id(const struct expected *expected, struct span id) {
    if (!expected->id.bytes || !id.bytes)
        return !expected->id.bytes && !id.bytes;
    json_t *one = json_read(text_span(&expected->id)), *other = json_read(id);
    bool same = one && other && json_equal(one, other);
    json_decref(one);
    json_decref(other);
    return same;
}

/* Takes the expectation that this reply fulfils, which is the caller's; NULL: none. */
static struct expected *fulfilled(struct qmp_link *link, const struct envelope *envelope) {
    struct expected **from = &link->out_of_band, *expected;

    while (*from && !same_id(*from, envelope->id))
        from = &(*from)->next;
    if ((expected = *from)) {
        *from = expected->next;
        link->out_of_band_count--;
        return expected;
    }
    expected = link->first_expected;
    if (!expected)
        return NULL;
    link->first_expected = expected->next;
    if (!link->first_expected)
        link->last_expected = NULL;
    link->expected_count--;
    return expected;
}

/* ------------------------------------------------------------------ passing */

static void put(struct qmp_link *link, struct span bytes) {
    outgoing_put(&link->client.out, bytes, link->parcel);
    link->parcel = NULL;
}

/* In all but the id, which is the client's own. */
static void put_rewritten(struct qmp_link *link, struct span message, struct span id) {
    const char *end = message.bytes + message.length;
    const char *after_id = id.bytes ? id.bytes + id.length : message.bytes;
    struct span head = {message.bytes, id.bytes ? (size_t)(id.bytes - message.bytes) : 0};
    struct span tail = {after_id, (size_t)(end - after_id)};
    struct text text = {0};

    bool any = rewrite_strings(head, SETS_PASSED, SETS_NAMED, &text);
    if (!any)
        text_append_span(&text, head);
    text_append_span(&text, id);
    if (rewrite_strings(tail, SETS_PASSED, SETS_NAMED, &text))
        any = true;
    else if (any)
        text_append_span(&text, tail);
    link->failed |= text.failed;
    put(link, any ? text_span(&text) : message);
    text_free(&text);
}

/* The array `list` in `message`, with more at its end. */
static void put_extended(struct qmp_link *link, struct span message, struct span list,
                         const struct text *more) {
    const char *bracket = list.bytes + list.length - 1;
    struct text text = {0};

    text_append(&text, message.bytes, (size_t)(bracket - message.bytes));
    text_append_string(&text, list.length > 2 ? ", " : "");
    text_append_span(&text, text_span(more));
    text_append(&text, bracket, (size_t)(message.bytes + message.length - bracket));
    link->failed |= text.failed || more->failed;
    put(link, text_span(&text));
    text_free(&text);
}

/* Adds to a list what is there because of us, and which the emulator has not itself. */
static void put_listed(struct qmp_link *link, struct span message, struct span list,
                       bool is_schema) {
    struct text more = {0};
    const char *name;
    char entry[64];

    for (size_t i = 0; (name = fdset_command_name(i)); i++) {
        if (contains_string(list, name))
            continue;
        snprintf(entry, sizeof(entry), "{\"name\": \"%s\"}", name);
        text_append_string(&more, more.length ? ", " : "");
        if (is_schema)
            schema_append(name, &more);
        else
            text_append_string(&more, entry);
    }
    if (more.length > 0)
        put_extended(link, message, list, &more);
    else
        put(link, message);
    text_free(&more);
}

static void reply_pass(struct qmp_link *link, struct span message,
                       const struct envelope *envelope) {
    struct expected *expected = fulfilled(link, envelope);
    bool done = envelope->returned.bytes && expected;
    bool is_list = done && *envelope->returned.bytes == '[';

    if (done && expected->kind == REPLY_CAPABILITIES) {
        link->negotiated = true;
        link->oob = expected->asks_oob;
    }
    if (is_list && (expected->kind == REPLY_COMMANDS || expected->kind == REPLY_SCHEMA))
        put_listed(link, message, envelope->returned, expected->kind == REPLY_SCHEMA);
    else
        put_rewritten(link, message, envelope->id);
    if (expected)
        expected_free(expected);
}

static void message_pass(struct qmp_link *link, struct span message) {
    struct envelope envelope;
    bool well_formed = envelope_read(message, &envelope);

    link->greeted = true;
    if (well_formed && (envelope.returned.bytes || envelope.error.bytes))
        reply_pass(link, message, &envelope);
    else
        put_rewritten(link, message, (struct span){0});
}

/* What is larger than any message of QEMU's can only be a reply. */
static void other_pass(struct qmp_link *link, enum piece piece, struct span bytes) {
    struct envelope nothing = {0};
    bool is_reply = piece == PIECE_TOO_LARGE || piece == PIECE_TOO_DEEP;
    struct expected *expected = is_reply ? fulfilled(link, &nothing) : NULL;

    if (expected)
        expected_free(expected);
    put(link, bytes);
}

/* Our own must not come into the middle of a message. */
static void held_put(struct qmp_link *link) {
    if (link->held.length == 0 || !framing_between(&link->emulator.in))
        return;
    outgoing_put(&link->client.out, text_span(&link->held), NULL);
    link->held.length = 0;
}

/* What was done before its turn has its turn when all before it are answered. */
static void deferred_put(struct qmp_link *link) {
    if (link->expected_count > 0)
        return;
    text_append_span(&link->held, text_span(&link->deferred));
    link->deferred.length = 0;
}

void reply_take_all(struct qmp_link *link) {
    struct span bytes;
    enum piece piece;

    while ((piece = framing_next(&link->emulator.in, &bytes)) != PIECE_NONE) {
        if (piece == PIECE_MESSAGE)
            message_pass(link, bytes);
        else
            other_pass(link, piece, bytes);
        deferred_put(link);
        held_put(link);
    }
}

/* ------------------------------------------------------------------ our own */

void reply_message(struct qmp_link *link, const char *message) {
    text_append_string(&link->held, message);
    text_append_string(&link->held, "\r\n");
    held_put(link);
}

static void reply_say(struct qmp_link *link, const char *message) {
    if (link->expected_count == 0) {
        reply_message(link, message);
        return;
    }
    text_append_string(&link->deferred, message);
    text_append_string(&link->deferred, "\r\n");
}

/* With the id where QEMU has it: before an error and after a result. Consumes `value`. */
static void reply_member(struct qmp_link *link, const char *id, const char *name, json_t *value) {
    bool is_result = strcmp(name, "return") == 0;
    struct text text = {0};
    json_t *object = json_pack("{s:o}", name, value);
    char *member = json_dumps(object, JSON_ENSURE_ASCII);

    json_decref(object);
    link->failed |= !member;
    if (member) {
        size_t length = strlen(member) - 2; /* without its braces */
        text_append_string(&text, "{");
        text_append(&text, member + 1, is_result ? length : 0);
        if (id) {
            text_append_string(&text, is_result ? ", \"id\": " : "\"id\": ");
            text_append_string(&text, id);
            text_append_string(&text, is_result ? "" : ", ");
        }
        text_append(&text, member + 1, is_result ? 0 : length);
        text_append(&text, "}", 2);
        link->failed |= text.failed;
        if (!text.failed)
            reply_say(link, text.bytes);
    }
    text_free(&text);
    free(member);
}

void reply_error(struct qmp_link *link, const char *id, const char *description) {
    json_t *error =
        json_pack("{s:s, s:o}", "class", "GenericError", "desc", text_json(description));

    reply_member(link, id, "error", error);
}

void reply_errand(struct qmp_link *link, const struct errand *errand) {
    if (errand->result && errand->sets_events)
        link->events = errand->enable;
    if (errand->result)
        reply_member(link, errand->id, "return", json_incref(errand->result));
    else
        reply_error(link, errand->id, errand->error);
}
