/* SPDX-License-Identifier: MIT */
/* libfdset for emulators: open disks without seeing a path.
 *
 * A VMM asks fdset-helper to open "/dev/fdset/N" and gets a descriptor, which is called a
 * lease. The VMM closes the lease with fdset_close(), which tells the helper.
 *
 *     struct fdset_vmm *vmm;
 *     if (fdset_vmm_spawn(&vmm, NULL) < 0)
 *         errx(1, "%s", fdset_error_text());
 *     int fd = fdset_open(vmm, "/dev/fdset/1", O_RDWR | O_CLOEXEC);
 *     if (fd < 0)
 *         errx(1, "%s", fdset_error_text());
 *     ...
 *     fdset_close(vmm, fd);
 *     fdset_vmm_free(vmm);
 *
 * Errors: functions that return int give 0 or more on success and a negative
 * errno on failure; fdset_error_text() has the sentence for people.
 *
 * Threads: all functions may be called from any thread, on the same object
 * too, except fdset_vmm_free(), which must be the last call on its object.
 *
 * Fork: after fork(2) the object belongs to the parent. In a child that did
 * not exec, fdset_open() fails with -ESTALE and fdset_close() only closes the
 * child's own copy: the parent's leases stay the parent's. The child may call
 * fdset_vmm_free() and attach anew. A child of vfork(2) may call fdset_close(),
 * to the same effect, and nothing else. While a child has a copy of the socket,
 * the helper cannot tell that the parent was killed.
 *
 * If the helper dies, descriptors already given stay good. Every later open fails at once
 * with -ECONNRESET, unless fdset_vmm_set_reconnect() was called. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <fdset/limits.h>
#include <fdset/reconnect.h>
#include <fdset/version.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* A connection in the VMM's role. */
struct fdset_vmm;

/* A descriptor for a spawned helper to start with: as if a manager had added
 * it with lifetime KEEP. */
struct fdset_initial {
    size_t size;        /* of this structure, or 0: libfdset(3) */
    int fd;             /* borrowed; of an open of its own, no duplicate of another */
    int set;            /* 0..INT_MAX */
    const char *opaque; /* label, at most 255 bytes; NULL for none */
};

/* How to spawn a helper. Zero-initialise, then set what matters; a field that
 * stays zero or NULL means the default. */
struct fdset_spawn_options {
    size_t size; /* of this structure, or 0: libfdset(3) */

    /* The helper's program. Default: $FDSET_HELPER, else the one that was
     * installed with this library. */
    const char *helper;

    /* What the VMM is called in the manager's tables. Default: $FDSET_NAME, else the
     * program's name. At most 63 bytes, the rest is cut off. */
    const char *name;

    /* Where the helper listens for managers, a path for a new socket with mode
     * 0600. Default: nowhere. */
    const char *manage_path;

    /* A socket for a manager, listening or connected, that the helper inherits.
     * Borrowed. 0 or -1: none (so it cannot be descriptor 0). */
    int manage_fd;

    /* Sets to start with, at most 253 descriptors. Borrowed. */
    const struct fdset_initial *initial;
    size_t initial_count;

    /* Further options for the helper's command line, ended by NULL. Those of
     * $FDSET_HELPER_OPTIONS, words with blanks between them, come after. If "--linger" is among
     * them, fdset_vmm_free() does not wait for the helper's end. */
    const char *const *arguments;
};

/* Starts a helper that serves this VMM and ends with it, and attaches to the helper. `options`
 * may be NULL. The caller's size does not matter: its memory is not copied (vfork). Returns
 * when the helper is locked into its sandbox.
 *
 * The helper is in the caller's session, in a process group of its own. It inherits the
 * standard streams, of which it keeps standard error (if that is a terminal, it is not the
 * helper's controlling one), and no other descriptor that is not meant for it; its environment
 * lacks LD_PRELOAD and what a service manager told this process.
 *
 * -ENOENT or -EACCES if the helper cannot be executed; -EPROTO or -ECONNRESET if the helper
 * ended before it was ready (its own message is on stderr); -EINVAL for options that the helper
 * could not have taken, -EBADF for a descriptor that is not open. */
int fdset_vmm_spawn(struct fdset_vmm **vmm, const struct fdset_spawn_options *options);

