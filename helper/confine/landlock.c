/* SPDX-License-Identifier: MIT */
/* Landlock, by raw system calls: the headers of a build machine may be older
 * than the kernel that we run on, and then would leave out what it can do. */
#include <assert.h>
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

/* struct landlock_ruleset_attr as of ABI 6; later ABIs have put only the quieting of its
 * log behind it. An older kernel takes the longer structure as long as what it does not know
 * is zero. */
struct ruleset {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped;
};

#define FILES      "files, links"
#define TRUNCATION FILES ", truncation"
#define TCP        TRUNCATION ", TCP ports"
#define DEVICES    TCP ", device controls"
#define SCOPES     DEVICES ", abstract sockets, signals"
#define NAMED      SCOPES ", named sockets"
#define ALL_PORTS  NAMED ", UDP ports"

static const struct landlock_rights abis[] = {
    {13, 0, 0, "files"},    /* Linux 5.13 */
    {14, 0, 0, FILES},      /* 5.19 */
    {15, 0, 0, TRUNCATION}, /* 6.2 */
    {15, 2, 0, TCP},        /* 6.7 */
    {16, 2, 0, DEVICES},    /* 6.10 */
    {16, 2, 2, SCOPES},     /* 6.12 */
    {16, 2, 2, SCOPES},     /* 6.15: what is logged */
    {16, 2, 2, SCOPES},     /* 7.0: all threads at once */
    {17, 2, 2, NAMED},      /* 7.1 */
    {17, 4, 2, ALL_PORTS},  /* 7.2 */
    {17, 4, 2, ALL_PORTS},  /* 7.3: no new privileges, which we have by then */
};

static_assert(sizeof(abis) / sizeof(abis[0]) == LANDLOCK_NEWEST_ABI, "a row for each ABI");

#define LOWEST_BITS(count) ((UINT64_C(1) << (count)) - 1)

int landlock_abi(void) {
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
    return abi < 0 ? -errno : (int)abi;
}

const struct landlock_rights *landlock_rights(int abi) {
    return &abis[(abi < LANDLOCK_NEWEST_ABI ? abi : LANDLOCK_NEWEST_ABI) - 1];
}

/* All these, and no exception. */
static int restrict_self(const struct landlock_rights *rights) {
    struct ruleset ruleset = {
        .handled_access_fs = LOWEST_BITS(rights->files),
        .handled_access_net = LOWEST_BITS(rights->ports),
        .scoped = LOWEST_BITS(rights->scopes),
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
 * changed, no process outside traced; with newer kernels no port used, no
 * process outside signalled, no socket outside addressed (sd_notify's
 * is connected already). Descriptors from outside keep their rights.
 * Must not have happened before: no-new-privs must have, the root too. */
int landlock_stage(struct confinement *confinement, struct confine_stage *stage) {
    int abi = landlock_abi();
    int result = abi < 0 ? abi : restrict_self(landlock_rights(abi));

    if (result == 0) {
        stage_detail(stage, "%s", landlock_rights(abi)->text);
        return 0;
    }
    if (confinement->empty_root)
        return stage_partly(stage, "none: %s; the empty root does without",
                            strerrorname_np(-result));
    return stage_failed(stage, result, "landlock",
                        "neither it nor an empty root: put landlock into lsm=, or allow mounts");
}
