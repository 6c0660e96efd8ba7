#include "refusal.h"

#include <stdarg.h>
#include <stdio.h>

#include "text.h"

int refuse(struct refusal *refusal, enum refusal_code code, int error, const char *format, ...) {
    va_list arguments;

    refusal->code = code;
    refusal->error = error;
    va_start(arguments, format);
    vsnprintf(refusal->text, sizeof(refusal->text), format, arguments);
    va_end(arguments);
    make_plain(refusal->text); /* it may quote what a peer sent */
    return -error;
}
