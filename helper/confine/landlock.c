/* SPDX-License-Identifier: MIT */
/* Landlock, by raw system calls: the headers of a build machine may be older
 * than the kernel that we run on, and then would leave out what it can do. */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "privileges.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_restrict_self  446
#endif

#define CREATE_RULESET_VERSION 1

/* struct landlock_ruleset_attr as of ABI 6. An older kernel takes the longer
 * structure as long as what it does not know is zero. */
struct ruleset {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped;
};

/* What each ABI can forbid: the rights are the lowest bits, in order. */
static const struct {
    unsigned file_rights, net_rights, scopes;
    const char *text;
} abis[] = {
    {13, 0, 0, "files"},
    {14, 0, 0, "files"}, /* and linking across directories */
    {15, 0, 0, "files"}, /* and truncating */
    {15, 2, 0, "files, TCP ports"},
    {16, 2, 0, "files, TCP ports"}, /* and ioctl on devices */
    {16, 2, 2, "files, TCP ports, abstract sockets, signals"},
};

#define NEWEST_ABI ((int)(sizeof(abis) / sizeof(abis[0])))

#define LOWEST_BITS(count) ((UINT64_C(1) << (count)) - 1)

int landlock_abi(void) {
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
    return abi < 0 ? -errno : (int)abi;
}

/* Everything that the ABI can forbid, and no exception. */
static int restrict_self(int abi) {
    struct ruleset ruleset = {
        .handled_access_fs = LOWEST_BITS(abis[abi - 1].file_rights),
        .handled_access_net = LOWEST_BITS(abis[abi - 1].net_rights),
        .scoped = LOWEST_BITS(abis[abi - 1].scopes),
    };
    int fd = syscall(SYS_landlock_create_ruleset, &ruleset, sizeof(ruleset), 0);
    int result;

    if (fd < 0)
        return -errno;
    result = syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? -errno : 0;
    close(fd);
    return result;
}

/* Holds after it: no file can be opened, made, linked or run by name, no mount
 * changed, no process outside traced; with newer kernels no TCP port used, no
 * process outside signalled, no abstract socket outside addressed (sd_notify's
 * is connected already). Descriptors from outside keep their rights.
 * Must not have happened before: no-new-privs must have, the root too. */
int landlock_stage(struct confinement *confinement, struct confine_stage *stage) {
    int abi = landlock_abi();
    int known = abi < NEWEST_ABI ? abi : NEWEST_ABI;
    int result = abi < 0 ? abi : restrict_self(known);

    if (result == 0) {
        stage_detail(stage, "ABI %d: %s", abi, abis[known - 1].text);
        return 0;
    }
    if (confinement->empty_root)
        return stage_partly(stage, "none: %s; the empty root does without",
                            strerrorname_np(-result));
    return stage_failed(stage, result, "landlock",
                        "neither it nor an empty root: put landlock into lsm=, or allow mounts");
}
