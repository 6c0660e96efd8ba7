/* SPDX-License-Identifier: MIT */
/* Lists the helper's sets where something has changed, and puts into the emulator's what is
 * missing there: portals, by commands of the relay's own, whose replies nobody sees. */
#include "mirror.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/say.h"
#include "fdset-json.h"
#include "joint/portal.h"

struct injection {
    struct injection *next;
    int set, number; /* which is to be removed; -1: this is to be added: */
    uint32_t member; /* 0: a hidden one */
    int flags;
    char *opaque;
    struct known_portal *portal;
};

static void injection_free(struct injection *injection) {
    if (injection)
        free(injection->opaque);
    free(injection);
}

/* Where memory runs out, it is tried again with the next change. */
static void inject(struct relay *relay, int set, int number, uint32_t member, int flags,
                   const char *opaque) {
    struct injection *injection = calloc(1, sizeof(*injection)), **last = &relay->mirror.first;

    if (!injection)
        return;
    *injection = (struct injection){
        .set = set, .number = number, .member = member, .flags = flags & ~O_CLOEXEC};
    injection->opaque = opaque ? strdup(opaque) : NULL;
    while (*last)
        last = &(*last)->next;
    *last = injection;
}

void mirror_take_out(struct relay *relay, int set, int number) {
    relay->mirror.stale = true;
    mirror_refresh(relay); /* after which all links are asked to do it */
    inject(relay, set, number, 0, 0, NULL);
}

void mirror_event(struct relay *relay, const struct fdset_event *event) {
    const struct known_portal *portal = portal_by_member(relay->portals, event->member);
    bool is_new = event->kind == FDSET_EVENT_ADDED && !portal;
    bool is_gone = event->kind == FDSET_EVENT_REMOVED && portal && !portal->removed;

    relay->mirror.stale |= is_new || is_gone || event->lost > 0;
    mirror_refresh(relay);
}

static void pump_all(struct relay *relay) {
    struct qmp_link *link = relay->links, *next;

    for (; link; link = next) {
        next = link->next;
        relay->pump(link);
    }
}

/* --------------------------------------------------------------- injecting */

static void mirror_end(struct mirror *mirror) {
    struct injection *next;

    mirror->over = true;
    for (; mirror->first; mirror->first = next) {
        next = mirror->first->next;
        injection_free(mirror->first);
    }
}

static void injected(struct qmp_link *link, struct span message, const struct envelope *reply) {
    struct mirror *mirror = &link->relay->mirror;
    struct injection *injection = mirror->in_flight;
    json_t *result = reply->returned.bytes ? json_read(reply->returned) : NULL;

    mirror->in_flight = NULL;
    mirror->carrier = NULL;
    link->busy = false;
    if (injection->portal && result)
        injection->portal->number = (int)json_integer_value(json_object_get(result, "fd"));
    else if (span_contains(reply->error, "\"CommandNotFound\""))
        mirror_end(mirror);     /* qemu-storage-daemon has no sets */
    else if (injection->portal) /* it stays noted, and is not tried again */
        complain("the emulator does not take a member of set %d: %.*s", injection->set,
                 (int)message.length, message.bytes);
    json_decref(result);
    injection_free(injection);
    mirror_refresh(link->relay);
    if (!mirror->first)
        pump_all(link->relay);
}

static json_t *arguments_json(const struct injection *injection) {
    json_t *arguments = json_pack("{s:i}", "fdset-id", injection->set);

    if (injection->number >= 0)
        json_object_set_new(arguments, "fd", json_integer(injection->number));
    if (injection->opaque)
        json_object_set_new(arguments, "opaque", text_json(injection->opaque));
    return arguments;
}

/* The portal that is to be added; -1 where it cannot be made. */
static int portal_for(struct relay *relay, struct injection *injection) {
    bool hidden = injection->member == 0;
    int portal = portal_make(injection->flags, hidden);

    if (portal < 0)
        return -1;
    injection->portal =
        portal_note(&relay->portals, -1, injection->set, injection->member, injection->flags);
    if (injection->portal && portal_bind(portal, injection->set, injection->member) == 0) {
        injection->portal->hidden = hidden;
        return portal;
    }
    close(portal);
    return -1;
}

/* Puts the first to the emulator. */
static void inject_first(struct qmp_link *link) {
    struct mirror *mirror = &link->relay->mirror;
    struct injection *injection = mirror->first;
    bool adds = injection->number < 0;
    int portal = adds ? portal_for(link->relay, injection) : -1;

    mirror->first = injection->next;
    json_t *json =
        json_pack("{s:s, s:o, s:s}", "execute", adds ? "add-fd" : "remove-fd", "arguments",
                  arguments_json(injection), "id", "fdset-qemu"); /* OWN_ID */
    char *text = json_dumps(json, JSON_ENSURE_ASCII);
    json_decref(json);
    if (!text || (adds && portal < 0)) {
        complain("a member of set %d cannot be passed on to the emulator", injection->set);
        injection_free(injection);
        free(text);
        return;
    }
    mirror->in_flight = injection;
    mirror->carrier = link;
    link->busy = true;
    link->leftover &= !adds;
    outgoing_put(&link->emulator.out, (struct span){text, strlen(text)}, portal);
    outgoing_put(&link->emulator.out, SPAN("\n"), -1);
    reply_expect(link, injected, strdup(OWN_ID));
    free(text);
}

