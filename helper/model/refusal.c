/* SPDX-License-Identifier: MIT */
/* Words refusals. */
#include "model/refusal.h"

#include <stdarg.h>
#include <stdio.h>

#include "name.h"

int refuse(struct refusal *refusal, enum refusal_code code, int error, const char *format, ...) {
    char text[2 * sizeof(refusal->text)];
    va_list arguments;

    refusal->code = code;
    refusal->error = error;
    refusal->lease = 0;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    show_text(refusal->text, sizeof(refusal->text), text); /* it may quote what a peer sent */
    return -error;
}
