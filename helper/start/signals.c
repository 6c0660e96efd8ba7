/* SPDX-License-Identifier: MIT */
/* The signals are blocked, and a descriptor of the loop's tells that one waits. So the
 * end is like any other end, without a handler, whose return would be one more system
 * call; and it comes where the helper is process 1 of a pid namespace too: to that one
 * the kernel sends no signal for which it has no handler, unless it is blocked. */
#include "start/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include "containers/list.h"

/* A blocked signal waits although it is ignored, so those must be left out. */
static void fill(sigset_t *set) {
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};
    struct sigaction action;

    sigemptyset(set);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(set, numbers[i]);
}

void signals_begin(void) {
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* likewise a log that may not grow */
    fill(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGTTOU, SIG_IGN); /* or a terminal could stop us as we say why we end */
}

void signals_ignore_terminal(void) {
    static const int numbers[] = {SIGHUP, SIGINT, SIGQUIT, SIGTSTP};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        signal(numbers[i], SIG_IGN);
}

bool signals_wait(void) {
    sigset_t set, waiting, both;

    fill(&set);
    return sigpending(&waiting) == 0 && sigandset(&both, &set, &waiting) == 0 &&
           !sigisemptyset(&both);
}

/* It is never read: the filter has no call for that, and one signal is enough. */
static void signals_ready(struct watch *watch, uint32_t epoll_events) {
    struct signals *signals = list_object(watch, struct signals, watch);

    (void)epoll_events;
    signals->came = true;
    loop_remove(signals->loop, watch);
}

int signals_watch(struct signals *signals, struct loop *loop) {
    sigset_t set;

    fill(&set);
    sigprocmask(SIG_SETMASK, &set, NULL); /* what is ignored by now need not wait */
    *signals = (struct signals){
        .watch = {.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .ready = signals_ready},
        .loop = loop};
    return signals->watch.fd < 0 ? -errno : loop_add(loop, &signals->watch, EPOLLIN);
}
