/* SPDX-License-Identifier: MIT */
/* A packet for each message. */
#include "joint.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* As many as a monitor needs. */
#define DESCRIPTORS 2

union joint_control {
    char room[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
    struct cmsghdr header;
};

int joint_send(int joint, const struct joint_message *message, const int fds[2]) {
    struct iovec part = {(void *)message, sizeof(*message)};
    union joint_control control = {{0}};
    struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t sent;

    if (fds) {
        packet.msg_control = &control;
        packet.msg_controllen = sizeof(control);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&packet);
        *rights = (struct cmsghdr){.cmsg_len = CMSG_LEN(DESCRIPTORS * sizeof(int)),
                                   .cmsg_level = SOL_SOCKET,
                                   .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(rights), fds, DESCRIPTORS * sizeof(int));
    }
    do {
        sent = sendmsg(joint, &packet, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

/* How many came. */
static int descriptors_take(struct msghdr *packet, int fds[2]) {
    const struct cmsghdr *rights = CMSG_FIRSTHDR(packet);

    fds[0] = fds[1] = -1;
    if (!rights || rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS)
        return 0;
    size_t size = rights->cmsg_len - CMSG_LEN(0); /* no more than there was room for */
    memcpy(fds, CMSG_DATA(rights), size);
    return (int)(size / sizeof(int));
}

static bool is_sound(const struct joint_message *message, const struct msghdr *packet, int count) {
    return !(packet->msg_flags & (MSG_TRUNC | MSG_CTRUNC)) && message->kind >= JOINT_MONITOR &&
           message->kind <= JOINT_STRAY &&
           count == (message->kind == JOINT_MONITOR ? DESCRIPTORS : 0);
}

int joint_receive(int joint, struct joint_message *message, int fds[2]) {
    struct iovec part = {message, sizeof(*message)};
    union joint_control control;
    struct msghdr packet = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof(control)};
    ssize_t got;

    do {
        got = recvmsg(joint, &packet, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got <= 0)
        return got == 0 || errno == ECONNRESET ? 0 : -errno;
    int count = descriptors_take(&packet, fds);
    message->text[sizeof(message->text) - 1] = '\0';
    if (got == sizeof(*message) && is_sound(message, &packet, count))
        return 1;
    for (int i = 0; i < DESCRIPTORS; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    fds[0] = fds[1] = -1;
    return -EPROTO;
}
