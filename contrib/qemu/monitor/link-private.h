/* SPDX-License-Identifier: MIT */
/* The inside of a link, for link.c, command.c and reply.c. */
#pragma once

#include "envelope.h"
#include "link.h"

/* Beyond this many bytes to a peer that does not read, nothing more is read for it. */
#define OUTGOING_MARK ((size_t)256 << 10)

/* Commands that have been read and must wait: as many as QEMU lets wait, and as many
 * bytes beyond the first. */
#define COMMANDS_MAX   8
#define COMMANDS_BYTES ((size_t)1 << 20)

/* A command that is answered here is read whole into memory, many times its size; none
 * that makes sense is a hundredth of this. */
#define OWN_COMMAND_BYTES ((size_t)1 << 20)

/* Forwarded and not answered; QEMU stops reading much earlier. */
#define EXPECTED_MAX 64

/* A client that does not read loses events beyond this. */
#define EVENTS_MARK ((size_t)1 << 20)

/* A command that waits for its turn. */
struct qmp_command {
    struct qmp_command *next;
    struct text message;
    int fd;       /* owned; -1: none */
    bool fd_lost; /* one came, but did not get through */
    bool refused; /* `message` is what is to be said of it */
    size_t bytes; /* how much of command_bytes it is */
};

/* A reply that is to come from the emulator, and what is to be done with it. */
struct expected {
    struct expected *next;
    enum { REPLY_PLAIN, REPLY_CAPABILITIES, REPLY_COMMANDS, REPLY_SCHEMA } kind;
    bool asks_oob;  /* qmp_capabilities: it enables out-of-band commands */
    struct text id; /* of an out-of-band command, normalised; may be empty */
};

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
    struct link_owner owner;
    int64_t dialled_ms; /* the clock when the emulator was connected to, */
    unsigned redials;   /* and how often that was done again */

    struct side client, emulator;
    bool failed; /* memory ran out */
    bool human;
    struct rewrite_stream to_emulator, to_client; /* where human */

    bool greeted, negotiated, oob, events, busy; /* busy: the helper has a job of ours */
    bool starved;                                /* no whole message is left in client.in */

    int pending; /* the descriptor that came last and was not used; -1: none */
    bool pending_lost;
    struct parcel *parcel; /* what came from the emulator and goes with its next bytes */

    struct qmp_command *first_command, *last_command;
    size_t command_count, command_bytes;
    struct expected *first_expected, *last_expected; /* in their order */
    size_t expected_count;
    struct expected *out_of_band; /* in any */
    size_t out_of_band_count;

    struct text held;     /* our own, until the emulator's message is whole */
    struct text deferred; /* our replies to what was done before its turn */
    uint64_t lost;        /* events, since the last that was told */
};

/* command.c: deals with one thing from the client; false: there is nothing that could
 * be done now. */
bool command_take(struct qmp_link *link);
bool command_run(struct qmp_link *link);
void commands_free(struct qmp_link *link);

/* What is passed on from here to the emulator is a command: its reply will come. */
void reply_expect(struct qmp_link *link, const struct envelope *envelope, bool oob);

/* reply.c: deals with all that has come from the emulator. */
void reply_take_all(struct qmp_link *link);
void replies_free(struct qmp_link *link);

/* Our own replies and events. `id` is normalised JSON; NULL: none. */
void reply_errand(struct qmp_link *link, const struct errand *errand);
void reply_error(struct qmp_link *link, const char *id, const char *description);
void reply_message(struct qmp_link *link, const char *message);
