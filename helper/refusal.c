#include "refusal.h"

#include <stdarg.h>
#include <stdio.h>

int refuse(struct refusal *refusal, enum refusal_code code, int error, const char *format, ...) {
    va_list arguments;

    refusal->code = code;
    refusal->error = error;
    va_start(arguments, format);
    vsnprintf(refusal->text, sizeof(refusal->text), format, arguments);
    va_end(arguments);
    return -error;
}
