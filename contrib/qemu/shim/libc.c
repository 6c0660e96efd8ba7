/* SPDX-License-Identifier: MIT */
/* Finds the functions of libc that others here stand in for. */
#include "libc.h"

#include <dlfcn.h>

static struct real_functions functions;
static int ready; /* all of them found; set last */

static void *find(const char *name) {
    void *function = dlsym(RTLD_NEXT, name);
    if (!function) {
        static const char text[] = "libfdset-preload: the C library lacks a function\n";
        if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
            abort();
        abort();
    }
    return function;
}

/* Several threads may do this at once: they write the same. */
__attribute__((constructor)) static void functions_find(void) {
#define X(name) functions.name = (__typeof__(functions.name))find(#name);
    REAL_FUNCTIONS(X)
#undef X
    __atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
}

const struct real_functions *real_functions(void) {
    if (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE))
        functions_find();
    return &functions;
}
