/* SPDX-License-Identifier: MIT */
/* sandbox-starter WHO PROGRAM [ARGUMENT]...
 *
 * Runs a helper as one who may start it:
 *
 *   root            as it is, which must be root
 *   user            an ordinary user
 *   container       root of a container, which may make no namespace nor mount
 *   container-user  an ordinary user of such a container
 *   confined        a VMM that is confined itself: also no new privileges, few
 *                   files by Landlock, no memory that becomes code, few processes
 *
 * Without root's powers the user is whoever runs this. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/landlock.h>

#include "cage.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif

#define READ \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE)

static void become_user(void) {
    if (geteuid() == 0)
        cage_become(CAGE_UID);
}

/* What container engines leave to root by default, minus what a helper has no
 * use for. */
static void keep_capabilities(void) {
    const unsigned kept = 1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_SETPCAP | 1u << CAP_CHOWN;
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2] = {{.effective = kept, .permitted = kept}};

    for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++)
        if (capability > 31 || !(kept & 1u << capability))
            prctl(PR_CAPBSET_DROP, capability);
    if (syscall(SYS_capset, &header, sets) < 0)
        err(125, "capset");
}

/* As the filters of container engines do. */
static void refuse_namespaces(void) {
    static const int calls[] = {SCMP_SYS(unshare), SCMP_SYS(mount), SCMP_SYS(umount2),
                                SCMP_SYS(pivot_root), SCMP_SYS(setns)};

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        cage_refuse(calls[i], EPERM);
}

static void allow_beneath(int ruleset, const char *path, __u64 access) {
    struct landlock_path_beneath_attr beneath = {access, open(path, O_PATH | O_CLOEXEC)};

    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0)
        err(125, "Landlock: %s", path);
    close(beneath.parent_fd);
}

/* Enough to start a program, and to make the test's sockets. */
static void restrict_files(void) {
    struct landlock_ruleset_attr attributes = {.handled_access_fs = READ | WRITE};
    int ruleset = syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);

    if (ruleset < 0)
        err(125, "Landlock");
    allow_beneath(ruleset, "/", READ);
    allow_beneath(ruleset, "/var/tmp", WRITE);
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        err(125, "Landlock");
    close(ruleset);
}

static void confine_further(void) {
    struct rlimit processes = {64, 64}, none = {0, 0};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setrlimit(RLIMIT_NPROC, &processes) < 0 ||
        setrlimit(RLIMIT_CORE, &none) < 0)
        err(125, "confine");
    restrict_files();
    prctl(PR_SET_MDWE, 1, 0, 0, 0); /* Linux 6.3 */
}

int main(int argc, char **argv) {
    const char *who = argc > 2 ? argv[1] : "";
    bool container = !strncmp(who, "container", 9), confined = !strcmp(who, "confined");

    if (!container && !confined && strcmp(who, "user") != 0 && strcmp(who, "root") != 0)
        errx(125, "usage: sandbox-starter WHO PROGRAM [ARGUMENT]...");
    if (strcmp(who, "root") != 0 && strcmp(who, "container") != 0)
        become_user();
    else if (setgroups(2, (gid_t[]){7, 8}) < 0) /* to be left behind */
        err(125, "setgroups");
    if (!strcmp(who, "container"))
        keep_capabilities();
    if (confined)
        confine_further();
    if (confined || container)
        refuse_namespaces();
    execvp(argv[2], argv + 2);
    err(125, "%s", argv[2]);
}
