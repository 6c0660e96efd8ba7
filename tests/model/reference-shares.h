/* SPDX-License-Identifier: MIT */
/* What each VM may have of what the helper has in all, as fdset-helper(8) says under --limit:
 * there are two endpoints, that of the VMM from birth and that of all others. */
#pragma once

#include "reference.h"

enum { REF_BIRTH, REF_OTHERS, REF_ENDPOINTS };

/* The client's endpoint may have one more. */
bool ref_may_lease(const struct reference *ref, int client);
bool ref_may_wait(const struct reference *ref, int client);
bool ref_may_hold(const struct reference *ref, int client);

/* One more may connect by path. */
bool ref_may_connect(const struct reference *ref, int role);
