/* SPDX-License-Identifier: MIT */
/* add-fd: the emulator gets a portal, the helper the descriptor. remove-fd: what the emulator
 * has removed is removed at the helper, and closed there before the answer. */
#include "members.h"

#include <errno.h>
#include <fcntl.h>
#include <fdset/limits.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aside.h"
#include "fdset-json.h"
#include "joint/portal.h"
#include "mirror.h"

/* An add-fd, on its way to the emulator and the helper. */
struct add_command {
    struct relay *relay;
    uint64_t link; /* whose client waits for the answer */
    int fd;        /* what came with it, */
    int portal;    /* and a copy of what the emulator got for it; owned, -1: none */
    int flags;     /* F_GETFL of the first */
    uint64_t closed_before;
    struct fdset_member member;
    struct fdset_add add;
    char *opaque;
    bool asked, done; /* the helper was; and has answered: */
    bool abandoned;   /* whatever it says, the member is not wanted */
    char *error;      /* why it has no such member; NULL: it has */
    int number;       /* the emulator's, once it has added it; -1 */
    struct text reply;
    char *id;
};

static struct add_command *adding_new(struct qmp_link *link, int *fd, json_t *json) {
    struct add_command *adding = calloc(1, sizeof(*adding));
    const char *opaque =
        json_string_value(json_object_get(json_object_get(json, "arguments"), "opaque"));

    if (!adding) {
        link->failed = true;
        return NULL;
    }
    adding->relay = link->relay;
    adding->link = link->number;
    adding->fd = *fd;
    *fd = -1;
    adding->portal = adding->number = -1;
    adding->opaque = opaque ? strdup(opaque) : NULL;
    link->failed |= opaque && !adding->opaque;
    return adding;
}

static void adding_free(struct add_command *adding) {
    if (adding->fd >= 0)
        aside_close(&adding->fd, 1);
    if (adding->portal >= 0)
        close(adding->portal);
    text_free(&adding->reply);
    free(adding->opaque);
    free(adding->error);
    free(adding->id);
    free(adding);
}

void adding_abandon(struct add_command *adding) {
    if (adding->asked && !adding->done) {
        adding->abandoned = true;
        return;
    }
    if (adding->done && !adding->error) {
        struct known_portal *portal = portal_by_member(adding->relay->portals, adding->member.id);
        if (portal)
            mirror_forget(adding->relay, portal);
        mirror_remove(adding->relay, adding->add.set, adding->member.id, NULL, NULL);
    }
    adding_free(adding);
}

/* Answers the client, if it is still there. */
static void adding_finish(struct add_command *adding, struct qmp_link *link) {
    /* Before the answer: what was passed is the helper's alone then. */
    if (adding->fd >= 0)
        aside_close(&adding->fd, 1);
    adding->fd = -1;
    if (link && adding->error)
        reply_error(link, adding->id, adding->error);
    else if (link)
        reply_own(link, text_span(&adding->reply));
    if (link) {
        link->adding = NULL;
        link->busy = false;
    }
    adding_free(adding);
}

static void undone(struct qmp_link *link, struct span message, const struct envelope *reply) {
    adding_finish(link->adding, link);
}

/* The emulator has a portal, and no member stands behind it. */
static void adding_undo(struct add_command *adding, struct qmp_link *link) {
    struct known_portal *portal = portal_by_number(adding->relay->portals, adding->number);
    char text[160];

    if (adding->portal >= 0)
        portal_bind(adding->portal, adding->add.set, 0); /* who waits for it waits no longer */
    if (portal)
        portal->removed = true;
    if (!link) {
        mirror_take_out(adding->relay, adding->add.set, adding->number);
        adding_finish(adding, NULL);
        return;
    }
    snprintf(text, sizeof(text),
             "{\"execute\": \"remove-fd\", \"arguments\": {\"fdset-id\": %d, \"fd\": %d}, "
             "\"id\": " OWN_ID "}\n",
             adding->add.set, adding->number);
    outgoing_put(&link->emulator.out, (struct span){text, strlen(text)}, -1);
    reply_expect(link, undone, strdup(OWN_ID));
}

