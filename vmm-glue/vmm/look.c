/* SPDX-License-Identifier: MIT */
/* What is known of a set without opening it. */
#include <errno.h>

#include <fdset/vmm.h>

#include "feature.h"
#include "vmm/vmm.h"
#include "wire/failure.h"
#include "wire/packets.h"
#include "wire/requests.h"

/* Rounded down, also before 1970. */
static struct timespec time_read(int64_t nanoseconds) {
    const int64_t second = 1000000000;
    struct timespec time = {.tv_sec = nanoseconds / second, .tv_nsec = nanoseconds % second};

    if (time.tv_nsec < 0) {
        time.tv_nsec += second;
        time.tv_sec--;
    }
    return time;
}

static void status_read(struct stat *status, const Fdset__V1__Looked *looked) {
    *status = (struct stat){
        .st_mode = looked->mode,
        .st_dev = looked->device,
        .st_ino = looked->inode,
        .st_rdev = looked->device_number,
        .st_nlink = looked->links,
        .st_uid = looked->uid,
        .st_gid = looked->gid,
        .st_size = (off_t)looked->size,
        .st_blocks = (blkcnt_t)looked->blocks,
        .st_blksize = (blksize_t)looked->block_size,
        .st_atim = time_read(looked->accessed_ns),
        .st_mtim = time_read(looked->modified_ns),
        .st_ctim = time_read(looked->changed_ns),
    };
}

int fdset_look(struct fdset_vmm *vmm, const char *path, struct fdset_look_result *result) {
    Fdset__V1__Look look = FDSET__V1__LOOK__INIT;
    Fdset__V1__Request request = REQUEST(look = &look, LOOK);
    struct connection *connection = &vmm->connection;
    int error = path_check(path);
    if (error)
        return error;
    if (connection_inherited(connection))
        return connection_say_foreign();
    pthread_mutex_lock(&connection->lock);
    bool known = connection->features & FEATURE_BIT(LOOK);
    pthread_mutex_unlock(&connection->lock);
    if (!known)
        return fail(EOPNOTSUPP, "this fdset-helper cannot be asked about a set: it needs a newer "
                                "version");
    look.path = (char *)path;
    error = connection_call(connection, &request, NULL, 0, FDSET__V1__REPLY__BODY_LOOKED);
    if (error)
        return error;
    result->modes = connection->reply->looked->modes;
    status_read(&result->status, connection->reply->looked);
    reply_release(connection);
    return 0;
}
