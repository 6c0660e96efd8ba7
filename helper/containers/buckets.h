/* SPDX-License-Identifier: MIT */
/* Lists by key: what has the same key stands in one list, in the order in which it came, and
 * few others do. A table of fixed size, made at start. */
#pragma once

#include <stdint.h>

#include "containers/list.h"

struct buckets {
    struct list *heads;
    uint32_t mask;
};

/* For about `room` objects. Returns 0 or -ENOMEM. */
int buckets_init(struct buckets *buckets, uint32_t room);

/* The list in which all objects of this key are, and perhaps others. */
struct list *buckets_at(const struct buckets *buckets, uint32_t key);

/* A key for a text. */
uint32_t text_key(const char *text);
