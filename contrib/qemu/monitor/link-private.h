/* SPDX-License-Identifier: MIT */
/* The inside of a link. */
#pragma once

#include <jansson.h>

#include "envelope.h"
#include "framing.h"
#include "link.h"
#include "stream.h"

/* Beyond this many bytes to a peer that does not read, nothing more is read for it. */
#define OUTGOING_MARK ((size_t)256 << 10)

/* Commands that have been read and must wait: as many as QEMU lets wait, and as many
 * bytes beyond the first. */
#define COMMANDS_MAX   8
#define COMMANDS_BYTES ((size_t)1 << 20)

/* A command of those that are read here is so many times its size in memory; none that makes
 * sense is a hundredth of this. */
#define OWN_COMMAND_BYTES ((size_t)1 << 20)

/* Forwarded and not answered; QEMU stops reading much earlier. */
#define EXPECTED_MAX 64

/* A client that does not read loses events beyond this. */
#define EVENTS_MARK ((size_t)1 << 20)

/* A command that waits for its turn. */
struct qmp_command {
    struct qmp_command *next;
    const struct command_kind *kind;
    struct text message;
    char *id;     /* normalised; NULL: none */
    int fd;       /* owned; -1: none */
    bool fd_lost; /* one came, but did not get through */
    bool refused; /* `message` is what is to be said of it */
    enum { FENCE_NONE, FENCE_ASKED, FENCE_PASSED } fence;
    struct add_command *adding; /* the helper was asked before the emulator; NULL: it was not */
    size_t bytes;               /* how much of command_bytes it is */
};

/* What is done with a reply that is not just passed on. */
typedef void (*answered_function)(struct qmp_link *link, struct span message,
                                  const struct envelope *reply);

struct side {
    struct relay_watch watch;
    struct framing in;
    struct outgoing out;
    bool ended; /* it has nothing more to say */
};

struct qmp_link {
    struct qmp_link *next, **previous;
    uint64_t number;
    struct relay *relay;

    struct side client, emulator;
    bool failed;      /* memory ran out */
    bool entered;     /* it is being dealt with, and must not be freed */
    bool client_gone; /* it does not even read any more */

    bool asked, asks_oob; /* qmp_capabilities has come; and would enable oob */
    bool negotiated, oob, events;
    bool takes_descriptors; /* the emulator does, of this client */
    bool busy;              /* a command is being done, and those after it wait */
    bool starved;           /* no whole message is left in client.in */

    int pending; /* the descriptor that came last and was not used; -1: none */
    bool pending_lost;
    bool leftover; /* the emulator still has the portal of an add-fd that it refused */

    struct qmp_command *first_command, *last_command;
    size_t command_count, command_bytes;

    size_t expected;            /* replies that are to come from the emulator, */
    answered_function answered; /* and what is done with the one that has this id; NULL: nothing */
    char *answered_id;
    struct add_command *adding; /* the add-fd that the emulator has, or had; NULL: none */

    struct text held; /* our own, until the emulator's message is whole */
    uint64_t lost;    /* events, since the last that was told */
};

/* ---------------------------------------------------------------- command.c */

/* Deals with one thing from the client; false: there is nothing that could be done now. */
bool command_take(struct qmp_link *link);
bool command_run(struct qmp_link *link);
void commands_free(struct qmp_link *link);

/* ---------------------------------------------------------------- forward.c */

struct qmp_link *link_find(struct relay *relay, uint64_t number);

/* The id of a command or reply, normalised; NULL: none. To be freed. */
char *id_text(struct span id);
#define OWN_ID "\"fdset-qemu\"" /* of what the relay itself asks the emulator */

/* What is passed on from here to the emulator is a command: its reply will come, and have this
 * id, normalised and consumed. There can be one such at a time, but others beside it where
 * `answered` is NULL. */
void reply_expect(struct qmp_link *link, answered_function answered, char *id);

/* Passes it on, with `fd`, consumed, unless that is -1. Takes its id. */
void command_forward(struct qmp_link *link, struct qmp_command *command, int fd,
                     answered_function answered);

/* A descriptor that its command did not use waits for the next one. */
void command_give_back(struct qmp_link *link, int *fd);

/* ------------------------------------------------------------------ reply.c */

/* Deals with all that has come from the emulator. */
void reply_take_all(struct qmp_link *link);
void replies_free(struct qmp_link *link);

/* Passes on a reply as it is; or with these bytes in the place of a part of it. */
void reply_pass(struct qmp_link *link, struct span message);
void reply_replace(struct qmp_link *link, struct span message, struct span part, struct span bytes);

/* Our own replies and events, or a reply that was kept: between two of the emulator's. `id` is
 * normalised JSON; NULL: none. */
void reply_own(struct qmp_link *link, struct span bytes);
void reply_message(struct qmp_link *link, const char *message);
void reply_result(struct qmp_link *link, const char *id, json_t *result);
void reply_error(struct qmp_link *link, const char *id, const char *description);