/* Both have said what they say. */
static void adding_settle(struct add_command *adding) {
    struct relay *relay = adding->relay;
    struct qmp_link *link = link_find(relay, adding->link);
    struct known_portal *portal = portal_by_number(relay->portals, adding->number);

    if (adding->error) {
        adding_undo(adding, link);
    } else {
        portal_bind(adding->portal, adding->add.set, adding->member.id);
        if (portal && portal->set == adding->add.set)
            portal->member = adding->member.id;
        else /* it was removed again meanwhile */
            mirror_remove(relay, adding->add.set, adding->member.id, NULL, NULL);
        adding_finish(adding, link);
    }
    if (link)
        relay->pump(link);
}

static void adding_done(struct add_command *adding, int result) {
    adding->error = result < 0 ? strdup(fdset_error_text()) : NULL;
    adding->done = true;
    /* It is to come into the emulator by the command, and by nothing else. */
    if (adding->number < 0 && !adding->error)
        portal_note(&adding->relay->portals, -1, adding->add.set, adding->member.id, -1);
    struct qmp_link *link = link_find(adding->relay, adding->link);
    if (adding->abandoned)
        adding_abandon(adding);
    else if (adding->number >= 0)
        adding_settle(adding);
    else if (link)
        adding->relay->pump(link);
}

/* In QEMU anything may be in any set, and what is there stays until it is removed. */
static void adding_ask(struct add_command *adding, fdset_done_function answered) {
    adding->asked = true;
    adding->member = (struct fdset_member){.fd = adding->fd, .opaque = adding->opaque};
    adding->add.mixed = true;
    adding->add.members = &adding->member;
    adding->add.member_count = 1;
    mirror_adding(adding->relay);
    int error = fdset_add_submit(adding->relay->manager, &adding->add, 1, answered, adding);
    if (error) {
        mirror_added(adding->relay, false);
        adding_done(adding, error);
    }
}

static void added(struct fdset_manager *manager, int result, void *context) {
    struct add_command *adding = context;

    mirror_added(adding->relay, result >= 0);
    adding_done(adding, result);
}

static void added_to_keep(struct fdset_manager *manager, int result, void *context) {
    struct add_command *adding = context;

    if (result != -EINVAL) {
        added(manager, result, adding);
        return;
    }
    /* It may be somebody else's set, who has chosen another lifetime. */
    mirror_added(adding->relay, false);
    adding->add.lifetime = FDSET_LIFETIME_DEFAULT;
    adding_ask(adding, added);
}

static void adding_ask_for(struct add_command *adding, int set) {
    adding->add = (struct fdset_add){.set = set, .lifetime = FDSET_KEEP};
    adding_ask(adding, added_to_keep);
}

/* ------------------------------------------------------------------ add-fd */

static void answered_add(struct qmp_link *link, struct span message, const struct envelope *reply) {
    json_t *result = reply->returned.bytes ? json_read(reply->returned) : NULL;
    json_int_t number = json_integer_value(json_object_get(result, "fd"));
    json_int_t set = json_integer_value(json_object_get(result, "fdset-id"));
    struct add_command *adding = link->adding;
    int none = -1;

    json_decref(result);
    if (!result) { /* QEMU has said why not */
        bool is_left =
            adding && adding->portal >= 0 && link->relay->unknown_closed <= adding->closed_before;
        reply_pass(link, message);
        link->busy = false;
        link->adding = NULL;
        link->leftover |= is_left;
        if (is_left)
            command_give_back(link, &adding->fd);
        if (adding)
            adding_abandon(adding);
        return;
    }
    if (!adding && !(adding = link->adding = adding_new(link, &none, NULL)))
        return;
    adding->number = (int)number;
    adding->id = id_text(reply->id);
    text_append_span(&adding->reply, message);
    struct known_portal *portal =
        adding->done ? portal_by_member(link->relay->portals, adding->member.id) : NULL;
    if (!portal)
        portal = portal_note(&link->relay->portals, -1, (int)set, 0, adding->flags);
    if (portal)
        portal->number = adding->number;
    link->failed |= adding->reply.failed || !portal;
    if (adding->portal < 0)
        adding->error = strdup("No file descriptor supplied via SCM_RIGHTS");
    else if (set > INT_MAX)
        adding->error = strdup("Parameter 'fdset-id' expects a value of at most 2147483647");
    if (adding->error)
        adding->add.set = (int)set;
    if (adding->error || adding->done)
        adding_settle(adding);
    else
        adding_ask_for(adding, (int)set);
}

