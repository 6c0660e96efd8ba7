/* SPDX-License-Identifier: MIT */
/* What comes from the client. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aside.h"
#include "fdset-json.h"
#include "link-private.h"
#include "members.h"
#include "mirror.h"
#include "questions.h"

/* QEMU's words where a message has more than FRAMING_LIMIT. */
#define TOO_LARGE "JSON token size limit exceeded"

static void negotiated(struct qmp_link *link, struct span message, const struct envelope *reply) {
    link->asked = false;
    link->negotiated = reply->returned.bytes;
    link->oob = link->negotiated && link->asks_oob;
    reply_pass(link, message);
    mirror_refresh(link->relay);
}

/* What is done with a command. */
static const struct command_kind {
    const char *name;
    bool (*carry_out)(struct qmp_link *link, struct qmp_command *command, json_t *json);
    bool takes_fd;
    answered_function answered; /* where it is only forwarded */
} kinds[] = {
    {"add-fd", members_add, true},
    {"remove-fd", members_remove},
    {"query-fdsets", members_query},
    {"x-fdset-query-leases", question_leases},
    {"x-fdset-events", question_events},
    {"getfd", NULL, true},
    {"query-commands", .answered = answered_commands},
    {"query-qmp-schema", .answered = answered_schema},
};

/* Any other; one whose text may name a set; and the first. */
static const struct command_kind plain, names_sets, negotiation = {.answered = negotiated};

static const struct command_kind *kind_of(struct span message, const struct envelope *envelope) {
    bool is_command = envelope->execute.bytes && !envelope->exec_oob.bytes;

    for (size_t i = 0; is_command && i < sizeof(kinds) / sizeof(*kinds); i++)
        if (string_is(envelope->execute, kinds[i].name))
            return &kinds[i];
    return span_contains(message, "fdset") || span_contains(message, "\\u") ? &names_sets : &plain;
}

static const struct span no_id;

/* --------------------------------------------------------------- the queue */

static void command_free(struct qmp_command *command) {
    if (command->fd >= 0)
        aside_close(&command->fd, 1);
    if (command->adding)
        adding_abandon(command->adding);
    text_free(&command->message);
    free(command->id);
    free(command);
}

/* Puts a command at the end of those that wait; NULL where memory ran out. */
static struct qmp_command *command_put(struct qmp_link *link, struct span message, struct span id,
                                       const struct command_kind *kind) {
    struct qmp_command *command = calloc(1, sizeof(*command));

    if (!command) {
        link->failed = true;
        return NULL;
    }
    command->kind = kind;
    command->id = id_text(id);
    command->fd = -1;
    if (kind->takes_fd) {
        command->fd = link->pending;
        command->fd_lost = link->pending_lost;
        link->pending = -1;
        link->pending_lost = false;
    }
    command->bytes = message.length;
    text_append_span(&command->message, message);
    link->failed |= command->message.failed;
    if (link->last_command)
        link->last_command->next = command;
    else
        link->first_command = command;
    link->last_command = command;
    link->command_count++;
    link->command_bytes += message.length;
    return command;
}

static void command_drop_first(struct qmp_link *link) {
    struct qmp_command *first = link->first_command;

    link->first_command = first->next;
    if (!link->first_command)
        link->last_command = NULL;
    link->command_count--;
    link->command_bytes -= first->bytes;
    command_free(first);
}

void commands_free(struct qmp_link *link) {
    while (link->first_command)
        command_drop_first(link);
}

/* ----------------------------------------------------------------- in order */

/* The helper's sets are the emulator's, and those that are named can be opened. */
static bool sets_are_ready(struct qmp_link *link, struct qmp_command *command) {
    if (command->fence == FENCE_NONE)
        mirror_fence(link, command);
    if (command->fence != FENCE_PASSED || !mirror_is_true(link->relay))
        return false;
    if (link->relay->waits)
        mirror_name_sets(link->relay, text_span(&command->message));
    return !mirror_has_work(link);
}

/* True if it is done with; false if it must wait. */
static bool command_carry_out(struct qmp_link *link, struct qmp_command *command) {
    const struct command_kind *kind = command->kind;
    bool needs_sets = kind == &names_sets || kind->carry_out;
    bool in_turn = needs_sets || kind->answered || command->fd >= 0 || command->refused;

    if (in_turn && link->expected > 0)
        return false;
    if (command->refused) {
        reply_error(link, NULL, command->message.bytes);
        return true;
    }
    if (needs_sets && !sets_are_ready(link, command))
        return false;
    if (kind->carry_out) {
        /* Where it is not JSON, QEMU says so. */
        json_t *json = json_read(text_span(&command->message));
        bool done = json && kind->carry_out(link, command, json);
        json_decref(json);
        if (json)
            return done;
        command_give_back(link, &command->fd);
        command_forward(link, command, -1, NULL);
        return true;
    }
    command_forward(link, command, command->fd, kind->answered);
    command->fd = -1;
    return true;
}

