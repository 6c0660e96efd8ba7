/* SPDX-License-Identifier: MIT */
/* The helper's sets and the emulator's: what one has and the other has not. */
#pragma once

#include "link-private.h"

/* Asks the helper whether its sets have changed. The command's fence is passed when that is
 * known, and mirror_is_true() when the emulator's sets are as the helper's. */
void mirror_fence(struct qmp_link *link, struct qmp_command *command);
bool mirror_is_true(const struct relay *relay);

/* Is there something that must be put to the emulator before any command? Where this link can
 * do so now, it does. */
bool mirror_has_work(struct qmp_link *link);

/* What the helper tells of its sets; and once more where that may not have been all. */
void mirror_event(struct relay *relay, const struct fdset_event *event);
void mirror_refresh(struct relay *relay);

/* Sees to it that opens of the sets that `text` names find the emulator's sets ready, and can
 * wait at the helper. */
void mirror_name_sets(struct relay *relay, struct span text);

/* Forgets a portal, which may be one that is just put into the emulator's sets. */
void mirror_forget(struct relay *relay, const struct known_portal *portal);

/* Takes a member out of the emulator's sets. */
void mirror_take_out(struct relay *relay, int set, int number);

/* An AddFds of our own begins; and ends, which `added` tells. */
void mirror_adding(struct relay *relay);
void mirror_added(struct relay *relay, bool added);

/* Removes a member at the helper. `done`, which may be NULL, is called later or at once. */
void mirror_remove(struct relay *relay, int set, uint32_t member, void (*done)(void *context),
                   void *context);

/* The link ends. */
void mirror_abandon(struct qmp_link *link);
