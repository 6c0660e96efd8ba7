/* SPDX-License-Identifier: MIT */
/* What a VMM asks without opening: Look. It takes nothing, changes nothing and is told
 * to nobody. */
#include "requests/handler.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "feature.h"
#include "requests/opening.h"
#include "settle/open_file.h"

/* Which access modes the members serve that may be opened, as Looked.modes has them. */
static uint32_t set_modes(const struct fdset *set) {
    uint32_t modes = 0;

    for (int mode = O_RDONLY; mode <= O_RDWR; mode++)
        modes |= (uint32_t) !!set->mode_counts[mode] << mode;
    return modes | (uint32_t) !!set->read_count << O_RDONLY;
}

/* The newest member that may be opened, be it now or when it is settled; and what all
 * of them serve together. */
static const struct member *set_look(const struct fdset *set, uint32_t *modes,
                                     struct refusal *refusal) {
    const struct member *newest = list_empty(&set->listed)
                                      ? NULL
                                      : list_object(set->listed.previous, struct member, in_listed);

    *modes = set_modes(set);
    if (!newest)
        refuse(refusal, REFUSAL_EMPTY_SET, EACCES, "set %u has no member left that may be opened",
               set->id);
    return newest;
}

/* What does not fit, in the year 2262 and after, is the last that does. */
static int64_t nanoseconds(struct statx_timestamp time) {
    int64_t result;

    if (__builtin_mul_overflow(time.tv_sec, INT64_C(1000000000), &result) ||
        __builtin_add_overflow(result, (int64_t)time.tv_nsec, &result))
        return time.tv_sec < 0 ? INT64_MIN : INT64_MAX;
    return result;
}

static void fill(Fdset__V1__Looked *looked, const struct statx *status) {
    looked->mode = status->stx_mode;
    looked->device = makedev(status->stx_dev_major, status->stx_dev_minor);
    looked->inode = status->stx_ino;
    looked->device_number = makedev(status->stx_rdev_major, status->stx_rdev_minor);
    looked->links = status->stx_nlink;
    looked->uid = status->stx_uid;
    looked->gid = status->stx_gid;
    looked->size = status->stx_size;
    looked->blocks = status->stx_blocks;
    looked->block_size = status->stx_blksize;
    looked->accessed_ns = nanoseconds(status->stx_atime);
    looked->modified_ns = nanoseconds(status->stx_mtime);
    looked->changed_ns = nanoseconds(status->stx_ctime);
}

int serve_look(struct service *service, struct session *session, const Fdset__V1__Request *request,
               struct refusal *refusal) {
    Fdset__V1__Looked looked = FDSET__V1__LOOKED__INIT;
    struct statx status;

    /* As a helper would that does not know it: so a client that forgot to agree on it
     * is found out by every helper alike. */
    if (!(session->features & FEATURE_BIT(LOOK))) {
        session->leaving = true;
        return refuse(refusal, REFUSAL_PROTOCOL, EPROTO, "Look was not agreed on in Hello");
    }
    const struct fdset *set =
        find_path(&service->model, session->holder.endpoint, request->look->path, refusal);
    const struct member *member = set ? set_look(set, &looked.modes, refusal) : NULL;
    if (!member)
        return -refusal->error;
    int result = open_file_status(member->fd, &status);
    if (result < 0)
        return refuse(refusal, REFUSAL_BAD_FD, -result,
                      "the file system of set %u does not tell about it: %s", set->id,
                      strerrordesc_np(-result));
    fill(&looked, &status);
    reply_send(session, request->serial, FDSET__V1__REPLY__BODY_LOOKED, &looked, NULL, 0);
    return 0;
}
