/* libfdset for management: give descriptors to fdset-helper, take them back,
 * see who uses them.
 *
 *     struct fdset_manager *manager;
 *     if (fdset_manager_connect(&manager, "/run/vm1/manage.sock", "my-tool") < 0)
 *         errx(1, "%s", fdset_error_text());
 *     struct fdset_member base = {.fd = fd, .opaque = "base:rw"};
 *     struct fdset_add add = {.set = 1, .lifetime = FDSET_KEEP, .members = &base, .member_count = 1};
 *     if (fdset_add(manager, &add, 1) < 0)
 *         errx(1, "%s", fdset_error_text());
 *     close(fd);
 *
 * Errors and threads as in <fdset/vmm.h>; fdset_manager_free() must be the
 * last call on its object. After fork(2) the object belongs to the parent; in
 * a child every call but fdset_manager_free() fails with -ESTALE. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* A connection in the manager's or the observer's role. */
struct fdset_manager;

/* Connects to a helper's manage socket (or its observe socket, with which only
 * fdset_query() works). `name` is for the helper's messages; NULL for the
 * program's own. -ENOENT, -ECONNREFUSED where nobody listens, -EACCES where
 * this user may not, -EPERM where the helper does not accept this user. */
int fdset_manager_connect(struct fdset_manager **manager, const char *path, const char *name);

/* The same over a connected SOCK_SEQPACKET socket. Consumes `socket`, also on failure. */
int fdset_manager_attach_fd(struct fdset_manager **manager, int socket, const char *name);

/* Hangs up and frees. Sets of lifetime FDSET_CONNECTION that this connection
 * made lose their unused members. NULL is allowed. */
void fdset_manager_free(struct fdset_manager *manager);

/* How long a set's members stay: fdset.proto, enum Lifetime. */
enum fdset_lifetime {
    FDSET_LIFETIME_DEFAULT, /* CONNECTION for a new set, the set's own for an old one */
    FDSET_CONNECTION,
    FDSET_KEEP,
};

/* Who may hold leases of a member at once: fdset.proto, enum Sharing. */
enum fdset_sharing {
    FDSET_SHARING_DEFAULT, /* a writable member: one VMM at a time */
    FDSET_EXCLUSIVE,       /* one lease */
    FDSET_SHARED,          /* anyone */
};

/* A descriptor to add. */
struct fdset_member {
    int fd;             /* borrowed: the helper gets a duplicate */
    const char *opaque; /* label, at most 255 bytes; NULL for none, which is not "" */
    enum fdset_sharing sharing;
    bool serves_read_only; /* this O_RDWR member may answer O_RDONLY */
    bool keep_content;     /* opens do not truncate */
    bool keep_locks;       /* locks stay when the last lease ends */
    uint32_t id;           /* filled in by fdset_add() */
};

/* Let the helper choose an id that it has never used. */
#define FDSET_NEW_SET (-1)

/* Members to put into one set. */
struct fdset_add {
    int set; /* 0..INT_MAX, or FDSET_NEW_SET; filled in by fdset_add() */
    enum fdset_lifetime lifetime;
    struct fdset_member *members;
    size_t member_count;
};

/* Adds all members to all sets, or, where it fails, none to any. At most 253
 * members in one call. Every set may stand in it once.
 *
 * -EBADF (O_PATH, not open), -EINVAL (a type of file that cannot be a disk, an
 * id or label out of range), -EXDEV (not the same file as the set's others),
 * -ENOSPC (a limit of the helper's), -E2BIG (labels too long in all), ... */
int fdset_add(struct fdset_manager *manager, struct fdset_add *sets, size_t count);

/* Removes one member, or all with `member` 0: no open is served from them any
 * more; leases stay good. Returns how many it removed. -ENOENT. */
int fdset_remove(struct fdset_manager *manager, int set, uint32_t member);

/* What there is, as of one moment for what fits in a packet (about a hundred
 * members). Arrays are owned by the listing. */
struct fdset_lease_info {
    uint32_t lease;
    int flags; /* of the open */
    uint64_t age_ms;
    uint32_t connection; /* the holder: its number in the helper's life, */
    pid_t pid;           /* who connected, */
    char *name;          /* and what it calls itself */
};

enum fdset_member_state {
    FDSET_MEMBER_LISTED = 1, /* may be opened */
    FDSET_MEMBER_REMOVED,    /* removed, has leases */
    FDSET_MEMBER_SETTLING,   /* last lease ended, the file system takes its time */
    FDSET_MEMBER_CLOSING,    /* removed, being closed */
};

struct fdset_member_info {
    uint32_t member;
    char *opaque; /* NULL where none was given */
    enum fdset_member_state state;
    int flags; /* F_GETFL when it was added */
    dev_t device;
    ino_t inode;
    enum fdset_sharing sharing;
    bool serves_read_only;
    bool keep_content;
    bool keep_locks;
    uint64_t age_ms;
    struct fdset_lease_info *leases; /* oldest first */
    size_t lease_count;
};

struct fdset_info {
    int set;
    enum fdset_lifetime lifetime;
    bool orphaned;                     /* the connection that made it has ended */
    struct fdset_member_info *members; /* oldest first */
    size_t member_count;
};

struct fdset_totals {
    uint32_t sets, members, leases, connections, settling, waiting; /* now */
    uint64_t opens, denied, closes, hangups, uptime_ms;             /* over the helper's life */
};

struct fdset_listing {
    struct fdset_info *sets; /* by ascending id */
    size_t count;
    struct fdset_totals totals;
};

/* All sets, or one. Free the listing with fdset_listing_free(). -ENOENT where
 * the one does not exist, -ENOMEM, ... */
#define FDSET_ALL_SETS (-1)
int fdset_query(struct fdset_manager *manager, int set, struct fdset_listing **listing);
void fdset_listing_free(struct fdset_listing *listing);

/* As in <fdset/vmm.h>. */
const char *fdset_error_text(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
