/* SPDX-License-Identifier: MIT */
/* The fields of the messages of an open and a close: shortcut.h. */
#pragma once

/* A field's number and kind in one byte; the numbers are those of fdset.proto. */
#define NUMBER(field) ((field) << 3)
#define BYTES(field)  ((field) << 3 | 2)

enum {
    SERIAL = NUMBER(1),
    DESCRIPTORS = NUMBER(2),
    REQUEST_OPEN = BYTES(4),
    REQUEST_OPEN_MANY = BYTES(5),
    REQUEST_CLOSE = BYTES(6),
    REPLY_OPENED = BYTES(5),
    REPLY_OPENED_MANY = BYTES(6),
    OPEN_PATH = BYTES(1),
    OPEN_FLAGS = NUMBER(2),
    OPEN_WAIT_MS = NUMBER(3),
    OPENED_LEASE = NUMBER(1),
    OPENED_MEMBER = NUMBER(2),
    OPENED_TRUNCATE = NUMBER(3),
    MANY_ITEM = BYTES(1), /* OpenMany.opens, OpenedMany.results, Close.leases */
    RESULT_OPENED = BYTES(1),
};
