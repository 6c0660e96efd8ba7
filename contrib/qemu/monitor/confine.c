/* SPDX-License-Identifier: MIT */
/* The helper's stages, with a table of rules of the relay's own: see rules.c. */
#include "confine.h"

#include <jansson.h>
#include <linux/filter.h>
#include <string.h>

#include "aside.h"
#include "common/say.h"
#include "confine/companion.h"

static const struct sock_filter filter[] = {
#include "relay-filter.h"
};

static int refused(const struct confine_report *report, int error) {
    const struct confine_stage *stage = &report->stages[report->count - 1];

    complain("the relay's sandbox: %s: %s", stage->name, stage->detail);
    return error;
}

int relay_confine(void) {
    struct confine_report report;

#ifdef WITHOUT_SANDBOX
    return aside_begin();
#endif
    json_object_seed(0); /* from /dev/urandom, while that has a name */
    int error = companion_enter(&report);
    if (error < 0)
        return refused(&report, error);
    if ((error = aside_begin()) < 0) {
        complain("the relay's threads: %s", strerror(-error));
        return error;
    }
    error = companion_seal(filter, sizeof(filter) / sizeof(filter[0]), &report);
    return error < 0 ? refused(&report, error) : 0;
}