/* By a socket of the network QEMU takes no descriptors; and where the client does not read, its
 * replies may not be read either. */
static bool is_carrier(const struct qmp_link *link) {
    bool reads = link->client.out.length < OUTGOING_MARK || link->relay->mirror.carrier == link;
    return link->negotiated && link->takes_descriptors && reads;
}

/* Else nobody can put anything to the emulator, which may still read its command line. */
static bool has_carrier(const struct relay *relay) {
    const struct qmp_link *link = relay->links;

    while (link && !is_carrier(link))
        link = link->next;
    return link;
}

void mirror_forget(struct relay *relay, const struct known_portal *portal) {
    struct injection *injection = relay->mirror.in_flight;

    if (injection && injection->portal == portal)
        injection->portal = NULL;
    portal_forget(&relay->portals, portal);
}

bool mirror_has_work(struct qmp_link *link) {
    struct mirror *mirror = &link->relay->mirror;
    bool is_idle = is_carrier(link) && !link->busy && link->expected == 0;

    while (mirror->first && !mirror->in_flight && is_idle)
        inject_first(link);
    return (mirror->first || mirror->in_flight) && has_carrier(link->relay);
}

void mirror_abandon(struct qmp_link *link) {
    struct mirror *mirror = &link->relay->mirror;
    struct injection *injection = mirror->in_flight;

    if (mirror->carrier != link)
        return;
    /* The emulator may have it nevertheless: then the joint has told its number. */
    if (injection->portal && injection->portal->number < 0)
        portal_forget(&link->relay->portals, injection->portal);
    injection_free(injection);
    mirror->in_flight = NULL;
    mirror->carrier = NULL;
    mirror->stale = true;
}

/* ------------------------------------------------------------ own changes */

struct removal {
    struct relay *relay;
    void (*done)(void *context);
    void *context;
};

static void removed(struct fdset_manager *manager, int result, void *context) {
    struct removal *removal = context;

    removal->relay->mirror.changes++;
    removal->relay->mirror.removed += result > 0 ? (uint64_t)result : 0;
    if (removal->done)
        removal->done(removal->context);
    free(removal);
}

void mirror_remove(struct relay *relay, int set, uint32_t member, void (*done)(void *context),
                   void *context) {
    struct removal *removal = malloc(sizeof(*removal));

    relay->mirror.changes++;
    if (removal)
        *removal = (struct removal){relay, done, context};
    if (!removal || fdset_remove_submit(relay->manager, set, member, FDSET_REMOVE_WAIT_MS, NULL,
                                        removed, removal) < 0) {
        free(removal);
        if (done)
            done(context);
    }
}

void mirror_adding(struct relay *relay) {
    relay->mirror.adding++;
}

void mirror_added(struct relay *relay, bool added) {
    struct mirror *mirror = &relay->mirror;

    mirror->adding--;
    mirror->changes++;
    mirror->added += added;
    if (mirror->stale)
        mirror_refresh(relay);
}

/* --------------------------------------------------------------- comparing */

struct listing {
    struct relay *relay;
    struct fdset_filter filter;
    struct fdset_listing *sets;
    uint64_t changes; /* when it was asked for */
    uint64_t link;    /* whose command waits for it; 0: none */
};

static bool is_served(const struct fdset_member_info *member) {
    return member->state == FDSET_MEMBER_LISTED || member->state == FDSET_MEMBER_SETTLING;
}

/* What is served of a set, and is not in the emulator's. */
static void set_put(struct relay *relay, const struct fdset_info *set) {
    for (size_t i = 0; i < set->member_count; i++) {
        const struct fdset_member_info *member = &set->members[i];
        struct known_portal *portal = portal_by_member(relay->portals, member->member);
        if (!is_served(member))
            continue;
        if (portal)
            portal->flags = member->flags;
        else
            inject(relay, set->set, -1, member->member, member->flags,
                   member->opaque ? member->opaque : UNLABELLED);
        if (member->serves_read_only && !portal_serves(relay->portals, set->set, O_RDONLY))
            inject(relay, set->set, -1, 0, O_RDONLY, NULL);
    }
}

static bool is_listed(const struct fdset_listing *sets, uint32_t member) {
    for (size_t s = 0; s < sets->count; s++)
        for (size_t i = 0; i < sets->sets[s].member_count; i++)
            if (sets->sets[s].members[i].member == member)
                return is_served(&sets->sets[s].members[i]);
    return false;
}