/* Attaches to a helper over a connected SOCK_SEQPACKET socket, such as one
 * that a manager let this process inherit. Consumes `socket`, also on failure.
 * `name` as in fdset_spawn_options, may be NULL. */
int fdset_vmm_attach_fd(struct fdset_vmm **vmm, int socket, const char *name);

/* Attaches to a helper's VMM socket by path. */
int fdset_vmm_attach_path(struct fdset_vmm **vmm, const char *path, const char *name);

/* From now on, if the helper goes, attach to the one that takes its place at the path: see
 * <fdset/reconnect.h>. NULL: no longer. -EOPNOTSUPP for an object that did not attach by a
 * path.
 *
 * Requests that were under way when the connection ended fail with -ECONNRESET. Descriptors
 * stay open, but are no leases any more: fdset_close() just closes them. The new helper has
 * only the sets that a manager adds to it, and no holds: a VMM that held a set has to hold it
 * again. An open that is submitted while the helper is away fails with -ECONNRESET; dispatching
 * makes the attempts to connect again. */
int fdset_vmm_set_reconnect(struct fdset_vmm *vmm, const struct fdset_reconnect *reconnect);

/* Ends the connection, and with it all leases that this object has, and frees the object. The
 * descriptors that were opened stay open; the caller closes them by close(2). A spawned helper
 * ends, and this call waits for its end, for ten seconds at most, as a file system that does
 * not answer can hold it up. NULL is allowed. */
void fdset_vmm_free(struct fdset_vmm *vmm);

/* The process id of a spawned helper, or -1 if this object attached to one. */
pid_t fdset_vmm_helper_pid(const struct fdset_vmm *vmm);

/* Stands in for open(2). `path` is "/dev/fdset/N", `flags` are open(2) flags.
 * How a member is chosen is told in fdset.proto, message Open. O_TRUNC, and
 * O_CREAT with O_EXCL, truncate the file unless the manager forbade it. The
 * descriptor is close-on-exec exactly if O_CLOEXEC is in `flags`.
 *
 * Returns the descriptor, to be closed by fdset_close(), or -errno: -EINVAL
 * (path), -ENOENT (no such set), -EACCES (no member of this mode), -EBUSY,
 * -EMFILE (this process's own descriptor limit), -ENFILE (the helper's),
 * -ECONNRESET (the helper has gone), ... */
int fdset_open(struct fdset_vmm *vmm, const char *path, int flags);

/* The same. But if there is no such set yet, no member of the wanted mode, or no free one, it
 * waits up to `wait_ms`, at most an hour, until a manager passes one. Managers that subscribed
 * are told (FDSET_EVENT_WANTED). Other threads' opens go on meanwhile. */
int fdset_open_wait(struct fdset_vmm *vmm, const char *path, int flags, unsigned wait_ms);

/* What is known of a set without opening it. */
struct fdset_look_result {
    /* For which access modes there is a member: bit O_RDONLY (1u << O_RDONLY, and so on), bit
     * O_WRONLY, bit O_RDWR. The member need not be free. */
    unsigned modes;

    /* stat(2) of the newest member. If the file is on a server, sizes and times are those that
     * the helper's host knows. */
    struct stat status;

    uint64_t reserved[4];
};

/* Stands in for stat(2) and access(2). It opens nothing: an open would use up a set that is for
 * one open, and would be refused if another VMM has the member. A look changes nothing and
 * causes no event. Returns 0, or -errno: -EINVAL (path), -ENOENT (no such set), -EACCES (no
 * member), -EOPNOTSUPP if the helper is of a version that cannot do this, -ECONNRESET, ... */
int fdset_look(struct fdset_vmm *vmm, const char *path, struct fdset_look_result *result);

/* Keeps a set as if it were open, for a VMM that has closed a disk and will open
 * it again: fdset.proto, message Hold. Return 0 or -errno. */
int fdset_hold(struct fdset_vmm *vmm, const char *path);
int fdset_unhold(struct fdset_vmm *vmm, const char *path);

/* One open among several. */
struct fdset_open_request {
    size_t size; /* of this structure, or 0: libfdset(3) */
    const char *path;
    int flags;
    int fd; /* filled in: the descriptor, or -errno */
};

/* Opens several at once, in one exchange per 250. Each has its own result in requests[i].fd.
 * Returns how many succeeded, or -errno if the exchange itself failed; then none is open and
 * every requests[i].fd is that error. fdset_error_text() tells of the last open that failed. */
