/* SPDX-License-Identifier: MIT */
/* What comes from the client. */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "aside.h"
#include "fdset-commands.h"
#include "fdset-json.h"
#include "link-private.h"

/* QEMU's words where a message has more than FRAMING_LIMIT. */
#define TOO_LARGE "JSON token size limit exceeded"

static void command_free(struct qmp_command *command) {
    if (command->fd >= 0)
        aside_close(&command->fd, 1);
    text_free(&command->message);
    free(command);
}

/* Puts a command at the end of those that wait; false where memory ran out. */
static bool command_put(struct qmp_link *link, struct span message, bool takes_fd) {
    struct qmp_command *command = calloc(1, sizeof(*command));

    if (!command) {
        link->failed = true;
        return false;
    }
    command->fd = -1;
    if (takes_fd) {
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
    return true;
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

/* --------------------------------------------------------------- forwarding */

/* Consumes `fd`, which may be -1. */
static void forward(struct qmp_link *link, struct span message, const struct envelope *envelope,
                    int fd) {
    struct text text = {0};
    struct parcel *parcel = NULL;

    if (fd >= 0 && (parcel = malloc(sizeof(*parcel) + sizeof(fd)))) {
        parcel->count = 1;
        parcel->fd[0] = fd;
    } else if (fd >= 0) {
        aside_close(&fd, 1);
    }
    if (envelope->arguments.bytes &&
        rewrite_strings(envelope->arguments, SETS_NAMED, SETS_PASSED, &text)) {
        struct text arguments = text;
        size_t before = (size_t)(envelope->arguments.bytes - message.bytes);
        const char *after = envelope->arguments.bytes + envelope->arguments.length;
        text = (struct text){0};
        text_append(&text, message.bytes, before);
        text_append_span(&text, text_span(&arguments));
        text_append(&text, after, (size_t)(message.bytes + message.length - after));
        link->failed |= arguments.failed;
        text_free(&arguments);
        message = text_span(&text);
    }
    outgoing_put(&link->emulator.out, message, parcel);
    link->failed |= text.failed;
    text_free(&text);
}

/* ---------------------------------------------------------------- answering */

static char *id_text(const struct envelope *envelope) {
    struct text text = {0};

    if (!envelope->id.bytes)
        return NULL;
    json_normalise(envelope->id, &text);
    text_append(&text, "", 1);
    return text.bytes;
}

/* A descriptor that its command did not use waits for the next one. */
static void give_back(struct qmp_link *link, struct qmp_command *command) {
    if (link->pending >= 0 || command->fd < 0)
        return;
    link->pending = command->fd;
    command->fd = -1;
}

/* Gives it what the helper is to be asked, and the descriptor; false with the error. */
static bool errand_prepare(struct errand *errand, struct qmp_command *command,
                           const struct envelope *envelope, json_t *json) {
    json_t *arguments = json_object_get(json, "arguments");

    if (envelope->unexpected.bytes)
        return errand_fail(errand, "QMP input member '%.*s' is unexpected",
                           (int)envelope->unexpected.length - 2, envelope->unexpected.bytes + 1);
    if (arguments && !json_is_object(arguments))
        return errand_fail(errand, "QMP input member 'arguments' must be an object");
    if (!errand_read(errand, arguments))
        return false;
    if (!fdset_command_takes_descriptor(errand->command))
        return true;
    if (command->fd < 0 && command->fd_lost)
        return errand_fail(errand,
                           "The file descriptor was lost on its way: fdset-qemu, or this user, "
                           "may have too many open ('ulimit -Hn' is the limit)");
    if (command->fd < 0)
        return errand_fail(errand, "No file descriptor supplied via SCM_RIGHTS");
    errand->fd = command->fd;
    command->fd = -1;
    return true;
}

static void answer(struct qmp_link *link, struct qmp_command *command,
                   const struct fdset_command *which, const struct envelope *envelope,
                   json_t *json) {
    /* An error may name anything that stands there. */
    struct errand *errand = errand_new(which, command->message.length + 1024);

    if (!errand) {
        link->failed = true;
        return;
    }
    errand->link = link->number;
    errand->id = id_text(envelope);
    errand->manager = link->relay->manager;
    errand->done = link->relay->errand_done;
    errand->owner = link->relay;
    /* One that has gone for good is watched again, for the answer that it has gone. */
    loop_watch(&link->relay->loop, &link->relay->helper_watch, EPOLLIN);
    link->busy = errand_prepare(errand, command, envelope, json) && errand_begin(errand);
    if (link->busy)
        return;
    give_back(link, command);
    reply_errand(link, errand);
    errand_free(errand);
}

/* ----------------------------------------------------------------- in order */

static bool is_getfd(const struct envelope *envelope) {
    return string_is(envelope->execute, "getfd");
}

/* Forwards the command, which is one to the emulator alone. */
static void command_forward(struct qmp_link *link, struct qmp_command *command,
                            const struct envelope *envelope) {
    int fd = -1;

    if (is_getfd(envelope)) {
        fd = command->fd;
        command->fd = -1;
    } else {
        give_back(link, command);
    }
    forward(link, text_span(&command->message), envelope, fd);
    reply_expect(link, envelope, false);
}

/* True if it is done with; false if it must wait. */
static bool command_carry_out(struct qmp_link *link, struct qmp_command *command) {
    struct span message = text_span(&command->message);
    struct envelope envelope = {0};
    const struct fdset_command *which = NULL;
    bool idle = link->expected_count == 0;

    if (command->refused) {
        if (idle && link->greeted)
            reply_error(link, NULL, command->message.bytes);
        return idle && link->greeted;
    }
    if (!envelope_read(message, &envelope))
        envelope = (struct envelope){0};
    if (envelope.execute.bytes && !envelope.exec_oob.bytes)
        which = fdset_command_find(envelope.execute);
    if (which && !idle && !(link->negotiated && fdset_command_takes_descriptor(which)))
        return false;
    /* Before the negotiation is over, and where it is not JSON, QEMU says so. */
    json_t *json = which && link->negotiated ? json_read(message) : NULL;
    bool must_wait = !json && link->deferred.length > 0;
    if (json)
        answer(link, command, which, &envelope, json);
    else if (!must_wait)
        command_forward(link, command, &envelope);
    json_decref(json);
    return !must_wait;
}

bool command_run(struct qmp_link *link) {
    bool full = link->expected_count >= EXPECTED_MAX || link->emulator.out.length >= OUTGOING_MARK;

    if (!link->first_command || link->busy || full || !command_carry_out(link, link->first_command))
        return false;
    command_drop_first(link);
    return true;
}

/* ------------------------------------------------------------ from the bytes */

/* QEMU says what is wrong with it. The line's end ends what it may take for more of it. */
static void malformed_take(struct qmp_link *link, struct span bytes) {
    if (command_put(link, bytes, false)) {
        text_append_string(&link->last_command->message, "\n");
        link->failed |= link->last_command->message.failed;
    }
}

/* It is not forwarded, and its turn to be refused will come. */
static void refused_take(struct qmp_link *link, const char *error) {
    if (command_put(link, (struct span){error, strlen(error) + 1}, false))
        link->last_command->refused = true;
}

static void message_take(struct qmp_link *link, struct span message) {
    struct envelope envelope;

    if (!envelope_read(message, &envelope)) {
        command_put(link, message, false);
        return;
    }
    if (link->oob && envelope.exec_oob.bytes && !envelope.execute.bytes) {
        forward(link, message, &envelope, -1);
        reply_expect(link, &envelope, true);
        return;
    }
    const struct fdset_command *which =
        envelope.execute.bytes ? fdset_command_find(envelope.execute) : NULL;
    if (which && message.length > OWN_COMMAND_BYTES) {
        refused_take(link, TOO_LARGE);
        return;
    }
    bool takes_fd = which ? fdset_command_takes_descriptor(which) : is_getfd(&envelope);
    command_put(link, message, takes_fd);
}

bool command_take(struct qmp_link *link) {
    struct span bytes;

    if (link->starved || link->command_count >= COMMANDS_MAX ||
        link->out_of_band_count >= COMMANDS_MAX || link->command_bytes >= COMMANDS_BYTES)
        return false;
    enum piece piece = framing_next(&link->client.in, &bytes);
    switch (piece) {
    case PIECE_NONE:
        link->starved = true;
        return false;
    case PIECE_MESSAGE:
        message_take(link, bytes);
        return true;
    case PIECE_BLANK:
        if (!link->first_command && !link->busy)
            outgoing_put(&link->emulator.out, bytes, NULL);
        return true;
    case PIECE_SKIPPED:
        return true;
    case PIECE_TOO_LARGE:
        refused_take(link, TOO_LARGE);
        return true;
    case PIECE_TOO_DEEP:
        refused_take(link, "JSON nesting depth limit exceeded");
        return true;
    default:
        malformed_take(link, bytes);
        return true;
    }
}
