/* SPDX-License-Identifier: MIT */
/* What the filter must let through, written a second time: see reference.h. */
#include "reference.h"

#include <string.h>

/* Numbers and flags are spelt out: this is the list an auditor would write
 * down from the kernel's headers. */
const struct reference_call reference_calls[REFERENCE_CALLS] = {
    {"recvmsg", 47, 212},  {"sendmsg", 46, 211},   {"epoll_pwait", 281, 22},
    {"fcntl", 72, 25},     {"close", 3, 57},       {"statx", 332, 291},
    {"accept4", 288, 242}, {"epoll_ctl", 233, 21}, {"getsockopt", 55, 209},
    {"fstatfs", 138, 44},  {"write", 1, 64},       {"exit_group", 231, 94},
    {"flock", 73, 32},
};

#define MSG_PEEK_         0x2u
#define MSG_DONTWAIT_     0x40u
#define MSG_NOSIGNAL_     0x4000u
#define MSG_CMSG_CLOEXEC_ 0x40000000u
#define O_APPEND_         0x400u
#define O_NONBLOCK_       0x800u
#define O_NOATIME_        0x40000u
#define SOCK_CLOEXEC_     0x80000u

#define EPOLL 3

static bool is_settle_socket(uint32_t fd) {
    return fd == 4 || fd == 5 || fd == 6 || fd == 7;
}

static bool is_closable(uint32_t fd) {
    return fd > 7 && fd <= 0x7fffffff;
}

static bool allows_fcntl(const struct confine_plan *plan, uint64_t direct, uint32_t command,
                         uint64_t argument) {
    uint32_t settable = O_APPEND_ | O_NONBLOCK_ | O_NOATIME_ | (uint32_t)direct;

    return command == 3 /* F_GETFL */ ||
           (command == 4 /* F_SETFL */ && ((uint32_t)argument & ~settable) == 0) ||
           (command == 8 /* F_SETOWN */ && (uint32_t)argument == 0) ||
           (command == 10 /* F_SETSIG */ && (uint32_t)argument == 0) ||
           (command == 1024 /* F_SETLEASE */ && (uint32_t)argument == 2 /* F_UNLCK */) ||
           (command == 37 /* F_OFD_SETLK */ && argument == (uintptr_t)plan->unlock_all);
}

bool reference_allows(const struct confine_plan *plan, uint64_t direct,
                      const struct attempt *attempt) {
    const uint64_t *full = attempt->arguments;
    const char *call = attempt->call;
    uint32_t low[6];

    /* What the kernel reads of an int. */
    for (int i = 0; i < 6; i++)
        low[i] = full[i];
    if (!strcmp(call, "recvmsg"))
        return (low[2] & ~MSG_PEEK_) == (MSG_DONTWAIT_ | MSG_CMSG_CLOEXEC_) ||
               (low[2] == MSG_CMSG_CLOEXEC_ && is_settle_socket(low[0]));
    if (!strcmp(call, "sendmsg"))
        return low[2] == (MSG_DONTWAIT_ | MSG_NOSIGNAL_);
    if (!strcmp(call, "epoll_pwait"))
        return low[0] == EPOLL && low[2] == 64 && full[4] == 0 && low[5] == 8;
    if (!strcmp(call, "fcntl"))
        return allows_fcntl(plan, direct, low[1], full[2]);
    if (!strcmp(call, "flock"))
        return low[1] == 8 /* LOCK_UN */;
    if (!strcmp(call, "close"))
        return is_closable(low[0]);
    if (!strcmp(call, "statx"))
        return full[1] == (uintptr_t)plan->empty_path && low[2] == 0x5000 && low[3] == 0x7ff;
    if (!strcmp(call, "accept4"))
        return full[1] == 0 && full[2] == 0 && low[3] == (SOCK_CLOEXEC_ | O_NONBLOCK_);
    if (!strcmp(call, "epoll_ctl"))
        return low[0] == EPOLL && low[1] >= 1 && low[1] <= 3;
    if (!strcmp(call, "getsockopt"))
        return low[1] == 1 && (low[2] == 17 /* peer */ || low[2] == 55 /* memory */);
    if (!strcmp(call, "write"))
        return low[0] == 2;
    return !strcmp(call, "fstatfs") || !strcmp(call, "exit_group");
}

size_t reference_examples(const struct confine_plan *plan, uint64_t direct,
                          struct attempt *examples) {
    const uint64_t unlock = (uintptr_t)plan->unlock_all, empty = (uintptr_t)plan->empty_path;
    const uint64_t settable = O_APPEND_ | O_NONBLOCK_ | O_NOATIME_ | direct;
    const uint64_t free = plan->descriptor_limit - 1;
    const struct attempt fixed[] = {
        {"recvmsg", {free, 0, MSG_DONTWAIT_ | MSG_CMSG_CLOEXEC_}},
        {"recvmsg", {free, 0, MSG_PEEK_ | MSG_DONTWAIT_ | MSG_CMSG_CLOEXEC_}},
        {"sendmsg", {free, 0, MSG_DONTWAIT_ | MSG_NOSIGNAL_}},
        {"epoll_pwait", {EPOLL, 0, 64, 0, 0, 8}},
        {"fcntl", {0, 3}},
        {"fcntl", {0, 4, 0}},
        {"fcntl", {free, 4, settable}},
        {"fcntl", {0, 37, unlock}},
        {"fcntl", {free, 1024, 2}},
        {"fcntl", {0, 8, 0}},
        {"fcntl", {0, 10, 0}},
        {"flock", {free, 8}},
        {"close", {free}},
        {"close", {8}},
        {"statx", {0, empty, 0x5000, 0x7ff, 0}},
        {"accept4", {free, 0, 0, SOCK_CLOEXEC_ | O_NONBLOCK_}},
        {"epoll_ctl", {EPOLL, 1, free, 0}},
        {"epoll_ctl", {EPOLL, 2, free, 0}},
        {"epoll_ctl", {EPOLL, 3, free, 0}},
        {"getsockopt", {free, 1, 17, 0, 0}},
        {"getsockopt", {free, 1, 55, 0, 0}},
        {"fstatfs", {0, 0}},
        {"write", {2, 0, 0}},
        {"exit_group", {42}},
    };
    size_t count = sizeof(fixed) / sizeof(fixed[0]);

    memcpy(examples, fixed, sizeof(fixed));
    for (uint64_t socket = 4; socket <= 7; socket++)
        examples[count++] = (struct attempt){"recvmsg", {socket, 0, MSG_CMSG_CLOEXEC_}};
    return count;
}
