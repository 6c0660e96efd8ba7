/* SPDX-License-Identifier: MIT */
/* The references: the least that any server of descriptors can cost. A process
 * with one epoll, messages of fixed size, nothing to parse, no sandbox. Floor A
 * sends one descriptor with each answer, floor B several. And what it costs
 * without any server: open(2), F_DUPFD. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

struct floor {
    int socket;
    pid_t server;
};

/* The server answers with copies of `fd`, which it borrows. */
void floor_start(struct floor *floor, int fd);
void floor_stop(struct floor *floor);

/* As large as an Open, an Opened and a Close are. */
#define OPEN_BYTES   23
#define OPENED_BYTES 10
#define CLOSE_BYTES  5

/* One packet, with as little as can be done; borrows the descriptors. As sendmsg(2). */
ssize_t send_descriptors(int socket, const void *bytes, size_t length, const int *descriptors,
                         size_t count, int flags);

/* Asks for `number` descriptors in one packet, and receives them. */
void floor_ask(struct floor *floor, size_t number, int *descriptors);

/* Sends `depth` requests, then receives the answers, of one descriptor each. */
void floor_ask_pipelined(struct floor *floor, size_t depth, int *descriptors);

/* ------------------------------------------------------ for take_turns() */

struct contender;

/* Context: the floor. Number: descriptors a packet (the time is each one's), or the depth. */
void measure_floor(struct contender *contender, double *samples, size_t count);
void measure_floor_pipelined(struct contender *contender, double *samples, size_t count);

/* Context: struct chain. open(2) and close(2) of each file; the time is each one's. */
struct chain {
    char directory[64];
    size_t count;
    int *descriptors; /* of the files, O_RDWR */
};
void chain_make(struct chain *chain, size_t count);
void chain_remove(struct chain *chain);
void measure_open2(struct contender *contender, double *samples, size_t count);
void measure_dup(struct contender *contender, double *samples, size_t count);

/* Closes descriptors that were measured, none of them -1. */
void close_all(const int *descriptors, size_t count);