bool command_run(struct qmp_link *link) {
    bool full = link->expected >= EXPECTED_MAX || link->emulator.out.length >= OUTGOING_MARK;

    if ((link->negotiated && mirror_has_work(link)) || !link->first_command || link->busy ||
        link->answered || full || !command_carry_out(link, link->first_command))
        return false;
    command_drop_first(link);
    return true;
}

/* ------------------------------------------------------------ from the bytes */

/* QEMU says what is wrong with it. The line's end ends what it may take for more of it. */
static void malformed_take(struct qmp_link *link, struct span bytes) {
    struct qmp_command *command = command_put(link, bytes, no_id, &plain);

    if (command) {
        text_append_string(&command->message, "\n");
        link->failed |= command->message.failed;
    }
}

/* It is not forwarded, and its turn to be refused will come. */
static void refused_take(struct qmp_link *link, const char *error) {
    struct qmp_command *command =
        command_put(link, (struct span){error, strlen(error) + 1}, no_id, &plain);

    if (command)
        command->refused = true;
}

static void message_take(struct qmp_link *link, struct span message) {
    struct envelope envelope;

    if (!envelope_read(message, &envelope)) {
        command_put(link, message, no_id, &plain);
        return;
    }
    if (link->oob && envelope.exec_oob.bytes && !envelope.execute.bytes) {
        outgoing_put(&link->emulator.out, message, -1);
        reply_expect(link, NULL, NULL);
        return;
    }
    const struct command_kind *kind = kind_of(message, &envelope);
    if (kind->carry_out && message.length > OWN_COMMAND_BYTES) {
        refused_take(link, TOO_LARGE);
        return;
    }
    struct qmp_command *command = command_put(link, message, envelope.id, kind);
    if (command && kind->carry_out == members_add && link->relay->waits)
        members_add_early(link, command);
}

/* Goes with the command before it. */
static void blank_take(struct qmp_link *link, struct span bytes) {
    struct qmp_command *command = link->last_command;

    if (!command) {
        outgoing_put(&link->emulator.out, bytes, -1);
    } else if (!command->refused) {
        text_append_span(&command->message, bytes);
        link->failed |= command->message.failed;
        command->bytes += bytes.length;
        link->command_bytes += bytes.length;
    }
}

/* Before the negotiation all bytes pass; and those after a qmp_capabilities when it is answered. */
static void early_take(struct qmp_link *link, enum piece piece, struct span bytes) {
    struct envelope envelope;

    link->asked = piece == PIECE_MESSAGE && envelope_read(bytes, &envelope) &&
                  string_is(envelope.execute, "qmp_capabilities");
    link->asks_oob = link->asked && span_contains(envelope.arguments, "oob");
    if (link->asked)
        command_put(link, bytes, envelope.id, &negotiation);
    else
        outgoing_put(&link->emulator.out, bytes, -1);
    /* What is no monitor does not answer. */
    if (!link->asked && piece != PIECE_BLANK && piece != PIECE_SKIPPED &&
        link->expected < EXPECTED_MAX)
        reply_expect(link, NULL, NULL);
}

bool command_take(struct qmp_link *link) {
    struct span bytes;

    if (link->starved || link->asked || link->command_count >= COMMANDS_MAX ||
        link->expected >= EXPECTED_MAX + COMMANDS_MAX || link->command_bytes >= COMMANDS_BYTES)
        return false;
    enum piece piece = framing_next(&link->client.in, &bytes);
    link->starved = piece == PIECE_NONE;
    if (link->starved)
        return false;
    if (!link->negotiated) {
        early_take(link, piece, bytes);
        return true;
    }
    switch (piece) {
    case PIECE_MESSAGE:
        message_take(link, bytes);
        break;
    case PIECE_BLANK:
        blank_take(link, bytes);
        break;
    case PIECE_SKIPPED:
        break;
    case PIECE_TOO_LARGE:
        refused_take(link, TOO_LARGE);
        break;
    case PIECE_TOO_DEEP:
        refused_take(link, "JSON nesting depth limit exceeded");
        break;
    default:
        malformed_take(link, bytes);
    }
    return true;
}
