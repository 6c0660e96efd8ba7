/* SPDX-License-Identifier: MIT */
/* libfdset for management: give descriptors to fdset-helper, remove them, see which VMM uses
 * them.
 *
 *     struct fdset_manager *manager;
 *     if (fdset_manager_connect(&manager, "/run/vm1/manage.sock", "my-tool") < 0)
 *         errx(1, "%s", fdset_error_text());
 *     struct fdset_member base = {.fd = fd, .opaque = "base:rw"};
 *     struct fdset_add add = {.set = 1, .lifetime = FDSET_KEEP, .members = &base, .member_count = 1};
 *     if (fdset_add_fds(manager, &add, 1) < 0)
 *         errx(1, "%s", fdset_error_text());
 *     close(fd);
 *
 * Errors and threads as in <fdset/vmm.h>; fdset_manager_free() must be the
 * last call on its object. After fork(2) the object belongs to the parent; in
 * a child every call except fdset_manager_free() fails with -ESTALE. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <fdset/limits.h>
#include <fdset/reconnect.h>
#include <fdset/version.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* A connection in the manager's or the observer's role. */
struct fdset_manager;

/* Connects to a helper's manage socket; or to its observe socket, by which a program can only
 * look: fdset_query(), fdset_subscribe(). `name` is for the helper's messages; NULL: the
 * program's own name. -ENOENT, -ECONNREFUSED if no process listens, -EACCES if this user may
 * not connect, -EPERM if the helper does not accept this user as a manager. */
int fdset_manager_connect(struct fdset_manager **manager, const char *path, const char *name);

/* The same over a connected SOCK_SEQPACKET socket. Consumes `socket`, also on failure. */
int fdset_manager_attach_fd(struct fdset_manager **manager, int socket, const char *name);

/* What a manager may say of itself. Zero-initialise, then set what matters. */
struct fdset_manager_options {
    size_t size;      /* of this structure, or 0: libfdset(3) */
    const char *name; /* for the helper's messages; NULL for the program's own */

    /* A label, at most 63 bytes of printable ASCII; NULL for none. Sets that this manager makes
     * belong to the label and the manager's user id. A manager that connects again under the
     * same label has the sets of lifetime FDSET_CONNECTION and FDSET_ONCE whose grace has not
     * run out as its own again. */
    const char *owner;
};

int fdset_manager_connect_as(struct fdset_manager **manager, const char *path,
                             const struct fdset_manager_options *options);
int fdset_manager_attach_fd_as(struct fdset_manager **manager, int socket,
                               const struct fdset_manager_options *options);

/* From now on, if the helper goes, connect to the one that takes its place at the path, under
 * the same owner and with the same subscription: see <fdset/reconnect.h>. NULL: no longer.
 * -EOPNOTSUPP for an object that did not connect by a path. Requests that were under way fail
 * with -ECONNRESET (and may have been done). The new helper has no sets; a subscriber is told
 * so (FDSET_EVENT_RECONNECTED). */
int fdset_manager_set_reconnect(struct fdset_manager *manager,
                                const struct fdset_reconnect *reconnect);

/* Ends the connection and frees the object. Sets of lifetime FDSET_CONNECTION and FDSET_ONCE
 * that this connection made lose their unused members when their grace is over. NULL is
 * allowed. */
void fdset_manager_free(struct fdset_manager *manager);

/* How long a set's members stay: fdset.proto, enum Lifetime. */
enum fdset_lifetime {
    FDSET_LIFETIME_DEFAULT, /* CONNECTION for a new set, the set's own for an old one */
    FDSET_CONNECTION,
    FDSET_KEEP,
    FDSET_ONCE, /* used up by the first open that succeeds; ends as CONNECTION too */
    FDSET_IDLE, /* idle_ms after the last lease or hold has ended */
};

