#include "failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include <fdset/vmm.h>

/* The kernel's MAX_ERRNO. */
#define LARGEST_ERRNO 4095

/* Room for the helper's longest sentence; what is longer is cut off. */
static __thread char text[512] = "no error";

/* Part of the text came from the helper: no line breaks, no terminal escapes. */
static void make_printable(char *sentence) {
    for (unsigned char *c = (unsigned char *)sentence; *c; c++)
        if (*c < 0x20 || *c == 0x7f)
            *c = '?';
}

int fail(int error, const char *format, ...) {
    if (error <= 0 || error > LARGEST_ERRNO)
        error = EPROTO;
    errno = error;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    make_printable(text);
    return -error;
}

const char *fdset_error_text(void) {
    return text;
}