/* QEMU keeps a label of any length, the helper has taken its memory beforehand. */
static bool label_is_refused(struct qmp_link *link, const char *id, const json_t *json) {
    const json_t *value = json_object_get(json_object_get(json, "arguments"), "opaque");
    const char *label = json_string_value(value);
    char why[100] = "";

    if (label && strlen(label) != json_string_length(value))
        snprintf(why, sizeof(why), "Parameter 'opaque' must not contain NUL");
    else if (label && strlen(label) > FDSET_MAX_OPAQUE_BYTES)
        snprintf(why, sizeof(why), "Parameter 'opaque' has %zu bytes, and may have %d",
                 strlen(label), FDSET_MAX_OPAQUE_BYTES);
    if (*why)
        reply_error(link, id, why);
    return *why;
}

/* Answers a command that goes no further. */
static bool is_refused(struct qmp_link *link, struct qmp_command *command, json_t *json) {
    if (command->fd < 0 && command->fd_lost)
        reply_error(link, command->id,
                    "The file descriptor was lost on its way: fdset-qemu, or this user, may have "
                    "too many open ('ulimit -Hn' is the limit)");
    else if (command->adding && command->adding->error)
        reply_error(link, command->id, command->adding->error);
    else
        return label_is_refused(link, command->id, json);
    return true;
}

/* Makes the portal; returns the emulator's copy, or -1. */
static int portal_for(struct add_command *adding, const struct qmp_link *link) {
    adding->flags = fcntl(adding->fd, F_GETFL);
    adding->portal = portal_make(adding->flags, false);
    adding->closed_before = link->relay->unknown_closed + link->leftover;
    if (adding->portal >= 0 && adding->done)
        portal_bind(adding->portal, adding->add.set, adding->member.id);
    return fcntl(adding->portal, F_DUPFD_CLOEXEC, 0);
}

bool members_add(struct qmp_link *link, struct qmp_command *command, json_t *json) {
    struct add_command *adding = command->adding;
    int portal = -1;

    if (adding && !adding->done)
        return false;
    if (is_refused(link, command, json))
        return true;
    if (!adding && command->fd >= 0 && !(adding = adding_new(link, &command->fd, json)))
        return true;
    command->adding = NULL;
    link->adding = adding;
    if (adding && (portal = portal_for(adding, link)) < 0) {
        reply_error(link, command->id, "There is no memory for a file descriptor's portal");
        link->adding = NULL;
        adding_abandon(adding);
        return true;
    }
    link->busy = true;
    command_forward(link, command, portal, answered_add);
    return true;
}

/* What QEMU will refuse is removed again. */
void members_add_early(struct qmp_link *link, struct qmp_command *command) {
    json_t *json = command->fd >= 0 ? json_read(text_span(&command->message)) : NULL;
    const json_t *set = json_object_get(json_object_get(json, "arguments"), "fdset-id");
    json_int_t number = json_integer_value(set);

    if (json_is_integer(set) && number >= 0 && number <= INT_MAX &&
        (command->adding = adding_new(link, &command->fd, json)))
        adding_ask_for(command->adding, (int)number);
    json_decref(json);
}

/* --------------------------------------------------------------- remove-fd */

/* A remove-fd whose members the helper is about to close. */
struct remove_command {
    struct relay *relay;
    uint64_t link;
    size_t under_way;
    struct text reply;
};

static void removed(void *context) {
    struct remove_command *removing = context;

    if (--removing->under_way > 0)
        return;
    struct qmp_link *link = link_find(removing->relay, removing->link);
    if (link) {
        link->busy = false;
        reply_own(link, text_span(&removing->reply));
        removing->relay->pump(link);
    }
    text_free(&removing->reply);
    free(removing);
}

/* Those that were about to leave have done so, or have not. */
static void portals_leave(struct relay *relay, uint64_t link, struct remove_command *removing) {
    struct known_portal *portal = relay->portals, *next;

    for (; portal; portal = next) {
        next = portal->next;
        if (portal->leaving != link)
            continue;
        portal->leaving = 0;
        if (portal->member && (removing || portal->closed)) {
            if (removing)
                removing->under_way++;
            mirror_remove(relay, portal->set, portal->member, removing ? removed : NULL, removing);
        }
        portal->removed |= removing != NULL;
        if (portal->closed)
            mirror_forget(relay, portal);
    }
}