/* Which leases of a member there may be at once: fdset.proto, enum Sharing. */
enum fdset_sharing {
    FDSET_SHARING_DEFAULT, /* any number, all of one VMM */
    FDSET_EXCLUSIVE,       /* one lease */
    FDSET_SHARED,          /* any number, of any VMM; they share the locks */
};

/* A descriptor to add. */
struct fdset_member {
    size_t size;        /* of this structure, or 0: libfdset(3) */
    int fd;             /* borrowed: the helper gets a duplicate */
    uint32_t id;        /* filled in by fdset_add_fds() */
    const char *opaque; /* label, at most 255 bytes; NULL for none, which is not "" */
    enum fdset_sharing sharing;
    bool serves_read_only; /* this O_RDWR member may serve O_RDONLY */
    bool keep_content;     /* opens do not truncate */
    bool keep_locks;       /* locks stay when the last lease ends, flock(2)'s too */
    bool allow_socket;     /* the member may be a socket, which is refused otherwise */
};

/* Let the helper choose an id that it has never used. */
#define FDSET_NEW_SET (-1)

/* Members to put into one set. */
struct fdset_add {
    size_t size; /* of this structure, or 0: libfdset(3) */
    int set;     /* 0..INT_MAX, or FDSET_NEW_SET; filled in by fdset_add_fds() */
    enum fdset_lifetime lifetime;
    struct fdset_member *members;
    size_t member_count;

    /* A name beside the id, for /dev/fdset/NAME: 1 to 255 bytes of UTF-8 without '/' and
     * control characters, neither "." nor "..", and not of digits alone (fdset.proto,
     * NewMembers.name); NULL for none. With FDSET_NEW_SET, the set that has the name if there
     * is one. */
    const char *name;

    bool replace;      /* the set's old members are removed in the same step */
    bool mixed;        /* a new set's members may be of different files */
    uint32_t grace_ms; /* a new set's, of FDSET_CONNECTION or FDSET_ONCE */
    uint32_t idle_ms;  /* a new set's, of FDSET_IDLE: at least 1 */

    /* The name of the endpoint, which is a virtual machine, whose VMMs alone may open a new set
     * (--vmm PATH,name=NAME); NULL: all, or the one that this manager's socket is bound to.
     * -EINVAL if there is none of that name, -EOPNOTSUPP if the helper is too old. */
    const char *reserved_for;
};

/* Adds all members to all sets or, if it fails, none to any. At most 253 members in one call. A
 * set may stand in a call once. Each member must be an open of its own: two duplicates (dup(2))
 * would share their flags and locks.
 *
 * -EBADF (O_PATH, not open), -EINVAL (a type of file that cannot be a disk, an id or label out
 * of range, duplicates where the kernel tells: kcmp(2)), -EXDEV (not the same file as the set's
 * others), -ENOSPC (a limit of the helper's), -E2BIG (labels too long in all), ... */
int fdset_add_fds(struct fdset_manager *manager, struct fdset_add *sets, size_t count);

/* Removes one member, or all with `member` 0: no open is served from them any more; leases stay
 * good. Returns how many it removed, when their descriptors are closed: what they kept busy may
 * then be unmounted, detached or deleted. It waits ten seconds at most, and not at all while
 * leases are open. -ENOENT. */
int fdset_remove(struct fdset_manager *manager, int set, uint32_t member);

/* What came of a removal. */
struct fdset_removed {
    uint32_t members; /* that it removed; 0: they had been removed before */
    uint32_t leases;  /* that are open of what was removed: the file stays in use */
    uint32_t closing; /* members without a lease that are not closed yet */
    uint64_t reserved[4];
};

/* How long a removal waits if nothing else is said. */
#define FDSET_REMOVE_WAIT_MS 10000

/* The same, but waits for the close up to `wait_ms`, at most an hour; 0: not at all. A file
 * system may hang, or may have to flush what was written. Other threads' calls go on meanwhile.
 * `removed` may be NULL. Returns how many members it removed, or -errno. */
