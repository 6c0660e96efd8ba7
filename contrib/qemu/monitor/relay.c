/* SPDX-License-Identifier: MIT */
/* What the relay waits for, and when it is over. */
#include "relay.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/say.h"
#include "confine.h"
#include "joint/joint.h"
#include "link.h"
#include "members.h"
#include "mirror.h"
#include "questions.h"

/* After the emulator's end, for its last words to be read. */
#define FAREWELL_S 2

/* Then it is the others' turn. */
#define EVENTS_AT_ONCE 64

struct serving {
    struct relay relay; /* first */
    struct relay_watch signals, joint;
};

/* ------------------------------------------------------------------- events */

static void helper_ready(struct relay_watch *watch, uint32_t events) {
    struct relay *relay = watch->owner;
    struct fdset_event event;
    int over = fdset_manager_dispatch(relay->manager, 0), result = 1;

    for (int i = 0;
         i < EVENTS_AT_ONCE && (result = fdset_next_event(relay->manager, &event, 0)) > 0; i++) {
        mirror_event(relay, &event);
        link_event(relay, &event);
    }
    /* One that has gone keeps its descriptor readable. */
    if (over < 0 && result < 0)
        loop_unwatch(&relay->loop, watch);
}

static void signal_ready(struct relay_watch *watch, uint32_t events) {
    struct relay *relay = watch->owner;
    relay->loop.ended = true;
}

/* All that the emulator had is closed: it has ended, or will never begin. */
static void emulator_end(struct serving *serving) {
    struct relay *relay = &serving->relay;

    loop_unwatch(&relay->loop, &serving->joint);
    relay->emulator_gone = true;
    relay->loop.ended |= !relay->links;
    alarm(FAREWELL_S);
}

static void joint_take(struct relay *relay, const struct joint_message *message, const int fds[2]) {
    switch (message->kind) {
    case JOINT_MONITOR:
        link_begin(relay, fds[0], fds[1]);
        break;
    case JOINT_PORTAL_AT:
        members_at(relay, message->number, message->set, message->member, *message->text);
        break;
    case JOINT_PORTAL_CLOSED:
        members_closed(relay, message->number, message->set, message->member);
        break;
    case JOINT_STRAY:
        link_stray(relay, message->text);
        break;
    }
}

static void joint_listen(struct relay *relay) {
    struct serving *serving = (struct serving *)relay;
    struct joint_message message;
    int fds[2], result;

    while (!relay->emulator_gone &&
           (result = joint_receive(serving->joint.fd, &message, fds)) != -EAGAIN)
        if (result == 1)
            joint_take(relay, &message, fds);
        else if (result != -EPROTO)
            emulator_end(serving);
}

static void joint_ready(struct relay_watch *watch, uint32_t events) {
    joint_listen(watch->owner);
}

/* ---------------------------------------------------------------- beginning */

static void watch_begin(struct serving *serving, struct relay_watch *watch, int fd,
                        void (*ready)(struct relay_watch *, uint32_t)) {
    *watch = (struct relay_watch){.fd = fd, .ready = ready, .owner = serving};
    loop_watch(&serving->relay.loop, watch, EPOLLIN);
}

static int signals_open(void) {
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGALRM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Every client has two sockets and perhaps a descriptor on its way. */
static void raise_limit(void) {
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void subscribed(struct fdset_manager *manager, int result, void *context) {
    struct relay *relay = context;

    /* What there is already is not told. */
    relay->mirror.stale = true;
    mirror_refresh(relay);
}

static int manager_open(struct relay *relay, int socket) {
    int error = fdset_manager_attach_fd(&relay->manager, socket, "fdset-qemu");

    if (!error)
        error = fdset_subscribe_submit(relay->manager, EVENTS_MIRRORED, subscribed, relay);
    return error ? error : fdset_manager_poll_fd(relay->manager);
}

static int state_begin(struct serving *serving, const struct relay_setup *setup) {
    struct relay *relay = &serving->relay;
    int signals = signals_open();
    int error = signals < 0 ? -errno : loop_open(&relay->loop);

    if (error) {
        complain("%s", strerror(-error));
        return error;
    }
    int helper = manager_open(relay, setup->manage_fd);
    if (helper < 0) {
        complain("%s", fdset_error_text());
        return helper;
    }
    watch_begin(serving, &serving->signals, signals, signal_ready);
    watch_begin(serving, &relay->helper_watch, helper, helper_ready);
    watch_begin(serving, &serving->joint, setup->joint, joint_ready);
    return 0;
}

static void say_ready(int fd) {
    if (fd < 0)
        return;
    if (write(fd, "\n", 1) < 0)
        complain("cannot say that it serves: %s", strerror(errno));
    close(fd);
}

int relay_run(const struct relay_setup *setup) {
    static struct serving serving;

    serving = (struct serving){
        .relay = {.waits = setup->waits, .listen = joint_listen, .pump = link_pump},
    };
    raise_limit();
    if (state_begin(&serving, setup) < 0 || relay_confine() < 0)
        return 1;
    say_ready(setup->ready);
    loop_run(&serving.relay.loop);
    links_end(&serving.relay);
    return 0;
}
