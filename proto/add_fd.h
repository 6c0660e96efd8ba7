/* SPDX-License-Identifier: MIT */
/* What a command line says of a descriptor that a helper starts with: the words of QEMU's
 * -add-fd, "fd=N,set=M[,opaque=TEXT]", and where the helper reads them "for=NAME". */
#pragma once

#include <stdbool.h>

struct add_fd {
    int fd, set;
    const char *opaque;   /* NULL for none */
    const char *endpoint; /* that the set is reserved for; NULL: for all */
};

/* How it is written; they can be joined. */
enum {
    ADD_FD_USUAL = 0,     /* numbers are decimal; a comma in a value is doubled */
    ADD_FD_ANY_BASE = 1,  /* also 0x10 and 020, as QEMU reads numbers */
    ADD_FD_LABEL_END = 2, /* the label comes last, and no comma in it is doubled */
    ADD_FD_FOR = 4,       /* a set may be reserved for an endpoint */
};

#define ADD_FD_WHY_BYTES 160

/* Whether this process has the descriptor from who started it. Close-on-exec would have closed
 * it then: what is that is something of the process's own. */
bool is_inherited(int fd);

/* Reads `text`, which is cut apart and must last as long as `add`. Returns false where it
 * makes no sense or names a descriptor that this process has not inherited; then `why` says so,
 * where possible in QEMU's words. */
bool add_fd_parse(struct add_fd *add, char *text, int how, char why[ADD_FD_WHY_BYTES]);
