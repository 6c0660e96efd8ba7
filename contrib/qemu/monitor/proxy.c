/* SPDX-License-Identifier: MIT */
#include "proxy.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* After the emulator's end, for its last words to be read. */
#define FAREWELL_MS 2000

struct state {
    struct proxy proxy;
    struct options *options;
    struct watch signals, process, alarm;
    int64_t deadline_ms; /* of the emulator's last words; 0: it lives */
};

static void each_monitor(struct state *state, void (*do_it)(struct monitor *)) {
    for (size_t i = 0; i < state->options->monitor_count; i++)
        do_it(&state->options->monitors[i]);
}

/* ------------------------------------------------------------------- events */

static void helper_ready(struct watch *watch, uint32_t events) {
    struct state *state = watch->owner;
    struct helper *helper = state->proxy.helper;
    struct notice notice;
    struct job *job;

    helper_acknowledge(helper);
    while ((job = helper_done(helper)))
        link_job_done(&state->proxy, job);
    while (helper_notice(helper, &notice))
        link_notice(&state->proxy, &notice);
}

static void signal_ready(struct watch *watch, uint32_t events) {
    struct state *state = watch->owner;
    state->proxy.loop.ended = true;
}

static void process_ready(struct watch *watch, uint32_t events) {
    struct state *state = watch->owner;

    loop_unwatch(&state->proxy.loop, watch);
    each_monitor(state, monitor_finish);
    state->deadline_ms = loop_now_ms() + FAREWELL_MS;
}

static bool is_over(const struct state *state) {
    const struct options *options = state->options;

    if (state->deadline_ms && loop_now_ms() >= state->deadline_ms)
        return true;
    for (size_t i = 0; i < options->monitor_count; i++)
        if (!options->monitors[i].finished)
            return false;
    return !state->proxy.links;
}

/* Something was finished, or is to be tried again. */
static void alarm_ready(struct watch *watch, uint32_t events) {
    struct state *state = watch->owner;
    uint64_t expirations;

    if (read(watch->fd, &expirations, sizeof expirations) < 0)
        return;
    each_monitor(state, monitor_resume);
    links_redial(&state->proxy);
    state->proxy.loop.ended = state->proxy.loop.ended || is_over(state);
    if (state->deadline_ms)
        loop_set_alarm(&state->proxy.loop, FAREWELL_MS / 20);
}

/* ---------------------------------------------------------------- beginning */

static void watch_begin(struct state *state, struct watch *watch, int fd,
                        void (*ready)(struct watch *, uint32_t)) {
    *watch = (struct watch){.fd = fd, .ready = ready, .owner = state};
    loop_watch(&state->proxy.loop, watch, EPOLLIN);
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

static int monitors_begin(struct state *state) {
    int error = 0;

    for (size_t i = 0; i < state->options->monitor_count && !error; i++)
        error = monitor_begin(&state->options->monitors[i]);
    return error;
}

static int state_begin(struct state *state) {
    struct options *options = state->options;
    struct proxy *proxy = &state->proxy;
    int signals = signals_open();
    int error = signals < 0 ? -errno : loop_open(&proxy->loop);

    if (error) {
        fprintf(stderr, "fdset-qmp: %s\n", strerror(-error));
        return error;
    }
    error = helper_open(&proxy->helper, options->manage, options->manage_fd);
    if (error) {
        fprintf(stderr, "fdset-qmp: %s\n", fdset_error_text());
        return error;
    }
    watch_begin(state, &state->signals, signals, signal_ready);
    watch_begin(state, &state->alarm, proxy->loop.alarm, alarm_ready);
    watch_begin(state, &proxy->helper_watch, helper_fd(proxy->helper), helper_ready);
    if (options->pid_fd >= 0)
        watch_begin(state, &state->process, options->pid_fd, process_ready);
    return monitors_begin(state);
}

static void say_ready(int fd) {
    if (fd < 0)
        return;
    if (write(fd, "\n", 1) < 0)
        fprintf(stderr, "fdset-qmp: --ready-fd: %s\n", strerror(errno));
    close(fd);
}

int proxy_run(struct options *options) {
    static struct state state;

    state = (struct state){.options = options, .proxy.prefix = options->prefix};
    for (size_t i = 0; i < options->monitor_count; i++) {
        options->monitors[i].proxy = &state.proxy;
        options->monitors[i].client = -1;
    }
    raise_limit();
    int error = state_begin(&state);
    if (!error) {
        say_ready(options->ready_fd);
        loop_run(&state.proxy.loop);
    }
    links_end(&state.proxy);
    each_monitor(&state, monitor_finish);
    return error ? 1 : 0;
}
