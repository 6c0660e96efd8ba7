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

/* After the emulator's end, for its last words to be read. */
#define FAREWELL_MS 2000

/* Then it is the others' turn. */
#define EVENTS_AT_ONCE 64

struct serving {
    struct relay relay;
    struct relay_setup *setup;
    struct relay_watch signals, lifeline;
    int64_t deadline_ms; /* of the emulator's last words; 0: it lives */
};

static void each_monitor(struct serving *serving, void (*do_it)(struct relay_monitor *)) {
    for (size_t i = 0; i < serving->setup->monitor_count; i++)
        do_it(&serving->setup->monitors[i]);
}

/* ------------------------------------------------------------------- events */

static void helper_ready(struct relay_watch *watch, uint32_t events) {
    struct serving *serving = watch->owner;
    struct fdset_manager *manager = serving->relay.manager;
    struct fdset_event event;
    int over = fdset_manager_dispatch(manager, 0), result = 1;

    for (int i = 0; i < EVENTS_AT_ONCE && (result = fdset_next_event(manager, &event, 0)) > 0; i++)
        link_event(&serving->relay, &event);
    /* One that has gone for good keeps its descriptor readable. */
    if (over < 0 && result < 0 && !serving->setup->manage)
        loop_unwatch(&serving->relay.loop, watch);
}

static void signal_ready(struct relay_watch *watch, uint32_t events) {
    struct serving *serving = watch->owner;
    serving->relay.loop.ended = true;
}

static void lifeline_ready(struct relay_watch *watch, uint32_t events) {
    struct serving *serving = watch->owner;

    loop_unwatch(&serving->relay.loop, watch);
    each_monitor(serving, monitor_finish);
    serving->deadline_ms = loop_now_ms() + FAREWELL_MS;
}

static bool is_over(const struct serving *serving) {
    const struct relay_setup *setup = serving->setup;

    if (serving->deadline_ms && loop_now_ms() >= serving->deadline_ms)
        return true;
    for (size_t i = 0; i < setup->monitor_count; i++)
        if (!setup->monitors[i].finished)
            return false;
    return !serving->relay.links;
}

/* Something was finished, or is to be tried again. */
static void alarm_ready(void *owner) {
    struct serving *serving = owner;

    each_monitor(serving, monitor_resume);
    links_redial(&serving->relay);
    serving->relay.loop.ended = serving->relay.loop.ended || is_over(serving);
    if (serving->deadline_ms)
        loop_set_alarm(&serving->relay.loop, FAREWELL_MS / 20);
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

static int manager_open(struct fdset_manager **manager, const struct relay_setup *setup) {
    /* A command is answered at once, whether the helper is back or not. */
    static const struct fdset_reconnect reconnect = {
        .first_ms = 100, .most_ms = 500, .give_up_ms = 1};
    int error;

    if (!setup->manage)
        error = fdset_manager_attach_fd(manager, setup->manage_fd, "fdset-qemu");
    else if (!(error = fdset_manager_connect(manager, setup->manage, "fdset-qemu")))
        error = fdset_manager_set_reconnect(*manager, &reconnect);
    return error ? error : fdset_manager_poll_fd(*manager);
}

static int monitors_begin(struct serving *serving) {
    int error = 0;

    for (size_t i = 0; i < serving->setup->monitor_count && !error; i++)
        error = monitor_begin(&serving->setup->monitors[i]);
    return error;
}

static int state_begin(struct serving *serving) {
    struct relay_setup *setup = serving->setup;
    struct relay *relay = &serving->relay;
    int signals = signals_open();
    int error = signals < 0 ? -errno : loop_open(&relay->loop);

    if (error) {
        complain("%s", strerror(-error));
        return error;
    }
    int helper = manager_open(&relay->manager, setup);
    if (helper < 0) {
        complain("%s", fdset_error_text());
        return helper;
    }
    watch_begin(serving, &serving->signals, signals, signal_ready);
    watch_begin(serving, &relay->helper_watch, helper, helper_ready);
    if (setup->lifeline >= 0)
        watch_begin(serving, &serving->lifeline, setup->lifeline, lifeline_ready);
    return monitors_begin(serving);
}

static void say_ready(int fd) {
    if (fd < 0)
        return;
    if (write(fd, "\n", 1) < 0)
        complain("cannot say that it serves: %s", strerror(errno));
    close(fd);
}

int relay_run(struct relay_setup *setup) {
    static struct serving serving;

    serving = (struct serving){
        .setup = setup,
        .relay = {.loop = {.alarm = alarm_ready, .owner = &serving},
                  .errand_done = link_errand_done},
    };
    for (size_t i = 0; i < setup->monitor_count; i++) {
        setup->monitors[i].relay = &serving.relay;
        setup->monitors[i].client = -1;
    }
    raise_limit();
    int error = state_begin(&serving);
    if (!error) {
        say_ready(setup->ready);
        loop_run(&serving.relay.loop);
    }
    links_end(&serving.relay);
    each_monitor(&serving, monitor_finish);
    return error ? 1 : 0;
}
