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
struct stretch {
    uintptr_t page, begin, end;
    int error;
};

static void stretch_seal(struct stretch *stretch) {
    if (stretch->end > stretch->begin &&
        syscall(CALL_MSEAL, stretch->begin, stretch->end - stretch->begin, 0) < 0)
        stretch->error = -errno;
    stretch->begin = stretch->end = 0;
}

static void stretch_add(struct stretch *stretch, uintptr_t begin, uintptr_t end) {
    begin &= -stretch->page;
    if (begin != stretch->end) {
        stretch_seal(stretch);
        stretch->begin = begin;
    }
    stretch->end = end;
}

/* The loader has made what is to be read-only after relocation read-only up to a page's end. */
static int object_seal(struct dl_phdr_info *object, size_t size, void *data) {
    struct stretch *stretch = data;

    (void)size;
    for (int i = 0; i < object->dlpi_phnum && stretch->error == 0; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];
        uintptr_t begin = object->dlpi_addr + header->p_vaddr, end = begin + header->p_memsz;
        if (header->p_type == PT_LOAD && !(header->p_flags & PF_W))
            stretch_add(stretch, begin, (end + stretch->page - 1) & -stretch->page);
        else if (header->p_type == PT_GNU_RELRO)
            stretch_add(stretch, begin, end & -stretch->page);
    }
    stretch_seal(stretch);
    return stretch->error;
}

/* Holds after it: code, constants and tables of addresses, the program's and its
 * libraries', keep their place and their rights: what the filter compares with
 * stays read-only also where a filter would let mprotect or mmap through.
 * Must not have happened before: the loading of libraries is over. */
int mseal_stage(struct confinement *confinement, struct confine_stage *stage) {
    struct stretch stretch = {.page = (uintptr_t)sysconf(_SC_PAGESIZE)};

    (void)confinement;
    dl_iterate_phdr(object_seal, &stretch);
    if (stretch.error == -ENOSYS)
        return stage_partly(stage, "none: it needs Linux 6.10");
    if (stretch.error < 0)
        return stage_partly(stage, "none: mseal: %s; allow it", strerrorname_np(-stretch.error));
    return 0;
}
