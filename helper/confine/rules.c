/* SPDX-License-Identifier: MIT */
/* The table of rules; filter.h says how to read it. To add one: the call, the
 * reason, and a test for every argument that is not a pointer or a number that
 * changes. tests/sandbox then wants to know the new rule as well. */
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "filter.h"

#define INT(index, name, value) \
    { FILTER_INT, index, #name " = " #value, value }
#define NULL_POINTER(index, name) \
    { FILTER_NULL, index, #name " = NULL", 0 }
#define EPOLL(index) \
    { FILTER_INT, index, "epfd = the epoll descriptor", CONFINE_EPOLL }

const struct filter_rule filter_rules[] = {
    {"recvmsg",
     "Requests, connections' ends and answers of settle threads; never waits, and what it "
     "receives closes on exec.",
     {INT(2, flags, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)}},
    {"recvmsg",
     "Looks whether descriptors come with a packet, while there is no room for them, and leaves "
     "them where they are.",
     {INT(2, flags, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC)}},
    {"recvmsg",
     "A settle thread waits for work, on its own socket only: no other call can hang.",
     {{FILTER_SETTLE_SOCKET, 0, "fd = a settle thread's socket", 0},
      INT(2, flags, MSG_CMSG_CLOEXEC)}},
    {"sendmsg",
     "Replies, events, descriptors; work for settle threads; sd_notify. Never waits, never "
     "raises SIGPIPE.",
     {INT(2, flags, MSG_DONTWAIT | MSG_NOSIGNAL)}},
    {"epoll_pwait",
     "The one place where the main thread waits. Signal masks stay as they are.",
     {EPOLL(0), INT(2, maxevents, CONFINE_EPOLL_EVENTS), NULL_POINTER(4, sigmask),
      INT(5, sigsetsize, 8)}},
    {"fcntl",
     "Which access mode and flags a member has, asked of every descriptor that comes in.",
     {INT(1, cmd, F_GETFL)}},
    {"fcntl",
     "Sets a member's flags to what an open wants, and restores them; no O_ASYNC, which "
     "would send signals.",
     {INT(1, cmd, F_SETFL),
      {FILTER_STATUS_FLAGS, 2, "arg within O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME", 0}}},
    {"fcntl",
     "Clears the locks that a lease left behind: F_UNLCK of the whole file, from read-only "
     "memory, is the only lock operation there is.",
     {INT(1, cmd, F_OFD_SETLK), {FILTER_UNLOCK_ALL, 2, "arg = &unlock_all", 0}}},
    {"fcntl",
     "Gives back a file lease that a lease's holder has left behind, which would hold up who opens "
     "the file; takes none.",
     {INT(1, cmd, F_SETLEASE), INT(2, arg, F_UNLCK)}},
    {"fcntl",
     "Nobody gets the signals of a description whose holder has let go of it.",
     {INT(1, cmd, F_SETOWN), INT(2, arg, 0)}},
    {"fcntl",
     "Nor is it the holder's choice which signal the next one gets.",
     {INT(1, cmd, F_SETSIG), INT(2, arg, 0)}},
    {"close",
     "Ends connections and members, and our copy of what was sent. Not what other rules name "
     "by number, nor 2: what is received next would get that number.",
     {{FILTER_CLOSABLE, 0, "fd not 0, 1, 2, the epoll descriptor, a settle thread's socket", 0}}},
    {"statx",
     "Whether a descriptor that comes in is of the file it should be, and what a VMM may know of "
     "a set without an open; by no path, and without asking a server.",
     {{FILTER_EMPTY_PATH, 1, "pathname = &empty", 0},
      INT(2, flags, AT_EMPTY_PATH | AT_STATX_DONT_SYNC),
      INT(3, mask, STATX_BASIC_STATS)}},
    {"accept4",
     "New connections. Who they are from is asked by getsockopt.",
     {NULL_POINTER(1, addr), NULL_POINTER(2, addrlen),
      INT(3, flags, SOCK_CLOEXEC | SOCK_NONBLOCK)}},
    {"epoll_ctl", "Watches a connection.", {EPOLL(0), INT(1, op, EPOLL_CTL_ADD)}},
    {"epoll_ctl",
     "Waits for room in a connection that is full.",
     {EPOLL(0), INT(1, op, EPOLL_CTL_MOD)}},
    {"epoll_ctl",
     "Ends watching, before a connection's descriptor is closed.",
     {EPOLL(0), INT(1, op, EPOLL_CTL_DEL)}},
    {"getsockopt",
     "Who a connection is from.",
     {INT(1, level, SOL_SOCKET), INT(2, optname, SO_PEERCRED)}},
    {"getsockopt",
     "How much a connection has not read yet: bounds the descriptors in flight.",
     {INT(1, level, SOL_SOCKET), INT(2, optname, SO_MEMINFO)}},
    {"flock",
     "Clears the lock of the other kind that a lease left behind; takes none.",
     {INT(1, operation, LOCK_UN)}},
    {"fstatfs",
     "Which file system a member is on, hence whether closing it may wait for a server. Asks "
     "that server, so only settle threads do.",
     {{0}}},
    {"write", "Log lines.", {INT(0, fd, STDERR_FILENO)}},
    {"exit_group", "The end.", {{0}}},
};

const size_t filter_rule_count = sizeof(filter_rules) / sizeof(filter_rules[0]);