int fdset_remove_wait(struct fdset_manager *manager, int set, uint32_t member, unsigned wait_ms,
                      struct fdset_removed *removed);

/* What there is, as of one moment for what fits in a packet (about a hundred
 * members). Arrays are owned by the listing. */
struct fdset_lease_info {
    uint64_t lease;
    int flags; /* of the open */
    uint64_t age_ms;
    uint64_t connection; /* the VMM: its connection's number in the helper's life, */
    pid_t pid;           /* its process id, 0 if that is not known, */
    char *name;          /* and its name */
    char *endpoint;      /* of the VMM; NULL: the helper does not say */
    uint64_t reserved[3];
};

enum fdset_member_state {
    FDSET_MEMBER_LISTED = 1, /* may be opened */
    FDSET_MEMBER_REMOVED,    /* removed, has leases */
    FDSET_MEMBER_SETTLING,   /* last lease ended, the file system takes its time */
    FDSET_MEMBER_CLOSING,    /* removed, being closed */
};

struct fdset_member_info {
    uint32_t member;
    char *opaque; /* NULL for none */
    enum fdset_member_state state;
    int flags;    /* F_GETFL when it was added */
    dev_t device; /* which file: st_dev and st_ino */
    ino_t inode;
    mode_t type;         /* S_IFMT bits */
    dev_t device_number; /* of a device, which one (st_rdev), whatever its node; else 0 */
    enum fdset_sharing sharing;
    bool serves_read_only;
    bool keep_content;
    bool keep_locks;
    uint64_t age_ms;
    struct fdset_lease_info *leases; /* oldest first */
    size_t lease_count;
    uint64_t reserved[4];
};

struct fdset_info {
    int set;
    enum fdset_lifetime lifetime;
    bool orphaned;                     /* the connection that made it has ended */
    struct fdset_member_info *members; /* oldest first */
    size_t member_count;
    char *name;  /* NULL for none */
    char *owner; /* the label of the manager that made it, NULL for none, */
    uid_t owner_uid;
    uint32_t grace_ms, idle_ms;
    int64_t expires_ms; /* until its grace or idle time is over; -1: none is running */
    bool mixed;
    uint32_t holds;     /* VMMs that hold it */
    char *reserved_for; /* the endpoint whose VMMs alone may open it, NULL: all */
    uint64_t reserved[3];
};

/* An open that waits. */
struct fdset_waiting_info {
    uint64_t waiting; /* its number */
    char *path;
    int flags;
    uint64_t age_ms;
    uint64_t expires_ms; /* until it fails; 0: it waits for a settling member */
    uint64_t connection; /* the VMM, as in fdset_lease_info */
    pid_t pid;
    char *name;
    char *endpoint;
    uint64_t reserved[3];
};

/* What an endpoint, which is a virtual machine, has now; and what is kept for it: more it gets
 * while there is some that is kept for nobody. */
struct fdset_endpoint_info {
    char *name;
    uint32_t leases, leases_kept;
    uint32_t waiting, waiting_kept;
    uint32_t holds, holds_kept;
    uint32_t connections, connections_kept;
    uint32_t in_flight; /* descriptors that it may not have received yet */
    uint64_t reserved[4];
};

/* How far the helper is locked in: a stage of its sandbox. */
struct fdset_sandbox_info {
    char *name;
    bool whole;   /* false if the kernel or a container allowed only a part */
    char *detail; /* which then says what */
    uint64_t reserved[4];
};

struct fdset_totals {
    uint32_t sets, members, leases, connections, settling, waiting; /* now */
    uint32_t holds, subscribers;                                    /* now */
    uint64_t opens, denied, closes, hangups, uptime_ms;             /* over the helper's life */
    uint64_t added, removed, waited, expired, events_lost, accepted, malformed;
    uint64_t reserved[8];
};

