/* SPDX-License-Identifier: MIT */
/* Seals what of the program and its libraries is not to be written to. */
#include <errno.h>
#include <link.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stage.h"

/* Neighbours among the segments become one call. */
struct span {
    uintptr_t page, begin, end;
    int error;
};

static void span_seal(struct span *span) {
    if (span->end > span->begin && syscall(CALL_MSEAL, span->begin, span->end - span->begin, 0) < 0)
        span->error = -errno;
    span->begin = span->end = 0;
}

static void span_add(struct span *span, uintptr_t begin, uintptr_t end) {
    begin &= -span->page;
    if (begin != span->end) {
        span_seal(span);
        span->begin = begin;
    }
    span->end = end;
}

/* The loader has made what is to be read-only after relocation read-only up to a page's end. */
static int object_seal(struct dl_phdr_info *object, size_t size, void *data) {
    struct span *span = data;

    (void)size;
    for (int i = 0; i < object->dlpi_phnum && span->error == 0; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];
        uintptr_t begin = object->dlpi_addr + header->p_vaddr, end = begin + header->p_memsz;
        if (header->p_type == PT_LOAD && !(header->p_flags & PF_W))
            span_add(span, begin, (end + span->page - 1) & -span->page);
        else if (header->p_type == PT_GNU_RELRO)
            span_add(span, begin, end & -span->page);
    }
    span_seal(span);
    return span->error;
}

/* Holds after it: code, constants and tables of addresses, the program's and its
 * libraries', keep their place and their rights: what the filter compares with
 * stays read-only also where a filter would let mprotect or mmap through.
 * Must not have happened before: the loading of libraries is over. */
int mseal_stage(struct confinement *confinement, struct confine_stage *stage) {
    struct span span = {.page = (uintptr_t)sysconf(_SC_PAGESIZE)};

    (void)confinement;
    dl_iterate_phdr(object_seal, &span);
    if (span.error == -ENOSYS)
        return stage_partly(stage, "none: it needs Linux 6.10");
    if (span.error < 0)
        return stage_partly(stage, "none: mseal: %s; allow it", strerrorname_np(-span.error));
    return 0;
}
