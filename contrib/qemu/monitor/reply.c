/* SPDX-License-Identifier: MIT */
/* What comes from the emulator, and what is said beside it. */
#include <stdlib.h>
#include <string.h>

#include "fdset-json.h"
#include "link-private.h"

/* ------------------------------------------------------------- expectations */

void replies_free(struct qmp_link *link) {
    free(link->answered_id);
    text_free(&link->held);
}

/* QEMU writes an id in its own way. */
static bool is_awaited(const struct qmp_link *link, struct span id) {
    const char *wanted = link->answered_id;

    if (!wanted || !id.bytes)
        return !wanted && !id.bytes;
    json_t *one = json_read((struct span){wanted, strlen(wanted)}), *other = json_read(id);
    bool same = one && other && json_equal(one, other);
    json_decref(one);
    json_decref(other);
    return same;
}

/* What is done with this reply; NULL: it is passed on. */
static answered_function fulfilled(struct qmp_link *link, const struct envelope *envelope) {
    answered_function answered = link->answered;

    link->expected -= link->expected > 0;
    /* What is not quite JSON is answered without its id. */
    if (!answered || (link->expected > 0 && !is_awaited(link, envelope->id)))
        return NULL;
    free(link->answered_id);
    link->answered_id = NULL;
    link->answered = NULL;
    return answered;
}

/* ------------------------------------------------------------------ passing */

void reply_pass(struct qmp_link *link, struct span message) {
    outgoing_put(&link->client.out, message, -1);
}

void reply_replace(struct qmp_link *link, struct span message, struct span part,
                   struct span bytes) {
    const char *after = part.bytes + part.length, *end = message.bytes + message.length;
    struct text text = {0};

    text_append(&text, message.bytes, (size_t)(part.bytes - message.bytes));
    text_append_span(&text, bytes);
    text_append(&text, after, (size_t)(end - after));
    link->failed |= text.failed;
    reply_pass(link, text_span(&text));
    text_free(&text);
}

static void message_take(struct qmp_link *link, struct span message) {
    struct envelope envelope;
    answered_function answered = NULL;

    if (envelope_read(message, &envelope) && (envelope.returned.bytes || envelope.error.bytes))
        answered = fulfilled(link, &envelope);
    if (answered)
        answered(link, message, &envelope);
    else
        reply_pass(link, message);
}

/* What is larger than any message of QEMU's can only be a reply. */
static void other_take(struct qmp_link *link, enum piece piece, struct span bytes) {
    struct envelope nothing = {0};

    if (piece == PIECE_TOO_LARGE || piece == PIECE_TOO_DEEP) {
        answered_function answered = fulfilled(link, &nothing);
        if (answered)
            answered(link, (struct span){0}, &nothing);
    }
    reply_pass(link, bytes);
}

/* Our own must not come into the middle of a message. */
static void held_put(struct qmp_link *link) {
    if (link->held.length == 0 || !framing_between(&link->emulator.in))
        return;
    outgoing_put(&link->client.out, text_span(&link->held), -1);
    link->held.length = 0;
}

void reply_take_all(struct qmp_link *link) {
    struct span bytes;
    enum piece piece;

    while ((piece = framing_next(&link->emulator.in, &bytes)) != PIECE_NONE) {
        if (piece == PIECE_MESSAGE)
            message_take(link, bytes);
        else
            other_take(link, piece, bytes);
        held_put(link);
    }
}

/* ------------------------------------------------------------------ our own */

void reply_own(struct qmp_link *link, struct span bytes) {
    text_append_span(&link->held, bytes);
    held_put(link);
}

void reply_message(struct qmp_link *link, const char *message) {
    text_append_string(&link->held, message);
    reply_own(link, SPAN("\r\n"));
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
            reply_message(link, text.bytes);
    }
    text_free(&text);
    free(member);
}

void reply_result(struct qmp_link *link, const char *id, json_t *result) {
    reply_member(link, id, "return", result);
}

void reply_error(struct qmp_link *link, const char *id, const char *description) {
    json_t *error =
        json_pack("{s:s, s:o}", "class", "GenericError", "desc", text_json(description));

    reply_member(link, id, "error", error);
}
