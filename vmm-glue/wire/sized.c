/* SPDX-License-Identifier: MIT */
/* Structures that callers fill in, of this version of the library or another. */
#include "wire/sized.h"

#include <errno.h>
#include <stdalign.h>
#include <string.h>

#include "wire/failure.h"

/* More than any will ever have: a size that was never set. */
#define SIZE_MAX_OF_ANY 4096

size_t sized_stride(const void *theirs, size_t first) {
    size_t size = *(const size_t *)theirs;

    return size ? size : first;
}

int sized_take(void *ours, size_t known, const void *theirs, size_t size) {
    const char *bytes = theirs;

    if (size <= sizeof(size) || size > SIZE_MAX_OF_ANY || size % alignof(size_t) != 0)
        return fail(EINVAL, "a structure cannot have the size %zu that is in it", size);
    for (size_t i = known; i < size; i++)
        if (bytes[i])
            return fail(E2BIG, "a structure has a member that this version of libfdset does not "
                               "know");
    memset(ours, 0, known);
    memcpy(ours, theirs, size < known ? size : known);
    return 0;
}
