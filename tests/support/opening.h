/* SPDX-License-Identifier: MIT */
/* What a VMM asks for: to open, close, hold and look. */
#pragma once

#include "client.h"

/* What came of one open. */
struct opened {
    int fd; /* kept by the harness until the test's end; -1 if refused */
    uint64_t lease, member;
    bool truncate;
    int code, error; /* 0 if opened */
    char text[512];
};

/* Why the last open that was refused was refused, for messages. */
extern char client_last_refusal[512];

struct opened client_open(struct client *client, const char *path, int flags);
struct opened client_open_set(struct client *client, int set, int flags);

/* Both halves of an open; the second sends one that waits. */
uint32_t client_send_open(struct client *client, const char *path, int flags);
uint32_t client_send_patient_open(struct client *client, const char *path, int flags,
                                  uint32_t wait_ms);
struct opened client_opened(struct client *client, uint32_t serial);

struct wanted {
    const char *path;
    int flags;
};
void client_open_many(struct client *client, const struct wanted *wanted, size_t count,
                      struct opened *results);

/* An OpenMany of set 2, so many times, packed into `bytes`. Returns the length. */
size_t pack_open_many(uint8_t *bytes, uint32_t serial, size_t opens);

/* Sends the same packet without ever reading, until the socket takes no more.
 * Returns how many it took. */
size_t client_flood(struct client *client, const uint8_t *bytes, size_t length);

/* Close of any lease ids; and of one lease with its descriptor. */
void client_close_leases(struct client *client, const uint64_t *leases, size_t count);
void client_close(struct client *client, struct opened *opened);

/* As the helper's longest: longer than any test has patience for. */
#define WAIT_FOREVER_MS 3600000

/* An open that will wait; client_opened() has its outcome. Returns when the
 * helper has got it, so that what others do next comes after. */
uint32_t client_begin_open(struct client *client, const char *path, int flags, uint32_t wait_ms);

/* The outcome of whichever open is answered next. */
struct opened client_next_opened(struct client *client, uint32_t *serial);

Reply *client_hold(struct client *client, const char *path);
Reply *client_unhold(struct client *client, const char *path);

Reply *client_look(struct client *client, const char *path);
