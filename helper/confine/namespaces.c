/* SPDX-License-Identifier: MIT */
/* Namespaces and the empty root.
 *
 * Started as root we use root's privilege and make no user namespace: in one
 * that maps a single id, SO_PEERCRED would show every manager as uid 65534.
 * Started as an ordinary user there is no other way, and that is its price.
 *
 * Many containers and some administrators forbid some or all of this. Then
 * Landlock has to hold instead, which denies the same files by another way; if
 * it cannot either, the stage has failed. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "privileges.h"
#include "stage.h"

/* How SO_PEERCRED shows a uid that the user namespace does not know. It could
 * be set to another (kernel.overflowuid); nobody does. */
#define UNKNOWN_UID 65534

/* One at a time, so that a kernel or container that refuses one gives the others. */
static const struct {
    const char *name;
    int flag;
} kinds[] = {
    {"mount", CLONE_NEWNS}, {"net", CLONE_NEWNET},       {"ipc", CLONE_NEWIPC},
    {"uts", CLONE_NEWUTS},  {"cgroup", CLONE_NEWCGROUP},
};

static int file_write(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int result;

    if (fd < 0)
        return -errno;
    result = write(fd, text, strlen(text)) < 0 ? -errno : 0;
    close(fd);
    return result;
}

/* Into a user namespace that knows our own ids by the same numbers, and no
 * others. Changing groups must be given up first, or the kernel refuses. */
static int user_namespace_enter(uid_t uid, gid_t gid) {
    char uid_map[32], gid_map[32];
    int result;

    snprintf(uid_map, sizeof(uid_map), "%u %u 1\n", uid, uid);
    snprintf(gid_map, sizeof(gid_map), "%u %u 1\n", gid, gid);
    if (unshare(CLONE_NEWUSER) < 0)
        return -errno;
    if ((result = file_write("/proc/self/setgroups", "deny")) < 0 ||
        (result = file_write("/proc/self/uid_map", uid_map)) < 0)
        return result;
    return file_write("/proc/self/gid_map", gid_map);
}