struct fdset_listing {
    struct fdset_info *sets; /* by ascending id */
    size_t count;
    struct fdset_totals totals;
    struct fdset_waiting_info *waiting; /* oldest first */
    size_t waiting_count;
    struct fdset_sandbox_info *sandbox; /* where it was asked for */
    size_t sandbox_count;
    struct fdset_endpoint_info *endpoints; /* where they were asked for */
    size_t endpoint_count;
    uint64_t reserved[2];
};

/* What to list. Zero-initialise, then set what matters; conditions are joined
 * by "and", and strings must be equal. */
struct fdset_filter {
    size_t size; /* of this structure, or 0: libfdset(3) */
    bool by_set;
    int set;          /* where by_set; -ENOENT if it does not exist */
    const char *name; /* likewise */
    const char *owner;
    const char *opaque; /* members with this label, and their sets */
    bool sandbox;       /* tell the stages of the sandbox too */
    bool endpoints;     /* tell of the endpoints too */
};

/* Lists all sets, or one. Free the listing with fdset_listing_free(). -ENOENT if the set does
 * not exist, -ENOMEM, ... */
#define FDSET_ALL_SETS (-1)
int fdset_query(struct fdset_manager *manager, int set, struct fdset_listing **listing);
int fdset_query_filtered(struct fdset_manager *manager, const struct fdset_filter *filter,
                         struct fdset_listing **listing);
void fdset_listing_free(struct fdset_listing *listing);

/* What the helper said of itself when the connection was made: fdset.proto, HelloReply. */
enum fdset_role {
    FDSET_ROLE_VMM = 1,
    FDSET_ROLE_MANAGER,
    FDSET_ROLE_OBSERVER, /* may only look */
};

struct fdset_limits {
    uint32_t sets, members, leases, leases_per_vmm, connections, waiting, holds;
    uint32_t event_queue; /* events kept for a subscriber that does not read */
    uint32_t packet_bytes, packet_descriptors;
    uint32_t reserved[8];
};

struct fdset_helper_info {
    char helper[64];      /* its version, as --version prints it */
    uint32_t protocol;    /* version that is spoken */
    enum fdset_role role; /* what this connection may do */
    struct fdset_limits limits;
    char endpoint[64]; /* the one that this socket is bound to; empty: none */
    uint64_t reserved[4];
};

/* Tells of the helper that the object is connected to now; in a child of fork(2), nothing but
 * zeros. */
void fdset_manager_helper_info(struct fdset_manager *manager, struct fdset_helper_info *info);

/* What happens: fdset.proto, enum EventKind, says when each is told and which
 * fields it has. */
enum fdset_event_kind {
    FDSET_EVENT_ADDED = 1,
    FDSET_EVENT_REMOVED,
    FDSET_EVENT_OPENED,
    FDSET_EVENT_CLOSED,
    FDSET_EVENT_DENIED,
    FDSET_EVENT_WANTED,
    FDSET_EVENT_SET_GONE,
    FDSET_EVENT_VMM_CONNECTED,
    FDSET_EVENT_VMM_GONE,
    FDSET_EVENT_SETTLE_STUCK,

    /* From the library: it has reconnected, to a helper that begins anew, also with its sets
     * and the sequence. What happened in between is not known. */
    FDSET_EVENT_RECONNECTED = 31,
};

struct fdset_event {
    enum fdset_event_kind kind;
    uint64_t sequence; /* of all events of the helper's life */
    uint64_t lost;     /* events that were lost before this one, by helper or library */
    int set;           /* -1: the event is of no set */
    uint32_t member;
    uint64_t lease;
    int flags;
    char path[272];   /* there is room for a set's path; a longer one ends in "..." */
    int code;         /* enum Code of fdset.proto */
    uint32_t wait_ms; /* how long the open would wait */
    uint64_t connection;
    pid_t pid;
    char name[64];
    uint64_t time_ms;      /* when: since 1970, UTC, to a clock tick; 0: the helper does not say */
    char endpoint[64];     /* the VMM's, "" if the event is of none */
    char reserved_for[64]; /* the set's, "" for all */

