#include "failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include <fdset/vmm.h>

#include "name.h"

/* The kernel's MAX_ERRNO. */
#define LARGEST_ERRNO 4095

/* Room for the helper's longest sentence and one around it. */
static __thread char text[768] = "no error";

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

const char *fdset_error_text(void) {
    return text;
}
