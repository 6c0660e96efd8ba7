/* SPDX-License-Identifier: MIT */
/* Sets that live for a moment after their last use. */
#include "idle.h"

#include <fcntl.h>

void add_idle(struct helper *helper, int set, uint32_t idle_ms) {
    client_add_disk(helper->manager, (struct new_set){set, LIFETIME(IDLE), .idle_ms = idle_ms});
}

struct opened open_in_time(struct helper *helper) {
    uint32_t serial = client_begin_open(helper->vmm, "/dev/fdset/1", O_RDONLY, WAIT_FOREVER_MS);

    add_idle(helper, 1, 1);
    struct opened opened = client_opened(helper->vmm, serial);
    assert_int_equal(opened.code, 0);
    return opened;
}

void let_time_pass(struct helper *helper, struct subscriber *events) {
    add_idle(helper, 2, 1);
    event_expect_of(events, EVENT(REMOVED), 2);
}

void expect_end(struct subscriber *events) {
    event_expect_of(events, EVENT(REMOVED), 1);
}
