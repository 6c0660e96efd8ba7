/* SPDX-License-Identifier: MIT */
/* What a settle thread does to a member's descriptor, and to leftovers. */
#include "settle/settle.h"

#include <sys/socket.h>
#include <unistd.h>

#include "settle/open_file.h"

struct settle_job job_of(const struct member *member) {
    return (struct settle_job){.fd = member->fd,
                               .flags = member->flags,
                               .work = member->work,
                               .unswept = !list_empty(&member->unswept),
                               .keep_locks = member->keep_locks};
}

/* With no room for descriptors the kernel closes those that come. */
static void drop_packet(int socket) {
    struct msghdr header = {0};

    (void)recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
}

void job_do(struct settle_job *job, const int *fd) {
    if (job->drop)
        drop_packet(fd[0]);
    for (uint32_t i = 0; i < job->leftovers && !job->drop; i++)
        close(fd[i]);
    if (job->work & WORK_INSPECT)
        job->may_block = open_file_asks_server(job->fd);
    if (job->work & WORK_RESTORE) {
        if (!job->keep_locks)
            open_file_unlock(job->fd);
        job->status = open_file_restore_status(job->fd, job->flags);
    }
    if (job->work & WORK_RESTORE || job->unswept)
        open_file_sweep(job->fd, job->keep_locks);
    if (job->work & WORK_CLOSE)
        close(job->fd);
}
