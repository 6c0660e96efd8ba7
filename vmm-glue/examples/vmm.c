/* SPDX-License-Identifier: MIT */
/* Prints a file that it opens without its path. */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <fdset/vmm.h>

int main(int argc, char **argv) {
    if (argc != 2)
        errx(2, "usage: %s FILE", argv[0]);

    /* The manager's part: open the file, make it set 1. */
    int file = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (file < 0)
        err(1, "%s", argv[1]);
    struct fdset_initial disk = {.fd = file, .set = 1};
    struct fdset_spawn_options options = {
        .initial = &disk,
        .initial_count = 1,
    };
    struct fdset_vmm *vmm;
    if (fdset_vmm_spawn(&vmm, &options) < 0)
        errx(1, "%s", fdset_error_text());
    close(file);

    /* The VMM's part: as with open(2) and close(2). */
    int fd = fdset_open(vmm, "/dev/fdset/1", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        errx(1, "%s", fdset_error_text());
    char block[4096];
    ssize_t length;
    while ((length = read(fd, block, sizeof(block))) > 0)
        if (write(STDOUT_FILENO, block, (size_t)length) != length)
            err(1, "standard output");
    fdset_close(vmm, fd);

    if (fdset_open(vmm, "/dev/fdset/1", O_RDWR) >= 0)
        errx(1, "this should have been refused");
    fprintf(stderr, "read-write: %s\n", fdset_error_text());
    fdset_vmm_free(vmm);
    return 0;
}
