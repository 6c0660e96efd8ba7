/* SPDX-License-Identifier: MIT */
/* The work that the model has queued for its members. */
#pragma once

#include "settle/settle.h"

/* Begins with all of it: what may block goes to the settle threads, the rest is done. */
void work_begin(struct settle *settle, struct model *model);
