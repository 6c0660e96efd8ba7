/* SPDX-License-Identifier: MIT */
/* A VMM that does what it is told on standard input, one command a line, and
 * answers each with a line: "done", or why not. It ends with its input.
 *
 *     open PATH r|w|rw MILLISECONDS     waits for so long, if it must
 *     hold PATH                         unhold PATH
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fdset/vmm.h>

static int mode_read(const char *mode) {
    return !strcmp(mode, "rw") ? O_RDWR : !strcmp(mode, "w") ? O_WRONLY : O_RDONLY;
}

static int command_do(struct fdset_vmm *vmm, const char *line) {
    char word[8], path[200], mode[4] = "r";
    unsigned wait_ms = 0;

    if (sscanf(line, "%7s %199s %3s %u", word, path, mode, &wait_ms) < 2)
        errx(2, "not a command: %s", line);
    if (!strcmp(word, "open"))
        return fdset_open_wait(vmm, path, mode_read(mode) | O_CLOEXEC, wait_ms);
    if (!strcmp(word, "hold"))
        return fdset_hold(vmm, path);
    if (!strcmp(word, "unhold"))
        return fdset_unhold(vmm, path);
    errx(2, "not a command: %s", line);
}

int main(void) {
    const char *path = getenv("FDSET_VMM_SOCKET");
    struct fdset_vmm *vmm;
    char line[256];

    if (!path || fdset_vmm_attach_path(&vmm, path, "vmm") < 0)
        errx(1, "cannot attach: %s", fdset_error_text());
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof line, stdin))
        puts(command_do(vmm, line) < 0 ? fdset_error_text() : "done");
    fdset_vmm_free(vmm);
    return 0;
}
