/* SPDX-License-Identifier: MIT */
/* Private to confine/: what the stages share, and some of them. */
#pragma once

#include "confine.h"

/* What one stage must know of those before it. */
struct confinement {
    const struct confine_plan *plan;
    struct confine_report *report;
    bool lone_root;  /* uid 0 of a user namespace that has no other id */
    bool empty_root; /* no file can be named any more */

    /* Why the mounts are the host's, or 0: a namespace of our own has an empty root. */
    int root_error; /* -errno of root_call */
    const char *root_call;
};

/* A stage holds wholly if it returns 0 and said nothing. Otherwise it says
 * which by returning what one of these returns. `failed` is about `call`,
 * which gave -`error`, and says what can be done about it. */
typedef int stage_run(struct confinement *confinement, struct confine_stage *stage);

__attribute__((format(printf, 2, 3))) int stage_partly(struct confine_stage *stage,
                                                       const char *format, ...);
int stage_failed(struct confine_stage *stage, int error, const char *call, const char *advice);

/* A line about a stage that holds. */
__attribute__((format(printf, 2, 3))) void stage_detail(struct confine_stage *stage,
                                                        const char *format, ...);

/* Whether an error of a namespace or mount call (positive) means that kernel,
 * container or administrator do not let us, rather than that something broke. */
bool error_is_refusal(int error);

/* What descriptors there are, and how much more there may be. */
stage_run descriptors_stage, limits_stage;

/* What memory may become. The call's number is one for all architectures that the filter
 * knows, and libc's headers may be older. */
stage_run mseal_stage;
#define CALL_MSEAL 462

/* Namespaces of our own, and in them no file. */
stage_run namespaces_stage, root_stage;
