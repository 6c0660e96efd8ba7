/* SPDX-License-Identifier: MIT */
/* Requests in, replies out: decodes what a session received, checks that its
 * role may ask it, lets the model decide, and answers. */
#pragma once

#include "requests/state.h"

/* A packet of `length` bytes is in the inbox. Takes the descriptors, which are NULL where
 * none may come. Returns whether it was a Close. */
bool dispatch(struct service *service, struct session *session, size_t length,
              struct packet_descriptors *descriptors, bool truncated);

/* There are objects for the descriptors of another packet. */
bool dispatch_takes_descriptors(const struct service *service);
