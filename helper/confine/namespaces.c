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
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* A child tries it first. Ubuntu's AppArmor, a /proc that is missing or
 * read-only let us into the namespace and then refuse the map; there we would
 * be nobody, know nobody, and have no way back. */
static int user_namespace_try(uid_t uid, gid_t gid) {
    int *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int result;
    pid_t child;

    if (shared == MAP_FAILED)
        return -errno;
    *shared = -EPERM; /* a child that was killed for trying */
    child = fork();
    if (child == 0) {
        *shared = user_namespace_enter(uid, gid);
        _exit(0);
    }
    result = child < 0 ? -errno : 0;
    /* Where SIGCHLD is ignored this ends with ECHILD, also not before the child has. */
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    if (result == 0)
        result = *shared;
    munmap(shared, sizeof(*shared));
    return result;
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

/* Adds a word to a list of them. */
static void list_word(char *list, size_t size, const char *word) {
    size_t used = strlen(list);
    snprintf(list + used, size - used, "%s%s", used ? " " : "", word);
}

/* Returns 0 also where there is privilege instead. */
static int user_namespace_make(void) {
    uid_t uid = geteuid();
    gid_t gid = getegid();
    int result = uid == 0 ? 0 : user_namespace_try(uid, gid);

    if (uid == 0 || result < 0)
        return result;
    /* What the child could do and we cannot is no refusal, and leaves us half-way. */
    return user_namespace_enter(uid, gid) < 0 ? -EIO : 0;
}

/* Holds after it: mounts, network (a loopback that is down), System V IPC, host
 * name and view of cgroups are nobody else's. No pid namespace: see confine.c.
 * Must not have happened before: a second thread, undumpable, the drop of root. */
int namespaces_stage(struct confinement *confinement, struct confine_stage *stage) {
    char made[80] = "", refused[80] = "";
    bool root = geteuid() == 0;
    int result, error = 0;

    /* Strangers would look like ourselves, and be let in as such. */
    if (geteuid() == UNKNOWN_UID)
        return without(stage, "none: strangers would pass for uid 65534, ", -EPERM, "user");
    confinement->lone_root = root && is_lone_root();
    result = user_namespace_make();
    if (result < 0)
        return without(stage, "none: ", result, "user");
    confinement->report->other_users_unknown = !root || confinement->lone_root;
    if (!root)
        list_word(made, sizeof(made), "user");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        bool done = unshare(kinds[i].flag) == 0;
        if (!done && error == 0)
            error = -errno;
        if (done && kinds[i].flag == CLONE_NEWNS)
            confinement->own_mounts = true;
        list_word(done ? made : refused, sizeof(made), kinds[i].name);
    }
    stage_detail(stage, "%s", made);
    list_word(made, sizeof(made), made[0] ? "but not " : "none: ");
    return error ? without(stage, made, error, refused) : 0;
}

/* An empty tmpfs takes the place of "/". It is mounted on "/" itself, the only
 * directory that is sure to be there; ".." is the way onto what is mounted there. */
static int root_replace(const char **call) {
    const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;

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

/* Holds after it: "/" is an empty directory that cannot be written to, and the
 * working directory; there is no other name of a file.
 * Must not have happened before: Landlock, the drop of root. In the host's own
 * mount namespace it must not happen at all. */
int root_stage(struct confinement *confinement, struct confine_stage *stage) {
    const char *call = "no mount namespace";
    int result = confinement->own_mounts ? root_replace(&call) : -EPERM;

    if (result < 0)
        return without(stage, "", result, call);
    confinement->empty_root = true;
    return 0;
}
