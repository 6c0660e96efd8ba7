/* SPDX-License-Identifier: MIT */
/* Several opens that are submitted, of the sets 1, 2, 3 and so on, and a helper that is
 * played by the test and receives them together. */
#pragma once

#include "fake-helper.h"

#define MOST_TOGETHER 700

/* What became of the open of each set, and as the how manieth of all. */
struct outcome {
    int count, fd, turn;
    char text[256];
};
extern struct outcome outcomes[MOST_TOGETHER];

/* The callback; `context` is an outcome. */
void note(struct fdset_vmm *vmm, int fd, void *context);

/* Forgets all outcomes, and attaches. */
void begin_all(void);

void submit(int number);
void submit_from_to(int first, int last);

/* What is received next must be an open of this set, or just those opens in a packet of
 * several. They return its serial. */
uint32_t receive_open(int number);
uint32_t receive_many(int first, int last);
void nothing_is_sent(void);

/* Submits sets 1 to `last`, refuses the first, and receives the packet of all others. */
uint32_t send_together(int last);

/* One result. */
struct answer {
    uint64_t lease; /* 0: */
    int error;      /* 0: neither */
    const char *text;
};

/* Announces a descriptor of /dev/null for each lease, and brings `short_by` fewer; less
 * than none are more, which are announced too. */
void answer_many(uint32_t serial, const struct answer *answers, size_t count, int short_by);

/* Dispatches once, which must give out so many; 0: without waiting. */
void dispatch(int count);

/* The one outcome of this set. An open is closed by this. */
void expect_lease(int number, uint64_t lease);
void expect_failed(int number, int error, const char *text);
