/* SPDX-License-Identifier: MIT */
/* stuck-fs MOUNTPOINT CONTROL-FD: a file system that stops answering when it is
 * told to, and goes on or fails when it is told to: stuck-fs.h. Nobody reads its
 * files or writes to them; they can be opened, locked and closed.
 *
 * Its parent, the test, is always answered, so that it cannot get stuck itself.
 * Whatever happens, this process ends after a while, and with it, by the
 * kernel's doing, every wait for it. */
#define FUSE_USE_VERSION 34
#include <fuse3/fuse_lowlevel.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "stuck-fs.h"

#define WATCHDOG_SECONDS 60
#define CACHE_SECONDS    3600.0
#define FILE_BYTES       4096
#define MAX_LOCKS        64
#define MAX_WITHHELD     64

struct request {
    fuse_req_t handle;
    enum stuck_operation operation;
    fuse_ino_t file; /* of SETLK, with what follows */
    uint64_t owner;
    struct flock range;
};

struct lock {
    fuse_ino_t file; /* 0: none */
    uint64_t owner;  /* an open file description, by the number that it got at its open */
    struct flock range;
};

static struct {
    bool stopped, awaited;
    unsigned untold; /* requests since the last AWAIT or STOP */
    pid_t asker;
} operations[STUCK_OPERATIONS];

static struct request withheld[MAX_WITHHELD];
static size_t withheld_count;
static struct lock locks[MAX_LOCKS];
static uint64_t last_open;
static int control;

/* ------------------------------------------------------------------- locks */

static off_t last_byte(const struct flock *range) {
    return range->l_len ? range->l_start + range->l_len - 1 : INT64_MAX;
}

static bool overlap(const struct flock *one, const struct flock *other) {
    return one->l_start <= last_byte(other) && other->l_start <= last_byte(one);
}

static const struct lock *find_conflict(fuse_ino_t file, uint64_t owner,
                                        const struct flock *range) {
    for (size_t i = 0; i < MAX_LOCKS; i++)
        if (locks[i].file == file && locks[i].owner != owner && overlap(&locks[i].range, range) &&
            (range->l_type == F_WRLCK || locks[i].range.l_type == F_WRLCK))
            return &locks[i];
    return NULL;
}

/* Whole locks are dropped: nobody here unlocks a part of one. */
static void drop_locks(fuse_ino_t file, uint64_t owner, const struct flock *range) {
    for (size_t i = 0; i < MAX_LOCKS; i++)
        if (locks[i].file == file && locks[i].owner == owner && overlap(&locks[i].range, range))
            locks[i].file = 0;
}

/* Returns 0 or an errno. */
static int set_lock(const struct request *request) {
    if (request->range.l_type == F_UNLCK) {
        drop_locks(request->file, request->owner, &request->range);
        return 0;
    }
    if (find_conflict(request->file, request->owner, &request->range))
        return EAGAIN;
    for (size_t i = 0; i < MAX_LOCKS; i++) {
        if (locks[i].file)
            continue;
        locks[i] = (struct lock){request->file, request->owner, request->range};
        return 0;
    }
    return ENOLCK;
}

/* -------------------------------------------- what can be told to get stuck */

static void carry_out(const struct request *request, int error) {
    struct statvfs status = {.f_bsize = FILE_BYTES, .f_namemax = 255};

    if (error == 0 && request->operation == STUCK_STATFS)
        fuse_reply_statfs(request->handle, &status);
    else if (error == 0 && request->operation == STUCK_SETLK)
        fuse_reply_err(request->handle, set_lock(request));
    else
        fuse_reply_err(request->handle, error);
}

static void answer_order(pid_t asker) {
    struct stuck_answer answer = {asker};
    if (send(control, &answer, sizeof(answer), MSG_NOSIGNAL) != sizeof(answer))
        exit(0); /* the test has ended */
}

static void tell_if_awaited(enum stuck_operation operation) {
    if (!operations[operation].awaited || operations[operation].untold == 0)
        return;
    operations[operation].awaited = false;
    operations[operation].untold = 0;
    answer_order(operations[operation].asker);
}

static void take_request(const struct request *request) {
    pid_t asker = fuse_req_ctx(request->handle)->pid;

    if (asker == getppid()) {
        carry_out(request, 0);
        return;
    }
    operations[request->operation].asker = asker;
    operations[request->operation].untold++;
    if (!operations[request->operation].stopped)
        carry_out(request, 0);
    else if (withheld_count < MAX_WITHHELD)
        withheld[withheld_count++] = *request;
    else
        errx(1, "more requests than one process can make at once");
    tell_if_awaited(request->operation);
}

static void go_on(enum stuck_operation operation, int error) {
    size_t left = 0;

    for (size_t i = 0; i < withheld_count; i++) {
        if (withheld[i].operation == operation)
            carry_out(&withheld[i], error);
        else
            withheld[left++] = withheld[i];
    }
    withheld_count = left;
}

