/* SPDX-License-Identifier: MIT */
/* The calls of the start and how each may fail: see start-errors.h. */
#include "start-errors.h"

#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>

#define CALL(name) SYS_##name, #name

/* Not here: what can fail by our own mistakes only (EBADF, EFAULT), and brk,
 * which has no error. */
const struct start_call start_calls[] = {
    {CALL(openat), {EMFILE, ENFILE, ENOMEM, ENOENT}},
    {CALL(close), {EIO}},
    {CALL(close_range), {ENOSYS}},
    {CALL(dup2), {EBUSY, EMFILE}},
    {CALL(dup3), {EBUSY, EMFILE}},
    {CALL(fcntl), {EMFILE, EACCES}},
    {CALL(fstatfs), {EIO}},
    {CALL(newfstatat), {EIO, ENOMEM}},
    {CALL(statx), {EIO, ENOMEM}},
    {CALL(lseek), {ESPIPE}},
    {CALL(write), {EIO, EPIPE, EAGAIN}},
    {CALL(prlimit64), {EPERM}},
    {CALL(mmap), {ENOMEM, EAGAIN}},
    {CALL(mprotect), {ENOMEM}},
    {CALL(getrandom), {ENOSYS}},
    {CALL(sched_getaffinity), {EINVAL}},
    {CALL(sched_setaffinity), {EPERM, EINVAL}},
    {CALL(clone3), {EAGAIN, ENOMEM, ENOSYS}},
    {CALL(clone), {EAGAIN, ENOMEM}},
    {CALL(pipe2), {EMFILE, ENFILE}},
    {CALL(socket), {EMFILE, ENFILE, ENOBUFS, ENOMEM}},
    {CALL(socketpair), {EMFILE, ENFILE, ENOBUFS, ENOMEM}},
    {CALL(signalfd4), {EMFILE, ENFILE, ENOMEM}},
    {CALL(flock), {ENOLCK, EINTR}},
    {CALL(bind), {EADDRINUSE, EACCES, ENOMEM, EROFS}},
    {CALL(fchownat), {EPERM, EIO}},
    {CALL(listen), {EADDRINUSE}},
    {CALL(connect), {ECONNREFUSED, EAGAIN, EACCES}},
    {CALL(getsockopt), {EACCES}},
    {CALL(setsockopt), {ENOPROTOOPT, EACCES}},
    {CALL(sendmsg), {ENOBUFS, ENOMEM}},
    {CALL(recvmsg), {EINTR}},
    {CALL(epoll_create1), {EMFILE, ENFILE, ENOMEM}},
    {CALL(epoll_ctl), {ENOMEM, ENOSPC}},
    {CALL(unshare), {EPERM, ENOMEM, ENOSPC, EINVAL}},
    {CALL(setns), {EPERM, ENOMEM, EINVAL}},
    {CALL(pidfd_open), {EMFILE, ENOMEM}},
    {CALL(mount), {EPERM, EACCES, ENOMEM}},
    {CALL(umount2), {EPERM, EBUSY}},
    {CALL(pivot_root), {EPERM, EINVAL, EBUSY}},
    {CALL(chdir), {ENOENT, EACCES, ENOMEM}},
    {CALL(fchdir), {EACCES}},
    {CALL(chroot), {EPERM, ENOMEM}},
    {CALL(mkdir), {EACCES, ENOSPC}},
    {CALL(prctl), {EPERM, EINVAL}},
    {CALL(capset), {EPERM}},
    {CALL(capget), {EPERM}},
    {CALL(setresuid), {EAGAIN, EPERM}},
    {CALL(setresgid), {EPERM}},
    {CALL(setgroups), {EPERM, ENOMEM}},
    {CALL(landlock_create_ruleset), {ENOMEM, EMFILE, EOPNOTSUPP, ENOSYS}},
    {CALL(landlock_restrict_self), {EPERM, E2BIG, ENOMEM}},
    {CALL(seccomp), {ENOMEM, EINVAL, EACCES, ENOSYS}},
};

const unsigned start_call_count = sizeof(start_calls) / sizeof(start_calls[0]);

const struct start_call *start_call_find(int call) {
    for (unsigned i = 0; i < start_call_count; i++)
        if (start_calls[i].call == call)
            return &start_calls[i];
    return NULL;
}
