/* SPDX-License-Identifier: MIT */
/* What both halves of the library can be asked: why a call failed, and which version it is. */
#include "wire/failure.h"

#include <errno.h>
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
