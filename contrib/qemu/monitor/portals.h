/* SPDX-License-Identifier: MIT */
/* What is known of the portals that the emulator has in its sets. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct known_portal {
    struct known_portal *next;
    int number; /* in the emulator; -1: it is on its way there, or has been closed */
    int set;
    uint32_t member;  /* 0: the helper has none for it, or not yet */
    int flags;        /* F_GETFL's answer; -1: not known */
    bool hidden;      /* no command shows it: it stands for opens that wait, or match otherwise */
    bool removed;     /* the helper serves it no more, the emulator may list it */
    bool closed;      /* the emulator has let go of it */
    uint64_t leaving; /* the link whose remove-fd names it and is not answered yet; 0: none */
};

/* Notes one with these. NULL where memory ran out. */
struct known_portal *portal_note(struct known_portal **portals, int number, int set,
                                 uint32_t member, int flags);

struct known_portal *portal_by_number(struct known_portal *portals, int number);
struct known_portal *portal_by_member(struct known_portal *portals, uint32_t member);

/* Is there one that serves opens of `set` with these flags, as far as they matter to the
 * emulator's choice? */
bool portal_serves(const struct known_portal *portals, int set, int flags);

/* Is there one that a listing must not show? */
bool portals_hide(const struct known_portal *portals);

void portal_forget(struct known_portal **portals, const struct known_portal *portal);
