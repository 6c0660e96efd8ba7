/* SPDX-License-Identifier: MIT */
/* Linked into a helper for tests, in front of libc: once locked in, whoever asks
 * for memory or gives some back is killed by SIGILL, be it the helper, libc or
 * another library. What they would ask the kernel for (mmap, brk) the filter
 * kills already, but libc has memory left over that it could give.
 *
 * SANDBOX_ALLOCATE tells it to do so, to see that it is noticed. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine/confine.h"

#define EXPORT __attribute__((visibility("default")))

/* What these would be without us. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);

/* Set before there is a second thread that would look, but for settle threads,
 * which wait. */
static volatile bool locked_in;

static void check(void) {
    if (locked_in)
        __builtin_trap();
}

EXPORT void *malloc(size_t size) {
    check();
    return __libc_malloc(size);
}

EXPORT void *calloc(size_t count, size_t size) {
    check();
    return __libc_calloc(count, size);
}

EXPORT void *realloc(void *memory, size_t size) {
    check();
    return __libc_realloc(memory, size);
}

EXPORT void *memalign(size_t alignment, size_t size);
EXPORT void *memalign(size_t alignment, size_t size) {
    check();
    return __libc_memalign(alignment, size);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size) {
    return memalign(alignment, size);
}

EXPORT int posix_memalign(void **memory, size_t alignment, size_t size) {
    *memory = memalign(alignment, size);
    return *memory ? 0 : ENOMEM;
}

EXPORT void free(void *memory) {
    check();
    __libc_free(memory);
}

static void allocate(const char *how) {
    static void *volatile before;

    if (!strcmp(how, "prepare"))
        before = malloc(100);
    else if (!strcmp(how, "malloc"))
        before = malloc(100);
    else if (!strcmp(how, "calloc"))
        before = calloc(1, 100);
    else if (!strcmp(how, "realloc"))
        before = realloc(before, 200);
    else if (!strcmp(how, "strdup")) /* libc's own use */
        before = strdup(how);
    else if (!strcmp(how, "free"))
        free(before);
    else if (!strcmp(how, "brk"))
        syscall(SYS_brk, 0);
    else if (!strcmp(how, "mmap"))
        mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int __real_confine_seal(const struct confine_plan *plan, struct confine_report *report);
int __wrap_confine_seal(const struct confine_plan *plan, struct confine_report *report);

int __wrap_confine_seal(const struct confine_plan *plan, struct confine_report *report) {
    const char *how = getenv("SANDBOX_ALLOCATE");
    int result;

    allocate("prepare");
    result = __real_confine_seal(plan, report);
    locked_in = true;
    if (how)
        allocate(how);
    return result;
}