static void compare(struct relay *relay, const struct fdset_listing *sets) {
    struct known_portal *portal = relay->portals, *next;

    for (; portal; portal = next) {
        next = portal->next;
        if (!portal->member || portal->removed || portal->leaving ||
            is_listed(sets, portal->member))
            continue;
        portal->removed = true;
        if (portal->number >= 0)
            inject(relay, portal->set, portal->number, 0, 0, NULL);
        else
            mirror_forget(relay, portal);
    }
    for (size_t i = 0; i < sets->count; i++)
        set_put(relay, &sets->sets[i]);
}

static void listed(struct fdset_manager *manager, int result, void *context) {
    struct listing *listing = context;
    struct relay *relay = listing->relay;
    struct mirror *mirror = &relay->mirror;

    mirror->asking = false;
    mirror->over |= result < 0;
    if (result == 0 && listing->changes == mirror->changes && mirror->adding == 0) {
        mirror->stale = false;
        mirror->added = listing->sets->totals.added;
        mirror->removed = listing->sets->totals.removed;
        compare(relay, listing->sets);
    }
    if (result == 0)
        fdset_listing_free(listing->sets);
    free(listing);
    mirror_refresh(relay);
    pump_all(relay);
}

static int listing_ask(struct relay *relay, struct listing *what, fdset_done_function done) {
    struct listing *listing = malloc(sizeof(*listing));

    if (!listing)
        return -1;
    *listing = *what;
    int error = fdset_query_submit(relay->manager, &listing->filter, &listing->sets, done, listing);
    if (error)
        free(listing);
    return error;
}

void mirror_refresh(struct relay *relay) {
    struct mirror *mirror = &relay->mirror;
    struct listing all = {.relay = relay, .changes = mirror->changes};

    if (!has_carrier(relay) || !mirror->stale || mirror->asking || mirror->over ||
        mirror->adding > 0 || mirror->first || mirror->in_flight)
        return;
    mirror->asking = true;
    if (listing_ask(relay, &all, listed) < 0) {
        mirror->asking = false;
        mirror->over = true;
    }
}

bool mirror_is_true(const struct relay *relay) {
    const struct mirror *mirror = &relay->mirror;
    bool is_true = (!mirror->stale || mirror->over) && !mirror->first && !mirror->in_flight;

    return is_true || !has_carrier(relay);
}

/* ------------------------------------------------------------------- fences */

static void fence_pass(struct relay *relay, uint64_t number) {
    struct qmp_link *link = link_find(relay, number);

    if (!link)
        return;
    if (link->first_command)
        link->first_command->fence = FENCE_PASSED;
    relay->pump(link);
}

static void totals_told(struct fdset_manager *manager, int result, void *context) {
    struct listing *listing = context;
    struct relay *relay = listing->relay;
    uint64_t number = listing->link;

    if (result == 0) {
        const struct fdset_totals *totals = &listing->sets->totals;
        relay->mirror.stale |=
            totals->added != relay->mirror.added || totals->removed != relay->mirror.removed;
        fdset_listing_free(listing->sets);
    }
    relay->mirror.over |= result < 0;
    free(listing);
    mirror_refresh(relay);
    fence_pass(relay, number);
}

void mirror_fence(struct qmp_link *link, struct qmp_command *command) {
    /* Nobody has such a label: no set is listed, only the totals are. */
    struct listing totals = {.relay = link->relay, .link = link->number, .filter.owner = "\n"};

    command->fence = FENCE_ASKED;
    if (link->relay->mirror.over || listing_ask(link->relay, &totals, totals_told) < 0)
        command->fence = FENCE_PASSED;
}

/* ------------------------------------------------------------ hidden ones */

/* QEMU takes the newest that fits, and up to 9.0 O_DIRECT does not matter to it: the plain ones
 * come last. */
static void hidden_put(struct relay *relay, int set) {
    static const int modes[] = {O_RDONLY | O_DIRECT, O_RDWR | O_DIRECT, O_RDONLY, O_RDWR};

    for (const struct injection *injection = relay->mirror.first; injection;
         injection = injection->next)
        if (injection->set == set)
            return; /* it has been named before */
    for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
        if (!portal_serves(relay->portals, set, modes[i]))
            inject(relay, set, -1, 0, modes[i], NULL);
}

/* The set that is named at the head of `rest`, after "fdset"; -1: none is. */
static int set_named(struct span rest) {
    int64_t set = -1;
    size_t i = 0;

    while (i < rest.length && rest.bytes[i] == '\\')
        i++;
    if (i == rest.length || rest.bytes[i++] != '/')
        return -1;
    for (; i < rest.length && rest.bytes[i] >= '0' && rest.bytes[i] <= '9' && set <= INT32_MAX; i++)
        set = (set < 0 ? 0 : set * 10) + rest.bytes[i] - '0';
    return set <= INT32_MAX ? (int)set : -1;
}

void mirror_name_sets(struct relay *relay, struct span text) {
    const char *end = text.bytes + text.length, *at = text.bytes;

    while ((at = memmem(at, (size_t)(end - at), "fdset", 5))) {
        at += 5;
        int set = set_named((struct span){at, (size_t)(end - at)});
        if (set >= 0)
            hidden_put(relay, set);
    }
}
