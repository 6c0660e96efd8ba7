/* SPDX-License-Identifier: MIT */
/* Events as entries of the journal, by its native protocol. */
#pragma once

#include "output/event.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* Ends the program where the journal is not there; `name` is argv[0]. */
void journal_open(const char *name, const char *path);
void journal_send(const struct told *told);
