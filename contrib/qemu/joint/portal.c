/* SPDX-License-Identifier: MIT */
/* Makes and reads portals. */
#include "portal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* What stands in the file. Both sides are of one release; `magic` tells others apart. */
struct content {
    char magic[16];
    int32_t flags;
    uint32_t hidden;
    int32_t set;
    uint32_t member;
    _Atomic uint32_t bound; /* set last, and woken */
    uint32_t reserved;
};

static const char magic[16] = "fdset-portal 1\n";

static struct content *content_map(int fd) {
    void *content = mmap(NULL, sizeof(struct content), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return content == MAP_FAILED ? NULL : content;
}

int portal_make(int flags, bool hidden) {
    struct content content = {.flags = flags, .hidden = hidden};
    int fd = memfd_create("fdset-portal", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    memcpy(content.magic, magic, sizeof(magic));
    if (fd < 0)
        return -errno;
    /* An emulator that cut it short would have whoever binds it killed by SIGBUS. */
    if (write(fd, &content, sizeof(content)) == sizeof(content) &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

int portal_bind(int fd, int set, uint32_t member) {
    struct content *content = content_map(fd);

    if (!content)
        return -errno;
    content->set = set;
    content->member = member;
    atomic_store(&content->bound, 1);
    syscall(SYS_futex, &content->bound, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
    munmap(content, sizeof(*content));
    return 0;
}

bool portal_read(int fd, struct portal *portal) {
    struct content content;
    struct stat status;

    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size != sizeof(content) ||
        pread(fd, &content, sizeof(content), 0) != sizeof(content) ||
        memcmp(content.magic, magic, sizeof(magic)) != 0)
        return false;
    *portal = (struct portal){.flags = content.flags,
                              .hidden = content.hidden,
                              .bound = content.bound,
                              .set = content.set,
                              .member = content.member};
    return true;
}

int portal_wait(int fd, unsigned milliseconds, struct portal *portal) {
    struct timespec patience = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    int error = 0;

    if (!portal_read(fd, portal))
        return -EINVAL;
    if (portal->bound)
        return 0;
    struct content *content = content_map(fd);
    if (!content)
        return -errno;
    while (!atomic_load(&content->bound) && error != ETIMEDOUT)
        if (syscall(SYS_futex, &content->bound, FUTEX_WAIT, 0, &patience, NULL, 0) < 0)
            error = errno;
    munmap(content, sizeof(*content));
    return portal_read(fd, portal) && portal->bound ? 0 : -ETIMEDOUT;
}
