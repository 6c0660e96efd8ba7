/* SPDX-License-Identifier: MIT */
/* What all calls of the library share: why one failed, which version it is, and the structures
 * that callers fill in, of this version or another. */
#include "wire/failure.h"

#include <errno.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <fdset/vmm.h>

#include "name.h"

/* The kernel's MAX_ERRNO. */
#define LARGEST_ERRNO 4095

static __thread char text[FAILURE_BYTES] = "no error";

int fail(int error, const char *format, ...) {
    if (error <= 0 || error > LARGEST_ERRNO)
        error = EPROTO;
    errno = error;
    char sentence[sizeof(text) + 256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    /* Part of it came from the helper: no line breaks, no terminal escapes. */
    show_text(text, sizeof(text), sentence);
    return -error;
}

void failure_keep(char kept[FAILURE_BYTES]) {
    memcpy(kept, text, FAILURE_BYTES);
}

void failure_restore(const char kept[FAILURE_BYTES]) {
    memcpy(text, kept, FAILURE_BYTES);
}

const char *fdset_error_text(void) {
    return text;
}

unsigned fdset_version(void) {
    return FDSET_VERSION;
}

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
