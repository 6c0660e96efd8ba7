/* SPDX-License-Identifier: MIT */
/* Somebody who waits for a descriptor. Lives in its owner. */
#pragma once

#include <stdint.h>

struct watch {
    int fd; /* borrowed from the owner */
    void (*ready)(struct watch *watch, uint32_t epoll_events);
};