/* Into a namespace of this process, which is alive: ourselves or a child. */
static int namespace_join(pid_t process, int kind, const char *name) {
    char path[48];
    int fd = (int)syscall(SYS_pidfd_open, process, 0);
    int result;

    if (fd < 0) { /* a container's filter that is older than the call */
        snprintf(path, sizeof(path), "/proc/%d/ns/%s", process, name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (fd < 0)
        return -errno;
    result = setns(fd, kind) < 0 ? -errno : 0;
    close(fd);
    return result;
}

/* Out of a chroot, to the root of the mount namespace: what is mounted outside the chroot
 * is in the namespace too, and would stay in it. */
static int chroot_leave(void) {
    return namespace_join(getpid(), CLONE_NEWNS, "mnt");
}

/* An empty tmpfs takes the place of "/". It is mounted on "/" itself, the only
 * directory that is sure to be there; ".." is the way onto what is mounted there. */
static int root_replace(const char **call) {
    const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
    int result;

    *call = "setns";
    if ((result = chroot_leave()) < 0)
        return result;
    *call = "mount(private)"; /* or the host would see what follows */
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    *call = "mount(tmpfs)"; /* its one inode is its root, which nobody may read or search */
    if (mount("none", "/", "tmpfs", flags, "mode=0,size=4k,nr_inodes=1") < 0)
        return -errno;
    *call = "pivot_root";
    if (chdir("/..") < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        return -errno;
    *call = "umount"; /* the old root now lies on top of the new */
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}

#define NO_NAMESPACE "no mount namespace"

static int empty_namespace_make(const char **call) {
    *call = NO_NAMESPACE;
    return unshare(CLONE_NEWNS) < 0 ? -errno : root_replace(call);
}

/* A mount namespace begins as a copy of the host's. If we then could not empty it, all that
 * is mounted now would stay mounted in it: the host could unmount it and still not detach
 * its device. So nobody goes into one without a way back, or before another has emptied it. */

/* ------------------------------------------------------------------ way back */

/* Where root comes from, and can go back to. */
struct home {
    int namespace, root, directory; /* owned; -1: could not be had */
};

/* Into the chroot that it may be in: a try of that leads nowhere else. */
static bool root_enter(const struct home *home) {
    return fchdir(home->root) == 0 && chroot(".") == 0 && fchdir(home->directory) == 0;
}

static bool home_return(const struct home *home) {
    return setns(home->namespace, CLONE_NEWNS) == 0 && root_enter(home);
}

/* Says whether there is a way back, which it has gone for a try: root of a user namespace has
 * none to mounts that are another's. */
static bool home_open(struct home *home) {
    home->namespace = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    home->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    home->directory = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return home->namespace >= 0 && home->root >= 0 && home->directory >= 0 && root_enter(home) &&
           home_return(home);
}

static void home_close(struct home *home) {
    const int fds[] = {home->namespace, home->root, home->directory};

    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* What there was to find out, and to do. */
struct trial {
    int user;         /* entering a user namespace: 0 or -errno */
    int root;         /* emptying a mount namespace's root: 0 or -errno */
    const char *call; /* the one that failed at that */
    bool lost;        /* it was begun, and there was no way back */

    struct home home; /* where root does it itself; else */
    pid_t child;      /* this one has: while it lives, its namespaces can be joined; */
    int link;         /* a socket to it */
};

/* By root. */
static int mount_namespace_try(struct trial *trial) {
    trial->root = empty_namespace_make(&trial->call);
    trial->lost = trial->root < 0 && !home_return(&trial->home);
    return trial->root;
}

/* -------------------------------------------------------------------- a child */

/* In the child. It ends when the parent hangs up. */
__attribute__((noreturn)) static void trial_run(int link, bool root) {
    struct trial trial = {.root = -EPERM, .call = NO_NAMESPACE};
    char none;

    trial.user = root ? 0 : user_namespace_enter(geteuid(), getegid());
    if (trial.user == 0)
        trial.root = empty_namespace_make(&trial.call);
    if (write(link, &trial, sizeof(trial)) > 0 && read(link, &none, 1) > 0)
        _exit(1);
    _exit(0);
}

/* A child makes both namespaces, for from a user namespace there is no way back; where it
 * could, its parent joins it in them. For root only where it has no way of its own.
 *
 * Ubuntu's AppArmor, a /proc that is missing or read-only let us into a user namespace and
 * then refuse the map; there we would be nobody, and know nobody.
 *
 * Returns -errno where no child could be had. */
static int trial_begin(struct trial *trial, bool root) {
    int pair[2], error;
    pid_t child;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    child = fork();
    error = -errno;
    if (child == 0) {
        close(pair[0]);
        trial_run(pair[1], root);
    }
    close(pair[1]);
    if (child < 0) {
        close(pair[0]);
        return error;
    }
    if (read(pair[0], trial, sizeof(*trial)) != sizeof(*trial)) /* killed for trying */
        *trial = (struct trial){.user = -EPERM, .root = -EPERM, .call = "a trial"};
    trial->child = child;
    trial->link = pair[0];
    return 0;
}

static void trial_end(struct trial *trial) {
    if (trial->child == 0) {
        home_close(&trial->home);
        return;
    }
    close(trial->link);
    /* Where SIGCHLD is ignored this ends with ECHILD, also not before the child has. */
    while (waitpid(trial->child, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* One of our own, if we may not join the child's; then its mounts are not for us either. */
static int user_namespace_join(struct trial *trial) {
    int result = namespace_join(trial->child, CLONE_NEWUSER, "user");

    if (result == 0)
        return 0;
    trial->root = result;
    trial->call = "setns";
    /* What the child could do and we cannot is no refusal, and leaves us half-way. */
    return user_namespace_enter(geteuid(), getegid()) < 0 ? -EIO : 0;
}

static int mount_namespace_enter(struct trial *trial) {
    if (trial->child == 0)
        return mount_namespace_try(trial);
    if (trial->root == 0) {
        trial->root = namespace_join(trial->child, CLONE_NEWNS, "mnt");
        trial->call = "setns";
    }
    return trial->root;
}

/* What `unshare -r` and systemd's PrivateUsers= make: uid 0, and nobody else to
 * become. Such a root is an ordinary user outside. */
static bool is_lone_root(void) {
    unsigned inside, outside, count, more;
    FILE *map = fopen("/proc/self/uid_map", "re");
    bool lone;

    if (!map)
        return false;
    lone = fscanf(map, "%u %u %u", &inside, &outside, &count) == 3 && count == 1 &&
           fscanf(map, "%u", &more) == EOF;
    fclose(map);
    return lone;
}

/* Where Landlock can do the work of what was refused, the start goes on. */
static int without(struct confine_stage *stage, const char *what, int error, const char *call) {
    if (!error_is_refusal(-error) || landlock_abi() < 0)
        return stage_failed(stage, error, call, "allow it, or put landlock into the kernel's lsm=");
    return stage_partly(stage, "%s%s: %s; Landlock has to do", what, call, strerrorname_np(-error));
}

static int without_for_nobody(struct confine_stage *stage) {
    if (landlock_abi() < 0)
        return stage_failed(stage, -EPERM, "uid 65534",
                            "in a user namespace others pass for it: start as another user, or put "
                            "landlock into lsm=");
    return stage_partly(stage, "none: strangers would pass for uid 65534; Landlock has to do");
}

/* Adds a word to a list of them. */
static void list_word(char *list, size_t size, const char *word) {
    size_t used = strlen(list);
    snprintf(list + used, size - used, "%s%s", used ? " " : "", word);
}

static int namespace_make(struct trial *trial, int flag) {
    if (flag == CLONE_NEWNS)
        return mount_namespace_enter(trial);
    return unshare(flag) < 0 ? -errno : 0;
}

/* Those that can be had. */
static int namespaces_make(struct confinement *confinement, struct trial *trial,
                           struct confine_stage *stage) {
    char made[80] = "", refused[80] = "";
    int error = 0;

    if (geteuid() != 0)
        list_word(made, sizeof(made), "user");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        int result = namespace_make(trial, kinds[i].flag);
        if (result < 0 && error == 0)
            error = result;
        list_word(result == 0 ? made : refused, sizeof(made), kinds[i].name);
    }
    if (trial->lost)
        return stage_failed(stage, trial->root, trial->call, "start it again");
    confinement->root_error = trial->root;
    confinement->root_call = trial->call;
    stage_detail(stage, "%s", made);
    list_word(made, sizeof(made), made[0] ? "but not " : "none: ");
    return error ? without(stage, made, error, refused) : 0;
}

/* Holds after it: mounts (none but an empty root), network (a loopback that is down), System
 * V IPC, host name and view of cgroups are nobody else's. No pid namespace: see confine.c.
 * Must not have happened before: a second thread, undumpable, the drop of root. */
int namespaces_stage(struct confinement *confinement, struct confine_stage *stage) {
    bool root = geteuid() == 0;
    struct trial trial = {.home = {-1, -1, -1}};
    int result;

    confinement->root_error = -EPERM;
    confinement->root_call = NO_NAMESPACE;
    /* Strangers would look like ourselves, and be let in as such. */
    if (geteuid() == UNKNOWN_UID)
        return without_for_nobody(stage);
    confinement->lone_root = root && is_lone_root();
    if (!root || !home_open(&trial.home)) {
        home_close(&trial.home);
        if ((result = trial_begin(&trial, root)) < 0)
            return stage_failed(stage, result, "fork", "raise the limits of processes (ulimit -u)");
    }
    if (!root && trial.user < 0) {
        result = without(stage, "none: ", trial.user, "user");
    } else if (!root && user_namespace_join(&trial) < 0) {
        result = stage_failed(stage, -EIO, "user", "start it again");
    } else {
        confinement->report->other_users_unknown = !root || confinement->lone_root;
        result = namespaces_make(confinement, &trial, stage);
    }
    trial_end(&trial);
    return result;
}

/* Holds after it: "/" is an empty directory that cannot be written to, and the
 * working directory; there is no other name of a file.
 * Must not have happened before: Landlock, which forbids mounting. The mount namespace
 * came with an empty root. */
int root_stage(struct confinement *confinement, struct confine_stage *stage) {
    if (confinement->root_error < 0) {
        /* Or what we were started in could not be unmounted. */
        bool left = chdir("/") == 0;
        return without(stage, left ? "" : "not even the working directory left, ",
                       confinement->root_error, confinement->root_call);
    }
    confinement->empty_root = true;
    return 0;
}
