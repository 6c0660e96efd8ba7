/* SPDX-License-Identifier: MIT */
/* Which descriptors are portals, and what becomes of them. */
#include "portals.h"

#include "ask.h"
#include "attach.h"
#include "joint/portal.h"
#include "libc.h"
#include "marks.h"
#include "name.h"
#include "spawn.h"
#include "tell.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long one that is not bound yet is waited for: until the relay has read QEMU's reply. */
#define BINDING_MS 10000

static void tell(enum joint_kind kind, int number, const struct portal *portal) {
    struct joint_message message = {
        .kind = kind, .number = number, .set = portal->set, .member = portal->member};

    if (portal->hidden)
        strcpy(message.text, JOINT_HIDDEN);
    shim_tell(&message, NULL);
}

/* -------------------------------------------------- of the command line's */

/* $FDSET_PORTALS, "5=900 5=901": a duplicate of 5 is the portal 900, and the next one 901. */
#define MAX_FIRST 1024

static struct { int number, portal; } first[MAX_FIRST];
static size_t first_count;

__attribute__((constructor)) static void first_find(void) {
    const char *text = getenv("FDSET_PORTALS");
    int number, portal, length;

    for (;
         text && first_count < MAX_FIRST && sscanf(text, "%d=%d%n", &number, &portal, &length) == 2;
         text += length) {
        struct portal known;
        if (!portal_read(portal, &known))
            continue;
        first[first_count].number = number;
        first[first_count++].portal = portal;
        marks_set(number, MARK_PORTAL);
    }
}

/* The portal that is the next duplicate of `fd`, which QEMU has from its command line; or -1. */
static int first_take(int fd) {
    for (size_t i = 0; i < first_count; i++) {
        if (first[i].number != fd || first[i].portal < 0)
            continue;
        int portal = first[i].portal;
        first[i].portal = -1;
        return portal;
    }
    return -1;
}

/* It is closed, and others will have the number. Was it one? */
static bool first_end(int fd) {
    bool was = false;

    for (size_t i = 0; i < first_count; i++) {
        if (first[i].number != fd)
            continue;
        first[i].number = -1;
        was = true;
    }
    return was;
}

/* ----------------------------------------------------------------- of a set */

static bool is_portal(int fd, struct portal *portal) {
    return marks_have(fd, MARK_PORTAL) && portal_read(fd, portal);
}

void portals_received(int fd) {
    struct portal portal;

    if (!portal_read(fd, &portal))
        return;
    marks_set(fd, MARK_PORTAL);
    tell(JOINT_PORTAL_AT, fd, &portal);
}

bool portals_get_flags(int fd, int *result) {
    struct portal portal;

    if (!is_portal(fd, &portal))
        return false;
    *result = portal.flags;
    return true;
}

static int lease_open(const struct portal *portal, int lowest, bool close_on_exec) {
    struct set_path set = {.error = 0};
    int flags = portal->flags & ~(O_LARGEFILE | 0100000);

    snprintf(set.text, sizeof(set.text), SET_PATH_PREFIX "%d", portal->set);
    int fd = set_open(&set, flags | (close_on_exec ? O_CLOEXEC : 0));
    if (fd < 0 || fd >= lowest)
        return fd;
    int moved = fcntl(fd, close_on_exec ? F_DUPFD_CLOEXEC : F_DUPFD, lowest);
    close(fd);
    return moved;
}

static int member_make(int portal, const struct portal *known, int lowest, bool close_on_exec) {
    int fd = REAL(fcntl)(portal, close_on_exec ? F_DUPFD_CLOEXEC : F_DUPFD, lowest);

    REAL(close)(portal);
    if (fd >= 0) {
        marks_set(fd, MARK_PORTAL);
        tell(JOINT_PORTAL_AT, fd, known);
    }
    return fd;
}

bool portals_duplicate(int fd, int lowest, bool close_on_exec, int *result) {
    struct portal portal;

    if (!is_portal(fd, &portal))
        return false;
    int next = first_take(fd);
    if (next >= 0)
        shim_await_start(); /* then it is bound, and the relay is told whose place it takes */
    if (next >= 0 && portal_read(next, &portal)) {
        *result = member_make(next, &portal, lowest, close_on_exec);
        return true;
    }
    int error = portal_wait(fd, BINDING_MS, &portal);
    if (error < 0)
        errno = -error;
    *result = error < 0 ? -1 : lease_open(&portal, lowest, close_on_exec);
    return true;
}

void portals_copied(int fd, int copy) {
    if (copy >= 0 && copy != fd && marks_have(fd, MARK_PORTAL) && shim_is_owner())
        portals_received(copy);
}

void portals_end(int fd) {
    struct portal portal;

    if (!shim_is_owner() || !is_portal(fd, &portal))
        return;
    marks_clear(fd, MARK_PORTAL);
    if (!first_end(fd))
        tell(JOINT_PORTAL_CLOSED, fd, &portal);
}