static void answered_remove(struct qmp_link *link, struct span message,
                            const struct envelope *reply) {
    struct remove_command *removing = reply->returned.bytes ? calloc(1, sizeof(*removing)) : NULL;

    if (!removing) {
        portals_leave(link->relay, link->number, NULL);
        link->busy = false;
        reply_pass(link, message);
        return;
    }
    *removing = (struct remove_command){.relay = link->relay, .link = link->number, .under_way = 1};
    text_append_span(&removing->reply, message);
    link->failed |= removing->reply.failed;
    portals_leave(link->relay, link->number, removing);
    removed(removing);
}

bool members_remove(struct qmp_link *link, struct qmp_command *command, json_t *json) {
    const json_t *arguments = json_object_get(json, "arguments");
    const json_t *set = json_object_get(arguments, "fdset-id");
    const json_t *number = json_object_get(arguments, "fd");

    for (struct known_portal *portal = link->relay->portals; portal; portal = portal->next)
        if (json_is_integer(set) && portal->set == json_integer_value(set) && !portal->removed &&
            (!number || portal->number == json_integer_value(number)))
            portal->leaving = link->number;
    link->busy = true;
    command_forward(link, command, -1, answered_remove);
    return true;
}

/* --------------------------------------------------------------- both ends */

void members_at(struct relay *relay, int number, int set, uint32_t member, bool hidden) {
    struct known_portal *portal = relay->portals;

    if (!member && !hidden)
        return; /* its add-fd is not answered yet */

    while (portal && !(portal->number < 0 && !portal->closed && portal->set == set &&
                       portal->member == member))
        portal = portal->next;
    if (!portal && (portal = portal_note(&relay->portals, number, set, member, -1)))
        portal->hidden = hidden;
    if (portal)
        portal->number = number;
}

void members_closed(struct relay *relay, int number, int set, uint32_t member) {
    struct known_portal *portal = portal_by_number(relay->portals, number);

    if (!portal && member)
        portal = portal_by_member(relay->portals, member);
    if (!portal) {
        relay->unknown_closed++;
        return;
    }
    portal->closed = true;
    portal->number = -1;
    if (portal->leaving)
        return;
    if (portal->member && !portal->removed)
        mirror_remove(relay, portal->set, portal->member, NULL, NULL);
    mirror_forget(relay, portal);
}

void members_abandon(struct qmp_link *link) {
    portals_leave(link->relay, link->number, NULL);
    if (link->adding && link->adding->number < 0)
        adding_abandon(link->adding);
    else if (link->adding && link->adding->error)
        adding_undo(link->adding, NULL);
    /* Or the helper is about to answer. */
}

/* ------------------------------------------------------------ query-fdsets */

static bool is_hidden(const struct relay *relay, const json_t *member) {
    int number = (int)json_integer_value(json_object_get(member, "fd"));
    const struct known_portal *portal = portal_by_number(relay->portals, number);

    return portal && (portal->hidden || portal->removed);
}

/* False where nothing is left. */
static bool set_filter(const struct relay *relay, json_t *set) {
    json_t *members = json_object_get(set, "fds");
    size_t before = json_array_size(members);

    for (size_t i = before; i-- > 0;)
        if (is_hidden(relay, json_array_get(members, i)))
            json_array_remove(members, i);
    return before == 0 || json_array_size(members) > 0;
}

static void answered_query(struct qmp_link *link, struct span message,
                           const struct envelope *reply) {
    bool filter = reply->returned.bytes && portals_hide(link->relay->portals);
    json_t *sets = filter ? json_read(reply->returned) : NULL;

    for (size_t i = json_array_size(sets); i-- > 0;)
        if (!set_filter(link->relay, json_array_get(sets, i)))
            json_array_remove(sets, i);
    char *text = sets ? json_dumps(sets, JSON_ENSURE_ASCII) : NULL;
    if (text)
        reply_replace(link, message, reply->returned, (struct span){text, strlen(text)});
    else
        reply_pass(link, message);
    free(text);
    json_decref(sets);
}

bool members_query(struct qmp_link *link, struct qmp_command *command, json_t *json) {
    command_forward(link, command, -1, answered_query);
    return true;
}
