/* SPDX-License-Identifier: MIT */
/* Privileges: capabilities, ids, and the ways to gain or lend them.
 *
 * By raw system calls: there are seven, libcap would be a library more. */
#include <errno.h>
#include <grp.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/securebits.h>

#include "privileges.h"

#define CAPSET_ADVICE "allow capset: it can only take away"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE              65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

/* No set*id, no uid 0, no exec gives capabilities back, for good. */
#define SECUREBITS_ALL                                                                       \
    (SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |                         \
     SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | \
     SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

/* Nothing that is only said to be a program, and no command from a pipe, is run by an
 * interpreter that asks. The only ones that need no privilege. */
#ifndef SECBIT_EXEC_RESTRICT_FILE
#define SECBIT_EXEC_RESTRICT_FILE           (1 << 8)
#define SECBIT_EXEC_RESTRICT_FILE_LOCKED    (1 << 9)
#define SECBIT_EXEC_DENY_INTERACTIVE        (1 << 10)
#define SECBIT_EXEC_DENY_INTERACTIVE_LOCKED (1 << 11)
#endif
#define SECUREBITS_EXEC                                                                            \
    (SECBIT_EXEC_RESTRICT_FILE | SECBIT_EXEC_RESTRICT_FILE_LOCKED | SECBIT_EXEC_DENY_INTERACTIVE | \
     SECBIT_EXEC_DENY_INTERACTIVE_LOCKED)

/* Leaves these in the permitted and effective sets, and nothing in the inheritable one. */
static int capabilities_keep(uint64_t kept) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {
        {.effective = (uint32_t)kept, .permitted = (uint32_t)kept},
        {.effective = (uint32_t)(kept >> 32), .permitted = (uint32_t)(kept >> 32)},
    };
    return syscall(SYS_capset, &header, sets) < 0 ? -errno : 0;
}

/* Returns whether it is empty: without CAP_SETPCAP it stays as it was. */
static bool bounding_set_empty(void) {
    bool empty = true;

    for (int capability = 0; capability < 64; capability++) {
        int bound = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
        if (bound < 0)
            break; /* beyond the kernel's last */
        if (bound > 0 && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
            empty = false;
    }
    return empty;
}

/* Returns whether they are set, by us or by who started us. */
static bool securebits_add(int bits) {
    prctl(PR_SET_SECUREBITS, prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) | bits, 0, 0, 0);
    return (prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) & bits) == bits;
}

#define WITHOUT_EXEC_BITS "; SECBIT_EXEC_* need Linux 6.14"

static bool is_root(void) {
    uid_t real, effective, saved;

    getresuid(&real, &effective, &saved);
    return real == 0 || effective == 0 || saved == 0;
}

/* Holds after it: no capability but the two that the next stage uses up, and
 * no way to regain one.
 * Must not have happened before: ids, which takes CAP_SETPCAP away. */
int capabilities_stage(struct confinement *confinement, struct confine_stage *stage) {
    const uint64_t for_ids = UINT64_C(1) << CAP_SETUID | UINT64_C(1) << CAP_SETGID;
    bool bounded = bounding_set_empty();
    bool restricted = securebits_add(SECUREBITS_EXEC); /* apart: an older kernel refuses them */
    bool locked = securebits_add(SECUREBITS_ALL);
    int result;

    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return stage_failed(stage, -errno, "PR_CAP_AMBIENT", "it needs Linux 4.3");
    /* A confined root may have lost the two already: then ids will say so. */
    result = is_root() && confinement->plan->uid ? capabilities_keep(for_ids) : -EPERM;
    if (result < 0)
        result = capabilities_keep(0);
    if (result < 0)
        return stage_failed(stage, result, "capset", CAPSET_ADVICE);
    if (!bounded || !locked)
        return stage_partly(stage, "none held; %s%s%s: takes CAP_SETPCAP, moot without exec%s",
                            bounded ? "" : "bounding set", bounded || locked ? "" : " and ",
                            locked ? "" : "securebits", restricted ? "" : WITHOUT_EXEC_BITS);
    if (!restricted)
        stage_detail(stage, "none held" WITHOUT_EXEC_BITS);
    return 0;
}

static const char *ids_advice(int error) {
    switch (error) {
    case EINVAL:
        return "this user namespace has no such id: name one that it has (--user)";
    case EAGAIN:
        return "raise the limits of processes (ulimit -u)";
    default:
        return "start as an ordinary user, or with CAP_SETUID and CAP_SETGID";
    }
}

/* Holds after it: no id, real, effective, saved or for files, and no group is
 * root's or the starter's; no capability in any set.
 * Must not have happened before: what needs privilege. */
int ids_stage(struct confinement *confinement, struct confine_stage *stage) {
    uid_t uid = confinement->plan->uid;
    gid_t gid = confinement->plan->gid;
    const char *failed;
    int result;

    if (!is_root()) {
        stage_detail(stage, "uid %u as started", getuid());
        return 0;
    }
    if ((result = confinement->lone_root ? capabilities_keep(0) : 0) < 0)
        return stage_failed(stage, result, "capset", CAPSET_ADVICE);
    if (confinement->lone_root)
        return stage_partly(stage, "uid 0 of a user namespace without others: nobody outside it");
    if (uid == 0 || gid == 0)
        return stage_failed(stage, -EINVAL, "uid 0", "name an ordinary user and group to become");
    failed = getgroups(0, NULL) != 0 && setgroups(0, NULL) < 0 ? "setgroups"
             : setresgid(gid, gid, gid) < 0                    ? "setresgid"
             : setresuid(uid, uid, uid) < 0                    ? "setresuid"
                                                               : NULL;
    if (failed)
        return stage_failed(stage, -errno, failed, ids_advice(errno));
    if ((result = capabilities_keep(0)) < 0)
        return stage_failed(stage, result, "capset", CAPSET_ADVICE);
    stage_detail(stage, "uid %u gid %u", uid, gid);
    return 0;
}

/* Holds after it: processes of our own uid cannot trace us, nor read our memory
 * or descriptors through /proc; they can still signal us.
 * Must not have happened before: writing uid_map, which would be root's from
 * here on. Must have happened: ids, which sets it back to fs.suid_dumpable. */
int undumpable_stage(struct confinement *confinement, struct confine_stage *stage) {
    (void)confinement;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return stage_failed(stage, -errno, "PR_SET_DUMPABLE", "allow prctl");
    return 0;
}

/* Holds after it: no exec gains anything. Landlock and seccomp take it in
 * place of privilege. */
int no_new_privs_stage(struct confinement *confinement, struct confine_stage *stage) {
    (void)confinement;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return stage_failed(stage, -errno, "PR_SET_NO_NEW_PRIVS", "allow prctl");
    return 0;
}

/* Holds after it: no memory becomes executable that was not from its mapping
 * on, none is writable and executable. Threads' stacks are neither. */
int mdwe_stage(struct confinement *confinement, struct confine_stage *stage) {
    (void)confinement;
    if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == 0)
        return 0;
    if (errno == EINVAL)
        return stage_partly(stage, "none: the kernel is older than 6.3");
    return stage_failed(stage, -errno, "PR_SET_MDWE", "allow prctl");
}
