/* SPDX-License-Identifier: MIT */
/* Several opens in one packet. */
#include "vmm/batch.h"

#include <errno.h>
#include <string.h>

/* What the request takes around the opens. */
#define REQUEST_BYTES 64

/* What an Open of OpenMany takes at most beside its path: three lengths or fields of
 * one or two bytes, and flags of up to six. */
#define OPEN_BYTES 12

void batch_clear(struct batch *batch) {
    fdset__v1__open_many__init(&batch->message);
    batch->message.opens = batch->pointers;
    batch->bytes = REQUEST_BYTES;
}

bool batch_add(struct batch *batch, const char *path, size_t length, int flags) {
    size_t count = batch->message.n_opens, bytes = batch->bytes + length + OPEN_BYTES;
    if (count == FDSET_MAX_OPENS || bytes > FDSET_MAX_PACKET_BYTES)
        return false;
    Fdset__V1__Open *open = batch->pointers[count] = &batch->opens[count];
    fdset__v1__open__init(open);
    open->path = (char *)path;
    open->flags = (uint32_t)flags;
    batch->bytes = bytes;
    batch->message.n_opens++;
    return true;
}

/* Where very many have failed, the helper's words for all of them do not fit in a packet. */
static const char *error_text(const Fdset__V1__Error *error) {
    const char *general = *error->text ? NULL : strerrordesc_np(error->error_number);
    return general ? general : error->text;
}

int batch_result(const Fdset__V1__OpenedMany__Result *result, Fdset__V1__Opened *opened,
                 const char **text) {
    if (result->outcome_case == FDSET__V1__OPENED_MANY__RESULT__OUTCOME_OPENED &&
        result->opened->lease) {
        *opened = *result->opened;
        return 0;
    }
    if (result->outcome_case == FDSET__V1__OPENED_MANY__RESULT__OUTCOME_ERROR &&
        result->error->error_number > 0) {
        *text = error_text(result->error);
        return -result->error->error_number;
    }
    *text = "fdset-helper left an open without an answer";
    return -EPROTO;
}
