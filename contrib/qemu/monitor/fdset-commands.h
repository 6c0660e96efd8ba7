/* SPDX-License-Identifier: MIT */
/* The commands that the helper answers, with QEMU's names, replies and errors:
 * add-fd, remove-fd, query-fdsets; and those that QEMU does not have. */
#pragma once

#include <fdset/manager.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "text.h"

/* Such a command, on its way to the helper and back. */
struct errand {
    const struct fdset_command *command;
    struct fdset_manager *manager;
    void (*done)(struct errand *errand); /* called with what came of it */
    void *owner;                         /* for done(): whose it is, */
    uint64_t link;                       /* and who asked */
    char *id;                            /* normalised JSON of the command's id; NULL: none */

    /* The arguments; each is used by some. */
    int64_t set, member;
    bool has_set, has_member;
    bool sets_events, enable; /* whether the link is told of events from now on */
    char *opaque;             /* NULL: none */
    int fd;                   /* owned; -1: none */

    /* What lasts until the helper has answered. */
    struct fdset_member added;
    struct fdset_add add;
    struct fdset_filter filter;
    struct fdset_listing *listing;
    json_t *(*shape)(const struct fdset_listing *listing);

    json_t *result; /* NULL where it failed: */
    size_t size;
    char error[]; /* for people */
};

/* The command with this name, a JSON string; NULL: it is not one of these. */
const struct fdset_command *fdset_command_find(struct span name);

/* Does it take the descriptor that came with or before it? */
bool fdset_command_takes_descriptor(const struct fdset_command *command);

/* Room for an error of less than `size` bytes; NULL where memory ran out. */
struct errand *errand_new(const struct fdset_command *command, size_t size);

/* Returns false. */
bool errand_fail(struct errand *errand, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Reads the arguments (NULL: none were given). False with QEMU's words in `error`. */
bool errand_read(struct errand *errand, json_t *arguments);

/* Asks the helper; done() is called later. Returns false where there is nothing to wait for,
 * and done() is not called: it is done. */
bool errand_begin(struct errand *errand);

/* NULL is allowed. */
void errand_free(struct errand *errand);

/* The commands' names, to be listed by query-commands; NULL at the end. */
const char *fdset_command_name(size_t index);

/* What query-qmp-schema says of the command with this name: appends its entries, and those of
 * the types and events that belong to it, as they stand in a JSON array. */
void schema_append(const char *command, struct text *to);
