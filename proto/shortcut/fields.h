/* SPDX-License-Identifier: MIT */
/* The fields of the messages of an open and a close: shortcut.h. */
#pragma once

#include <assert.h>

/* As fdset.proto has them: FIELD_Open_path and all others. */
enum field_number {
#include "field-numbers.h"
};

/* A field's number and kind in one byte. */
#define NUMBER(field) (FIELD_##field << 3)
#define BYTES(field)  (FIELD_##field << 3 | 2)

enum {
    SERIAL = NUMBER(Request_serial),
    DESCRIPTORS = NUMBER(Request_descriptors),
    REQUEST_OPEN = BYTES(Request_open),
    REQUEST_OPEN_MANY = BYTES(Request_open_many),
    REQUEST_CLOSE = BYTES(Request_close),
    REPLY_OPENED = BYTES(Reply_opened),
    REPLY_OPENED_MANY = BYTES(Reply_opened_many),
    OPEN_PATH = BYTES(Open_path),
    OPEN_FLAGS = NUMBER(Open_flags),
    OPEN_WAIT_MS = NUMBER(Open_wait_ms),
    OPENED_LEASE = NUMBER(Opened_lease),
    OPENED_MEMBER = NUMBER(Opened_member),
    OPENED_TRUNCATE = NUMBER(Opened_truncate),
    MANY_ITEM = BYTES(OpenMany_opens), /* OpenedMany.results and Close.leases too */
    RESULT_OPENED = BYTES(OpenedMany_Result_opened),
};

static_assert(SERIAL == NUMBER(Reply_serial) && DESCRIPTORS == NUMBER(Reply_descriptors) &&
                  MANY_ITEM == BYTES(OpenedMany_results) && MANY_ITEM == BYTES(Close_leases),
              "messages share these");