int fdset_open_many(struct fdset_vmm *vmm, struct fdset_open_request *requests, size_t count);

/* For event loops: opens that do not wait. fdset_open_submit() returns 0 at once, or -errno if
 * the open cannot be sent (-EAGAIN: too many are under way; dispatch first, as some of them
 * will have outcomes). fdset_vmm_dispatch() gives the outcome of the open to `opened`, in the
 * thread that calls fdset_vmm_dispatch(): the descriptor, which is a lease as if from
 * fdset_open(), or -errno, with fdset_error_text(). Every open that was submitted gets an
 * outcome, at the latest -ECONNRESET by dispatching after the helper's end, or -ECANCELED in
 * fdset_vmm_free(), after which nothing more can be submitted. `opened` may submit, open and
 * close, but not dispatch or free.
 *
 * Opens that are submitted together travel together, which costs a fraction. While an open that
 * does not wait (`wait_ms` 0) has no answer yet, further such opens are kept, and sent in one
 * packet as soon as the submitting thread dispatches, or makes any other request. So dispatch,
 * with a timeout of 0 if need be, or poll: the descriptor is readable while there is something
 * to be sent. Each open still has its own outcome, and none holds up another; the helper sees
 * requests in the order in which a thread has made them. */
typedef void (*fdset_opened_function)(struct fdset_vmm *vmm, int fd, void *context);
int fdset_open_submit(struct fdset_vmm *vmm, const char *path, int flags, unsigned wait_ms,
                      fdset_opened_function opened, void *context);

/* Sends what was submitted, waits up to `timeout_ms` (-1: for ever, 0: not at all) for outcomes
 * and gives out those that are there. Returns how many, or -errno if the connection is over and
 * all outcomes have been given. */
int fdset_vmm_dispatch(struct fdset_vmm *vmm, int timeout_ms);

/* A descriptor that is readable (POLLIN) as long as fdset_vmm_dispatch() has something to do:
 * outcomes to give, also those that another thread has read, something to read or to send, an
 * attempt to reconnect that is due. Once the connection is over for good, the descriptor is
 * always readable. It is the same for the object's life; borrowed; -errno if it cannot be made. */
int fdset_vmm_poll_fd(struct fdset_vmm *vmm);

/* Stands in for close(2): closes `fd` and, if it is a lease of this object, tells the helper. A
 * descriptor that is no lease is just closed, so that an emulator can use it everywhere.
 * Returns what close(2) did, as 0 or -errno.
 *
 * The helper clears locks that were taken through the lease a moment later. The caller does not
 * wait for this; see fdset_close_wait(). */
int fdset_close(struct fdset_vmm *vmm, int fd);

/* The same. But if this ends the lease, the call returns when the helper has cleared the
 * lease's locks, which a file system may hold up. For a caller that looks for locks right
 * afterwards, as QEMU does when it reopens a disk. If the helper has gone, or is of a version
 * that does not answer, the call does not wait. */
int fdset_close_wait(struct fdset_vmm *vmm, int fd);

/* For programs that also stand in for dup(2) and exec(2), such as a preload library.
 *
 * fdset_lease() returns the number of the lease that `fd` is, or 0. fdset_duplicated() says
 * that `copy` is a duplicate of `fd`, so that the helper is told only when both are closed.
 * `fd` need not be a lease; a lease that `copy` was before (dup2) has ended. fdset_forget()
 * counts `fd` as closed without closing it, for a caller that is about to close it by other
 * means (dup2, close_range). */
uint64_t fdset_lease(struct fdset_vmm *vmm, int fd);
int fdset_duplicated(struct fdset_vmm *vmm, int fd, int copy);
void fdset_forget(struct fdset_vmm *vmm, int fd);

/* The socket to the helper, which the program must not close or read from; it may poll the
 * socket for the helper's end (POLLHUP). The number stays the same when the object reconnects,
 * but an epoll(7) must be told. Borrowed. */
int fdset_vmm_socket(const struct fdset_vmm *vmm);

/* What went wrong in the last call that failed in this thread, in one sentence, which is the
 * helper's if the helper refused. Never NULL; valid until this thread's next call. Shared with
 * <fdset/manager.h>. */
const char *fdset_error_text(void);

/* The FDSET_VERSION of the library that the program runs with. */
unsigned fdset_version(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
