/* SPDX-License-Identifier: MIT */
/* Why a request was refused: what becomes an Error of the protocol. The codes
 * are those of fdset.proto, which says what each means; the model uses them
 * without knowing protobuf, and the service asserts that they are the same. */
#pragma once

#include <stdint.h>

enum refusal_code {
    REFUSAL_PROTOCOL = 1,
    REFUSAL_ROLE = 2,
    REFUSAL_DESCRIPTORS = 3,
    REFUSAL_ARGUMENT = 4,
    REFUSAL_LIMIT = 5,
    REFUSAL_PATH = 10,
    REFUSAL_NO_SET = 11,
    REFUSAL_EMPTY_SET = 12,
    REFUSAL_MODE = 13,
    REFUSAL_SYNC = 14,
    REFUSAL_BUSY = 15,
    REFUSAL_FLAGS = 16,
    REFUSAL_BAD_FD = 20,
    REFUSAL_FILE_TYPE = 21,
    REFUSAL_OTHER_FILE = 22,
    REFUSAL_LIFETIME = 23,
    REFUSAL_NAME = 24,
    REFUSAL_NO_MEMBER = 30,
};

struct refusal {
    enum refusal_code code;
    int error;      /* positive errno */
    uint64_t lease; /* that is in the way; 0: none is */
    char text[480]; /* a set's name fits, and a sentence around it */
};

/* Fills in `refusal` and returns -error. The text is a sentence that names
 * what was wanted, what there is and what to do; it is cut off where too long. */
int refuse(struct refusal *refusal, enum refusal_code code, int error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
