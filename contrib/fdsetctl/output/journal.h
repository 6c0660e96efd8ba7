/* SPDX-License-Identifier: MIT */
/* Events as entries of the journal, by its native protocol. */
#pragma once

#include "output/event.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* Connects to the journal at `path`, or ends the program where it is not there. */
void journal_open(const char *path);
void journal_send(const struct told *told);