static void take_order(void) {
    struct stuck_order order;

    if (recv(control, &order, sizeof(order), 0) != sizeof(order))
        exit(0); /* the test has ended */
    switch (order.verb) {
    case STUCK_STOP:
        operations[order.operation].stopped = true;
        operations[order.operation].untold = 0;
        break;
    case STUCK_GO_ON:
        operations[order.operation].stopped = false;
        go_on(order.operation, order.error);
        break;
    case STUCK_AWAIT:
        operations[order.operation].awaited = true;
        tell_if_awaited(order.operation);
        return;
    }
    answer_order(0);
}

static void do_statfs(fuse_req_t handle, fuse_ino_t file) {
    take_request(&(struct request){handle, STUCK_STATFS});
}

static void do_setlk(fuse_req_t handle, fuse_ino_t file, struct fuse_file_info *open,
                     struct flock *range, int sleep) {
    take_request(&(struct request){handle, STUCK_SETLK, file, open->fh, *range});
}

static void do_flush(fuse_req_t handle, fuse_ino_t file, struct fuse_file_info *open) {
    take_request(&(struct request){handle, STUCK_FLUSH});
}

/* ------------------------------------------------- what is always answered */

/* File N has the inode number N + 2; 1 is the root. */
static struct stat status_of(fuse_ino_t file) {
    if (file == FUSE_ROOT_ID)
        return (struct stat){.st_ino = file, .st_mode = S_IFDIR | 0755, .st_nlink = 2};
    return (struct stat){
        .st_ino = file, .st_mode = S_IFREG | 0666, .st_nlink = 1, .st_size = FILE_BYTES};
}

static void do_lookup(fuse_req_t handle, fuse_ino_t parent, const char *name) {
    struct fuse_entry_param entry = {.attr_timeout = CACHE_SECONDS, .entry_timeout = CACHE_SECONDS};

    if (name[0] < '0' || name[0] >= '0' + STUCK_FILES || name[1]) {
        fuse_reply_err(handle, ENOENT);
        return;
    }
    entry.ino = (fuse_ino_t)(name[0] - '0' + 2);
    entry.attr = status_of(entry.ino);
    fuse_reply_entry(handle, &entry);
}

static void do_getattr(fuse_req_t handle, fuse_ino_t file, struct fuse_file_info *open) {
    struct stat status = status_of(file);
    fuse_reply_attr(handle, &status, CACHE_SECONDS);
}

static void do_open(fuse_req_t handle, fuse_ino_t file, struct fuse_file_info *open) {
    open->fh = ++last_open;
    fuse_reply_open(handle, open);
}

static void do_release(fuse_req_t handle, fuse_ino_t file, struct fuse_file_info *open) {
    struct flock all = {.l_start = 0};
    drop_locks(file, open->fh, &all);
    fuse_reply_err(handle, 0);
}

static void do_getlk(fuse_req_t handle, fuse_ino_t file, struct fuse_file_info *open,
                     struct flock *range) {
    const struct lock *conflict = find_conflict(file, open->fh, range);
    struct flock none = {.l_type = F_UNLCK};
    fuse_reply_lock(handle, conflict ? &conflict->range : &none);
}

static const struct fuse_lowlevel_ops requests = {
    .lookup = do_lookup,
    .getattr = do_getattr,
    .open = do_open,
    .release = do_release,
    .statfs = do_statfs,
    .getlk = do_getlk, /* with setlk it makes libfuse ask for FUSE_CAP_POSIX_LOCKS */
    .setlk = do_setlk,
    .flush = do_flush,
};

static void serve(struct fuse_session *session) {
    struct fuse_buf buffer = {0};
    struct pollfd ready[] = {{.fd = fuse_session_fd(session), .events = POLLIN},
                             {.fd = control, .events = POLLIN}};

    fcntl(ready[0].fd, F_SETFL, O_RDWR | O_NONBLOCK);
    while (!fuse_session_exited(session)) {
        poll(ready, 2, -1);
        if (ready[1].revents)
            take_order();
        if (ready[0].revents && fuse_session_receive_buf(session, &buffer) > 0)
            fuse_session_process_buf(session, &buffer);
    }
    free(buffer.mem);
}

int main(int argc, char **argv) {
    /* Without allow_other the kernel asks us only for our own user's processes. */
    char all[] = "-oallow_other,fsname=stuck-fs", own[] = "-ofsname=stuck-fs";
    char *options[] = {argv[0], argc == 4 ? own : all, NULL};
    struct fuse_args arguments = FUSE_ARGS_INIT(2, options);

    if (argc != 3 && (argc != 4 || strcmp(argv[3], "private") != 0))
        errx(2, "usage: %s MOUNTPOINT CONTROL-FD [private]", argv[0]);
    alarm(WATCHDOG_SECONDS);
    control = atoi(argv[2]);
    struct fuse_session *session = fuse_session_new(&arguments, &requests, sizeof(requests), NULL);
    if (!session || fuse_session_mount(session, argv[1]) < 0)
        errx(1, "cannot mount on %s", argv[1]);
    answer_order(0);
    serve(session);
    return 0;
}
