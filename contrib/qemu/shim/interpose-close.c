/* SPDX-License-Identifier: MIT */
/* What ends or copies a descriptor, and so a lease: close(2), dup2(2), close_range(2). */
#include "libc.h"

#include "attach.h"
#include "marks.h"
#include "open_leases.h"
#include "portals.h"
#include "stray.h"
#include "tell.h"
#include "wire/own.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/single_threaded.h>

/* A close gives up the program's locks before it returns, and QEMU looks at
 * once whether they are gone. Here the helper does that, after the lease has
 * ended. */
static int lease_end(struct fdset_vmm *vmm, int fd, bool close) {
    bool locked = marks_have(fd, MARK_LOCKED);

    marks_clear(fd, MARK_LEASE | MARK_LOCKED);
    if (close)
        return locked ? fdset_close_wait(vmm, fd) : fdset_close(vmm, fd);
    (locked ? own_forget_wait : fdset_forget)(vmm, fd);
    return 0;
}

/* `fd` is about to be closed by other means. */
static void lease_forget(struct fdset_vmm *vmm, int fd) {
    lease_end(vmm, fd, false);
}

/* Of the library's own. */
static bool is_own(int fd) {
    return shim_is_socket(fd) || shim_is_joint(fd);
}

/* `fd`, which is no lease, ends as what else it may be. */
static void others_end(int fd) {
    if (!marks_have(fd, MARK_PORTAL | MARK_GREETED | MARK_MONITOR))
        return;
    portals_end(fd);
    if (shim_is_owner())
        marks_clear(fd, MARK_GREETED | MARK_MONITOR);
}

EXPORTED int close(int fd) {
    /* As if it were not there, for programs that close all they can. */
    if (is_own(fd)) {
        errno = EBADF;
        return -1;
    }
    others_end(fd);
    struct fdset_vmm *vmm = shim_enter_for(fd);
    if (!vmm)
        return REAL(close)(fd);
    int error = lease_end(vmm, fd, true);
    shim_leave();
    if (error >= 0)
        return 0;
    errno = -error;
    return -1;
}

/* libc closes the stream's descriptor by itself, and does not come by here. */
EXPORTED int fclose(FILE *stream) {
    struct fdset_vmm *vmm = shim_enter_for(fileno(stream));

    if (vmm) {
        fflush(stream);
        lease_forget(vmm, fileno(stream));
        shim_leave();
    }
    return REAL(fclose)(stream);
}

/* Enters `copy`, if it is a descriptor, as what `fd` is: a lease or none. */
static int copied(int fd, int copy) {
    portals_copied(fd, copy);
    struct fdset_vmm *vmm = copy < 0 ? NULL : shim_enter_for(fd);

    if (vmm) {
        fdset_duplicated(vmm, fd, copy);
        open_leases_note_copy(vmm, fd, copy);
        shim_leave();
    }
    return copy;
}

EXPORTED int dup(int fd) {
    return copied(fd, REAL(dup)(fd));
}

/* What the program had open before it lowered its limit stays open, but is not overwritten. */
static bool is_above_limit(int fd) {
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && (rlim_t)fd >= limit.rlim_cur;
}

/* Before `target` is overwritten by a copy of `fd`: where the kernel would refuse that,
 * nothing must end. Returns -1 with errno; or whether there is now something of ours to be
 * closed if it fails all the same. */
static int overwrite_begin(int fd, int target) {
    if (fd == target || (!is_own(target) && !marks_have(target, MARK_LEASE | MARK_PORTAL |
                                                                    MARK_GREETED | MARK_MONITOR)))
        return 0;
    if (REAL(fcntl)(fd, F_GETFD) < 0)
        return -1;
    if (is_above_limit(target)) {
        errno = EBADF;
        return -1;
    }
    others_end(target);
    int moved = shim_is_joint(target) ? shim_joint_give_way(target) : shim_give_way(target);
    struct fdset_vmm *vmm = moved == 0 ? shim_enter_for(target) : NULL;
    if (vmm) {
        lease_forget(vmm, target);
        shim_leave();
    }
    return moved;
}

static int overwrite_end(int fd, int target, int moved, int result) {
    int error = errno;

    if (moved && result < 0)
        REAL(close)(target);
    errno = error;
    return copied(fd, result);
}

EXPORTED int dup2(int fd, int target) {
    int moved = overwrite_begin(fd, target);

    return moved < 0 ? -1 : overwrite_end(fd, target, moved, REAL(dup2)(fd, target));
}

