/* SPDX-License-Identifier: MIT */
/* The system calls that are left to the relay: the same kind of table as the helper's. Arguments
 * that are not named are pointers, sizes, or descriptor numbers that change. */
#include <fcntl.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "confine/filter.h"

#define INT(index, name, value) \
    { FILTER_INT, index, #name " = " #value, value }
#define WITHIN(index, name, value) \
    { FILTER_WITHIN, index, #name " within " #value, value }
#define NULL_POINTER(index, name) \
    { FILTER_NULL, index, #name " = NULL", 0 }

const struct filter_rule filter_rules[] = {
    {"recvmsg",
     "Monitors, the joint and the helper; what comes closes on exec. It waits only for the helper.",
     {WITHIN(2, flags, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)}},
    {"sendmsg",
     "To the same, with descriptors; never raises SIGPIPE.",
     {INT(2, flags, MSG_DONTWAIT | MSG_NOSIGNAL)}},
    {"sendto",
     "Requests to the helper without descriptors; to whom the socket is connected to.",
     {INT(3, flags, MSG_DONTWAIT | MSG_NOSIGNAL), NULL_POINTER(4, addr)}},
    {"epoll_wait", "The one place where it waits for all.", {{0}}, "epoll_pwait"},
    {"epoll_ctl", "Watches sockets, and ends that.", {{0}}},
    {"poll", "Waits for the helper's answer.", {{0}}, "ppoll"},
    {"timerfd_settime", "When the helper is to be asked again.", {{0}}},
    {"alarm", "The emulator's last words are waited for so long.", {{0}}, "setitimer"},
    {"close", "Ends of monitors, and descriptors once they are the helper's.", {{0}}},
    {"getsockopt",
     "Whether a client's socket is one for descriptors.",
     {INT(1, level, SOL_SOCKET), INT(2, optname, SO_DOMAIN)}},
    {"shutdown", "Of a connection to the helper that is over.", {INT(1, how, SHUT_RDWR)}},
    {"futex", "Threads that close, and who waits for a portal to be bound.", {{0}}},
    {"fcntl", "Which mode a descriptor has, that comes with add-fd.", {INT(1, cmd, F_GETFL)}},
    {"fcntl", "Whether it is open.", {INT(1, cmd, F_GETFD)}},
    {"fcntl", "A copy of a portal, to bind it later.", {INT(1, cmd, F_DUPFD_CLOEXEC)}},
    {"fcntl",
     "A portal keeps its size.",
     {INT(1, cmd, F_ADD_SEALS), INT(2, arg, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)}},
    {"memfd_create", "Portals.", {{0}}},
    {"write", "Portals' contents; lines of the log.", {{0}}},
    {"mmap", "Memory, and portals; never code.", {WITHIN(2, prot, PROT_READ | PROT_WRITE)}},
    {"munmap", "Memory is given back.", {{0}}},
    {"mremap", "A large text grows.", {{0}}},
    {"brk", "Memory.", {{0}}},
    {"getpid", "Whether a connection is this process's.", {{0}}},
    {"exit_group", "The end.", {{0}}},
};

const size_t filter_rule_count = sizeof(filter_rules) / sizeof(filter_rules[0]);