    /* Of DENIED and WANTED because of CODE_BUSY, the lease in the way: held_by_lease is 0 if
     * there is none, or if it is not told. */
    uint64_t held_by_lease, held_by_connection;
    pid_t held_by_pid;
    char held_by_name[64], held_by_endpoint[64];
    uint64_t reserved[4];
};

#define FDSET_EVENT_BIT(kind) (1u << (kind))

/* Asks to be told of the kinds of events whose bits are set, from now on; 0: all but OPENED,
 * CLOSED and DENIED, which can be many. To know all without a gap, subscribe first and query
 * then. Events are kept, 1024 at most, until they are asked for. */
int fdset_subscribe(struct fdset_manager *manager, uint32_t kinds);

/* Gets the next event, waiting up to `timeout_ms` (-1: for ever, 0: not at all). Returns 1 with
 * an event, 0 if none came in time, or -errno: -ECONNRESET if the helper has gone. Other
 * threads may use the connection meanwhile. */
int fdset_next_event(struct fdset_manager *manager, struct fdset_event *event, int timeout_ms);

/* For event loops: the calls above without waiting. Each takes the same arguments, sends the
 * request, and returns 0 at once, or -errno if there is nothing to wait for.
 * fdset_manager_dispatch() gives the outcome, which is what the call would return, to `done`
 * later, in the thread that calls fdset_manager_dispatch(). What the call would fill in is
 * filled in then, and fdset_error_text() tells of a failure. All arguments, descriptors too,
 * are borrowed until then. Every request has an outcome, at the latest -ECONNRESET by
 * dispatching after the helper's end, or -ECANCELED in fdset_manager_free(). `done` may use the
 * object, but not dispatch or free it.
 *
 * Requests are sent in the order in which a thread makes them; a removal that waits does not
 * hold up the answers to others. There is no limit to their number: what the helper does not
 * take yet is sent by dispatching. While the helper is away, requests fail with -ECONNRESET.
 * Dispatching, or asking for events, makes the attempts to connect again
 * (fdset_manager_set_reconnect()); with a timeout of 0 these calls do not wait for the helper. */
typedef void (*fdset_done_function)(struct fdset_manager *manager, int result, void *context);
int fdset_add_submit(struct fdset_manager *manager, struct fdset_add *sets, size_t count,
                     fdset_done_function done, void *context);
int fdset_remove_submit(struct fdset_manager *manager, int set, uint32_t member, unsigned wait_ms,
                        struct fdset_removed *removed, fdset_done_function done, void *context);
int fdset_query_submit(struct fdset_manager *manager, const struct fdset_filter *filter,
                       struct fdset_listing **listing, fdset_done_function done, void *context);
int fdset_subscribe_submit(struct fdset_manager *manager, uint32_t kinds, fdset_done_function done,
                           void *context);

/* Waits up to `timeout_ms` (-1: for ever, 0: not at all) for outcomes and gives out those that
 * are there. Returns how many, or -errno if the connection is over and all outcomes have been
 * given. */
int fdset_manager_dispatch(struct fdset_manager *manager, int timeout_ms);

/* A descriptor that is readable (POLLIN) as long as fdset_next_event() or
 * fdset_manager_dispatch() has something to do: events or outcomes, also those that another
 * thread's call has read, something to send, a step of reconnecting. A loop calls both when the
 * descriptor is readable. Once the connection is over for good, the descriptor is always
 * readable. It is the same for the object's life; borrowed; -errno if it cannot be made. */
int fdset_manager_poll_fd(struct fdset_manager *manager);

/* The socket to the helper. The number stays the same when the object reconnects. Borrowed. */
int fdset_manager_socket(const struct fdset_manager *manager);

/* As in <fdset/vmm.h>. */
const char *fdset_error_text(void);
unsigned fdset_version(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
