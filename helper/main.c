/* SPDX-License-Identifier: MIT */
/* fdset-helper: options, sockets and memory, then the sandbox; it serves, and ends. */
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine/confine.h"
#include "requests/turn.h"
#include "start/descriptors.h"
#include "start/lockdown.h"
#include "start/log.h"
#include "start/notify.h"
#include "start/options.h"
#include "start/signals.h"
#include "start/sockets.h"

/* How long the end waits for file systems that do not answer. */
#define LAST_SETTLE_MS 2000

static struct start_options options;
static struct service service;
static struct signals signals;
static struct sockets sockets;

static void must(const char *what, int error) {
    if (error < 0)
        log_die("%s: %s", what, strerror(-error));
}

static void say_ready(int notify, int ready, const struct confine_report *report) {
    char sandbox[900]; /* all stages, refused in a container */

    confine_describe(report, sandbox, sizeof(sandbox));
    size_t used = strlen(sandbox);
    if (options.limits.descriptors > 0 && used < sizeof(sandbox))
        snprintf(sandbox + used, sizeof(sandbox) - used,
                 "; only %u members and %u connections, because 'ulimit -Hn' is %u",
                 options.limits.members, options.limits.connections, options.limits.descriptors);
    notify_ready(notify, sandbox);
    if (!options.quiet && (options.verbose || !sockets.has_birth_vmm))
        log_line(LOG_INFO, "ready: %s", sandbox);
    must("--ready-fd", ready_say(ready));
}

static bool has_session(enum role role) {
    list_for_each (link, &service.sessions.all)
        if (list_object(link, struct session, link)->role == role)
            return true;
    return false;
}

/* A helper that a VMM spawned ends with the last VMM; one that a manager
 * started over its connection, with the last of all. One that listens for
 * itself goes on. */
static bool is_done(void) {
    if (sockets.listener_count == 0 && list_empty(&service.sessions.all))
        return true;
    return !options.linger && sockets.has_birth_vmm && !has_session(ROLE_VMM);
}

static void turn(int most_ms) {
    int timeout = timers_timeout(&service);

    if (most_ms >= 0 && (timeout < 0 || timeout > most_ms))
        timeout = most_ms;
    must("epoll", loop_turn(&service.sessions.loop, timeout));
    timers_tick(&service);
    turn_end(&service);
}

static void serve(void) {
    while (!signals.came && !is_done())
        turn(sockets_resume(&sockets) ? -1 : LISTENER_PAUSE_MS);
}

/* Locks are cleared before the end, where the file systems let us: a manager's
 * own copy of a descriptor would keep them alive. */
static void settle_last(void) {
    uint64_t until = loop_now() + LAST_SETTLE_MS;

    while ((settle_is_busy(&service.settle) || service.model.unswept_count > 0) &&
           loop_now() < until) {
        work_sweep_due(&service.model);
        turn(settle_is_busy(&service.settle) ? 10 : 0);
    }
}

static void await_leftovers(uint64_t until) {
    while (service.settle.leftovers_count > 0 && loop_now() < until)
        must("epoll", loop_turn(&service.sessions.loop, 10));
}

/* A process that holds a file whose server hangs does not end in the kernel, and
 * its sockets stay open with it. Our peers hear of the end all the same, and
 * another helper can listen in our place. What may take its time to close, settle threads
 * close; what none of them has begun with when the time is over is closed here, as it may be
 * what others wait for. */
static void hang_up(void) {
    uint64_t until = loop_now() + LAST_SETTLE_MS;

    sockets_close(&sockets);
    /* Who hears of the end is not to find that one can still connect. */
    await_leftovers(until - LAST_SETTLE_MS / 2);
    list_for_each (link, &service.sessions.all)
        session_hang_up_last(list_object(link, struct session, link));
    list_for_each (link, &service.sessions.unread)
        session_hang_up_last(list_object(link, struct session, gone));
    await_leftovers(until);
    settle_close_rest(&service.settle);
}

int main(int argc, char **argv) {
    static struct confine_report report;

    log_init();
    signals_begin();
    options_parse(&options, argc, argv);
    int ready = options.ready_fd < 0 ? -1 : ready_prepare(options.ready_fd);
    if (options.ready_fd >= 0)
        must("--ready-fd", ready);
    sockets_plan(&options);
    descriptors_fit(&options);
    must("cannot take the memory and descriptors for these limits",
         service_init(&service, &options.limits));
    sockets_begin(&sockets, &service, &options);
    if (sockets.has_birth_vmm)
        signals_ignore_terminal();
    must("signals", signals_watch(&signals, &service.sessions.loop));
    add_fds(&service, &options);
    int notify = notify_prepare();
    lockdown(&service, &options, &(struct kept){&sockets, &signals, notify, ready}, &report);
    say_ready(notify, ready, &report);
    serve();
    settle_last();
    hang_up();
    /* Not by exit(), whose handlers know nothing of the sandbox, nor by _exit():
     * before what never returns, the address sanitizer makes calls of its own. */
    syscall(SYS_exit_group, 0);
    return 0;
}
