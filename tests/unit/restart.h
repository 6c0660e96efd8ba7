/* SPDX-License-Identifier: MIT */
/* A helper that is played by the test, listens at a path, goes, and comes again. */
#pragma once

#include "fake-helper.h"

/* Attaches by the path, and answers the Hello. begin_vmm() has it reconnect so. */
void begin(Fdset__V1__Role role);
void begin_vmm(const struct fdset_reconnect *reconnect);
void end(void);

/* After fake_die(), or stop_listening(). */
void listen_again(void);
void stop_listening(void);

/* The next connection, whose Hello has yet to be answered; and one that is answered. */
Request *accept_one(void);
void accept_role(Fdset__V1__Role role);

/* What the function that is told of the connection's state was told: U, D, G. */
extern char story[64];
void tell(void *context, enum fdset_link link, const char *text);

/* Plans, both with tell(). The second: one attempt, and no more for an hour. */
extern const struct fdset_reconnect eager, hopeless;

/* The callback of an open that was submitted, and what became of the last. */
void note(struct fdset_vmm *vmm, int fd, void *context);
extern int outcome;