EXPORTED int dup3(int fd, int target, int flags) {
    if (fd == target || flags & ~O_CLOEXEC)
        return REAL(dup3)(fd, target, flags); /* which refuses */
    int moved = overwrite_begin(fd, target);
    return moved < 0 ? -1 : overwrite_end(fd, target, moved, REAL(dup3)(fd, target, flags));
}

/* By any duplicate of it the lock is seen to. */
static void locked(int fd, const struct flock *lock) {
    bool is_known = lock->l_type == F_UNLCK || marks_have(fd, MARK_LOCKED);
    struct fdset_vmm *vmm = is_known ? NULL : shim_enter_for(fd);

    if (!vmm)
        return;
    uint64_t lease = fdset_lease(vmm, fd);
    for (int other = 0; lease && other < marks_limit(); other++)
        if (marks_have(other, MARK_LEASE) && fdset_lease(vmm, other) == lease)
            marks_set(other, MARK_LOCKED);
    shim_leave();
}

/* QEMU asks whether an -add-fd's descriptor is close-on-exec, and then duplicates it. One that
 * is no portal was unknown to fdset-qemu, such as that of a script between the two. */
static bool is_refused_member(int fd, int command, int answer) {
    static __thread int inherited __attribute__((tls_model("initial-exec"))) = -1;
    bool is_member = command == F_DUPFD_CLOEXEC && fd == inherited && !marks_have(fd, MARK_LEASE);

    inherited = command == F_GETFD && answer == 0 ? fd : -1;
    return is_member && stray_refuse(fd, "-add-fd");
}

EXPORTED int fcntl(int fd, int command, ...) {
    va_list arguments;

    /* There may be none; then what is read here is not looked at by the kernel.
   */
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    int result;
    if (command == F_GETFL && portals_get_flags(fd, &result))
        return result;
    /* QEMU makes what it receives blocking. The flags of a member are left as they are. */
    if (command == F_SETFL && portals_get_flags(fd, &result))
        return 0;
    if ((command == F_DUPFD || command == F_DUPFD_CLOEXEC) &&
        portals_duplicate(fd, (int)(long)argument, command == F_DUPFD_CLOEXEC, &result))
        return result;
    result = REAL(fcntl)(fd, command, argument);
    if (is_refused_member(fd, command, result)) {
        REAL(close)(result);
        errno = EACCES;
        return -1;
    }
    if (result == 0 && (command == F_OFD_SETLK || command == F_OFD_SETLKW))
        locked(fd, argument);
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(fd, result) : result;
}
EXPORTED_ALIAS(fcntl64, fcntl);

static void leases_forget(unsigned first, unsigned last) {
    for (unsigned fd = first; fd <= last && fd < (unsigned)marks_limit(); fd++)
        others_end(fd);
    struct fdset_vmm *vmm = shim_enter();
    if (!vmm)
        return;
    for (unsigned fd = first; fd <= last && fd < (unsigned)marks_limit(); fd++)
        if (marks_have(fd, MARK_LEASE))
            lease_forget(vmm, fd);
    shim_leave();
}

/* Closes all but the two of `own`, in ascending order, of which any may be -1. */
static int close_around(unsigned first, unsigned last, int flags, const int own[2]) {
    for (int i = 0; i < 2; i++) {
        unsigned kept = (unsigned)own[i];
        if (own[i] < 0 || kept < first || kept > last)
            continue;
        if (kept > first && REAL(close_range)(first, kept - 1, flags) < 0)
            return -1;
        if (kept == last)
            return 0;
        first = kept + 1;
    }
    return REAL(close_range)(first, last, flags);
}

/* Closes what is on both sides of the sockets. With CLOSE_RANGE_CLOEXEC it closes nothing.
 * With CLOSE_RANGE_UNSHARE it does so in a table that other threads do not have: leases go on
 * there, if there are other threads. */
EXPORTED int close_range(unsigned first, unsigned last, int flags) {
    int socket = shim_socket(), joint = shim_joint();

    if (flags & ~CLOSE_RANGE_UNSHARE || first > last)
        return REAL(close_range)(first, last, flags);
    if (!flags || __libc_single_threaded)
        leases_forget(first, last);
    return close_around(first, last, flags,
                        socket < joint ? (int[]){socket, joint} : (int[]){joint, socket});
}

EXPORTED void closefrom(int first) {
    close_range(first < 0 ? 0 : first, UINT_MAX, 0);
}
