/* SPDX-License-Identifier: MIT */
/* A list: an emulator has hundreds at most. */
#include "portals.h"

#include <fcntl.h>
#include <stdlib.h>

struct known_portal *portal_note(struct known_portal **portals, int number, int set,
                                 uint32_t member, int flags) {
    struct known_portal *portal = calloc(1, sizeof(*portal));

    if (!portal)
        return NULL;
    *portal = (struct known_portal){
        .next = *portals, .number = number, .set = set, .member = member, .flags = flags};
    *portals = portal;
    return portal;
}

struct known_portal *portal_by_number(struct known_portal *portals, int number) {
    while (portals && portals->number != number)
        portals = portals->next;
    return portals;
}

struct known_portal *portal_by_member(struct known_portal *portals, uint32_t member) {
    while (portals && portals->member != member)
        portals = portals->next;
    return portals;
}

bool portal_serves(const struct known_portal *portals, int set, int flags) {
    const int matter = O_ACCMODE | O_DIRECT;

    for (; portals; portals = portals->next)
        if (portals->set == set && !portals->removed && portals->flags >= 0 &&
            (portals->flags & matter) == (flags & matter))
            return true;
    return false;
}

bool portals_hide(const struct known_portal *portals) {
    while (portals && !portals->hidden && !portals->removed)
        portals = portals->next;
    return portals;
}

void portal_forget(struct known_portal **portals, const struct known_portal *portal) {
    while (*portals != portal)
        portals = &(*portals)->next;
    *portals = portal->next;
    free((void *)portal);
}
