/* SPDX-License-Identifier: MIT */
/* fdset-helper: options -> listen -> confine -> serve. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine/confine.h"
#include "duplicates.h"
#include "requests/service.h"
#include "settle/open_file.h"
#include "start/log.h"
#include "start/notify.h"
#include "start/options.h"
#include "start/ready.h"
#include "start/signals.h"
#include "start/socket_file.h"

/* Beside members and connections: standard streams, epoll, the settle threads'
 * sockets, readiness, listeners, one packet of descriptors being looked at and
 * one being closed, a connection to turn away. */
#define FIXED_DESCRIPTORS (32 + OPTIONS_MAX_ENDPOINTS + SPARE_MEMBERS)

/* How long the end waits for file systems that do not answer. */
#define LAST_SETTLE_MS 2000

static struct options options;
static struct service service;
static struct signals signals;
static struct listener listeners[OPTIONS_MAX_ENDPOINTS];
static size_t listener_count;

/* Started by a VMM that it was connected to from birth. */
static bool has_birth_vmm, has_birth_manager;

static void die(const char *what, int result) __attribute__((noreturn));

static void die(const char *what, int result) {
    log_line(LOG_ERROR, "%s: %s", what, strerror(-result));
    _exit(1);
}

static void die_refused(const char *what, const struct refusal *refusal) {
    log_line(LOG_ERROR, "%s: %s", what, refusal->text);
    _exit(1);
}

/* A descriptor that came to stand in for a closed standard stream would get the
 * log lines. */
static void open_standard_streams(void) {
    int fd;

    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC); /* none that was inherited */
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

/* ------------------------------------------------------------------ limits */

static size_t descriptors_wanted(void) {
    return FIXED_DESCRIPTORS + (size_t)options.limits.members + options.limits.connections;
}

static void die_of_descriptors(size_t allowed) __attribute__((noreturn));

static void die_of_descriptors(size_t allowed) {
    bool given = options.members_given || options.connections_given;
    size_t needed = given ? descriptors_wanted() : FIXED_DESCRIPTORS + LIMITS_FEWEST;
    bool lower = given && allowed >= FIXED_DESCRIPTORS + LIMITS_FEWEST;

    log_line(LOG_ERROR,
             "%zu descriptors are needed%s and the system allows %zu: raise 'ulimit -Hn' "
             "(LimitNOFILE=)%s",
             needed, given ? " for these limits" : " at least", allowed,
             lower ? ", or lower --limit members and --limit connections" : "");
    _exit(1);
}

/* The descriptor limit must have room for all that the limits promise. The
 * defaults give way where the system allows less; what was asked for does not. */
static void fit_descriptor_limit(void) {
    struct rlimit limit;
    struct limits wanted = options.limits;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        die("getrlimit", -errno);
    if (limit.rlim_max >= descriptors_wanted())
        return;
    struct rlimit more = {descriptors_wanted(), descriptors_wanted()};
    if (setrlimit(RLIMIT_NOFILE, &more) == 0)
        return;
    size_t allowed = limit.rlim_max;
    size_t left = allowed > FIXED_DESCRIPTORS ? allowed - FIXED_DESCRIPTORS : 0;
    if (!limits_fit(&wanted, left, options.members_given, options.connections_given))
        die_of_descriptors(allowed);
    wanted.descriptors = (uint32_t)allowed;
    options.limits = wanted;
}

/* ----------------------------------------------------------------- sockets */

/* What is close-on-exec was not inherited: it is something of our own. */
static void check_socket(int fd) {
    int type = 0, flags = fcntl(fd, F_GETFD);
    socklen_t size = sizeof(type);

    if (flags >= 0 && !(flags & FD_CLOEXEC) &&
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET)
        return;
    log_line(LOG_ERROR, "descriptor %d is no inherited socket of type SOCK_SEQPACKET", fd);
    _exit(1);
}

static bool is_listening(int fd) {
    int listening = 0;
    socklen_t size = sizeof(listening);
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening;
}

static void begin_listener(int fd, enum role role, bool own) {
    int result =
        listener_begin(&listeners[listener_count++], &service, fd, role, own, &options.managers);
    if (result < 0)
        die("listen", result);
}

/* Inherited sockets may have any number; the sandbox wants low ones, and closes
 * the original with all that is not wanted. */
static void begin_inherited(int original, enum role role) {
    check_socket(original);
    int fd = fcntl(original, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (fd < 0)
        die("an inherited socket", -errno);
    if (is_listening(fd)) {
        begin_listener(fd, role, false);
        return;
    }
    socket_prepare(fd, role);
    /* Whoever handed it over vouches for who is at its other end. */
    struct session *session = session_begin(&service, fd, role);
    if (!session) {
        log_line(LOG_ERROR, "inherited connections: there are more than --limit connections=N, or "
                            "fs.epoll.max_user_watches is reached");
        _exit(1);
    }
    session->handed_over = true;
    has_birth_vmm |= role == ROLE_VMM;
    has_birth_manager |= role == ROLE_MANAGER;
}

static void make_socket_files(void) {
    struct socket_file files[OPTIONS_MAX_ENDPOINTS];
    struct refusal refusal;
    size_t count = 0;

    for (size_t i = 0; i < options.endpoint_count; i++) {
        const struct endpoint *endpoint = &options.endpoints[i];
        const struct socket_access *access = &options.access[endpoint->role];
        if (endpoint->path)
            files[count++] = (struct socket_file){.path = endpoint->path,
                                                  .mode = access->mode,
                                                  .owner = access->owner,
                                                  .group = access->group};
    }
    if (socket_files_make(files, count, &refusal) < 0)
        die_refused("cannot start", &refusal);
    for (size_t i = options.endpoint_count; i-- > 0;)
        if (options.endpoints[i].path)
            options.endpoints[i].fd = files[--count].fd;
}

static void begin_sockets(void) {
    enum role roles[NOTIFY_MAX_SOCKETS];
    struct refusal refusal;
    int passed = notify_sockets(roles, &refusal);

    if (passed < 0)
        die_refused("cannot start", &refusal);
    for (int i = 0; i < passed; i++) {
        if (options.endpoint_count == OPTIONS_MAX_ENDPOINTS) {
            log_line(LOG_ERROR, "at most %d sockets, those that systemd passed included",
                     OPTIONS_MAX_ENDPOINTS);
            _exit(1);
        }
        options.endpoints[options.endpoint_count++] =
            (struct endpoint){roles[i], NULL, NOTIFY_FIRST_SOCKET + i};
    }
    if (options.endpoint_count == 0) {
        log_line(LOG_ERROR, "nobody could reach this helper: give it --manage and --vmm, or see "
                            "--help");
        _exit(2);
    }
    make_socket_files();
    for (size_t i = 0; i < options.endpoint_count; i++) {
        const struct endpoint *endpoint = &options.endpoints[i];
        if (endpoint->path)
            begin_listener(endpoint->fd, endpoint->role, true);
        else
            begin_inherited(endpoint->fd, endpoint->role);
    }
}

/* A spawned helper is in its VMM's session. Who leads that can have us sit at a
 * terminal of its own and type ^C or ^Z, also as a user who may not signal us. We end
 * with the VMM anyway. */
static void ignore_terminal(void) {
    static const int numbers[] = {SIGHUP, SIGINT, SIGQUIT, SIGTSTP};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        signal(numbers[i], SIG_IGN);
}

/* -------------------------------------------------------------------- sets */

static void check_duplicates(void) {
    const struct add_fd *all = options.add_fds;
    int fds[FDSET_MAX_DESCRIPTORS];
    size_t one, other;

    for (size_t i = 0; i < options.add_fd_count; i++)
        fds[i] = all[i].fd;
    if (!duplicates_find(fds, options.add_fd_count, &one, &other))
        return;
    log_line(LOG_ERROR,
             "--add-fd: descriptors %d, for set %u, and %d, for set %u, are one open file, which "
             "would share flags and locks: open the file once for each",
             fds[one], all[one].set, fds[other], all[other].set);
    _exit(1);
}

static void add_initial(void) {
    struct refusal refusal;

    check_duplicates();
    for (size_t i = 0; i < options.add_fd_count; i++) {
        const struct add_fd *add = &options.add_fds[i];
        /* Into a low number; the sandbox closes the original. */
        int fd = fcntl(add->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if (fd < 0)
            die("--add-fd", -errno);
        if (service_add_initial(&service, fd, add->set, add->opaque, &refusal) < 0)
            die_refused("--add-fd", &refusal);
    }
}

/* ----------------------------------------------------------------- sandbox */

static_assert(SETTLE_THREADS == CONFINE_SETTLE_COUNT, "the filter knows as many");

static void move_up(int *fd) {
    int copy = *fd < CONFINE_FREE ? fcntl(*fd, F_DUPFD_CLOEXEC, CONFINE_FREE) : *fd;

    if (copy < 0)
        die("a descriptor's number", -errno);
    if (copy != *fd)
        close(*fd);
    *fd = copy;
}

static void move_to(int *fd, int number) {
    if (dup3(*fd, number, O_CLOEXEC) < 0)
        die("a descriptor's number", -errno);
    close(*fd);
    *fd = number;
}

/* Puts what the filter knows by number there. service_init() filled all gaps, so
 * these numbers are its own descriptors', or those of inherited ones, which have
 * been duplicated and are not needed any more. */
static void take_numbers(void) {
    struct settle_thread *threads = service.settle.threads;

    move_up(&service.loop.epoll);
    for (int i = 0; i < SETTLE_THREADS; i++) {
        move_up(&threads[i].watch.fd);
        move_up(&threads[i].thread_end);
    }
    move_to(&service.loop.epoll, CONFINE_EPOLL);
    for (int i = 0; i < SETTLE_THREADS; i++)
        move_to(&threads[i].thread_end, CONFINE_SETTLE_SOCKETS + i);
}

/* Everything that is open and wanted, beside what has a fixed number. */
static size_t wanted_descriptors(int *keep, int notify, int ready) {
    size_t count = 0;

    for (int i = 0; i < SETTLE_THREADS; i++)
        keep[count++] = service.settle.threads[i].watch.fd;
    for (size_t i = 0; i < listener_count; i++)
        keep[count++] = listeners[i].watch.fd;
    keep[count++] = signals.watch.fd;
    list_for_each (link, &service.sessions)
        keep[count++] = list_object(link, struct session, link)->watch.fd;
    list_for_each (set_link, &service.model.sets)
        list_for_each (link, &list_object(set_link, struct fdset, by_id)->members)
            keep[count++] = list_object(link, struct member, in_set)->fd;
    if (notify >= 0)
        keep[count++] = notify;
    if (ready >= 0)
        keep[count++] = ready;
    return count;
}

static void die_without_threads(int result) {
    const char *cure = result == -EAGAIN ? "; raise the limits of processes (ulimit -u)"
                       : result == -EPERM
                           ? "; the container's filter must allow clone3, or refuse it with ENOSYS"
                           : "";

    log_line(LOG_ERROR, "cannot start the settle threads: %s%s", strerror(-result), cure);
    _exit(1);
}

static void confine(int notify, int ready, struct confine_report *report) {
    int keep[FIXED_DESCRIPTORS + FDSET_MAX_DESCRIPTORS];
    take_numbers();
    struct confine_plan plan = {
        .mode = options.confine,
        .keep = keep,
        .keep_count = wanted_descriptors(keep, notify, ready),
        .descriptor_limit = descriptors_wanted(),
        .uid = options.uid,
        .gid = options.gid,
        .empty_path = description_empty_path,
        .unlock_all = &description_unlock_all,
    };
    int result = confine_enter(&plan, report);
    options.managers.has_unmapped = report->other_users_unknown;
    if (result == 0 && (result = settle_start(&service.settle)) < 0)
        die_without_threads(result);
    if (result == 0) {
        result = settle_await(&service.settle, &service.loop);
        if (result < 0)
            die_without_threads(result);
        result = confine_seal(&plan, report);
    }
    if (result < 0 && report->count > 0) {
        log_line(LOG_ERROR, "sandbox: %s: %s", report->stages[report->count - 1].name,
                 report->stages[report->count - 1].detail);
        _exit(1);
    }
    if (result < 0)
        die("sandbox", result);
}

/* For those who ask by Query. */
static void keep_report(const struct confine_report *report) {
    static struct sandbox_stage stages[CONFINE_MAX_STAGES];

    for (size_t i = 0; i < report->count; i++)
        stages[i] = (struct sandbox_stage){.name = report->stages[i].name,
                                           .whole = report->stages[i].outcome == CONFINE_DONE,
                                           .detail = report->stages[i].detail};
    service.sandbox = stages;
    service.sandbox_count = report->count;
}

static void say_ready(int notify, const struct confine_report *report) {
    char sandbox[900]; /* all stages, refused in a container */

    confine_describe(report, sandbox, sizeof(sandbox));
    size_t used = strlen(sandbox);
    if (options.limits.descriptors > 0 && used < sizeof(sandbox))
        snprintf(sandbox + used, sizeof(sandbox) - used,
                 "; only %u members and %u connections, for 'ulimit -Hn' is %u",
                 options.limits.members, options.limits.connections, options.limits.descriptors);
    notify_ready(notify, sandbox);
    if (!options.quiet && (options.verbose || !has_birth_vmm))
        log_line(LOG_INFO, "ready: %s", sandbox);
}

/* ------------------------------------------------------------------- serve */

static bool has_session(enum role role) {
    list_for_each (link, &service.sessions)
        if (list_object(link, struct session, link)->role == role)
            return true;
    return false;
}

/* A helper that a VMM spawned ends with the last VMM; one that a manager
 * started over its connection, with the last of all. One that listens for
 * itself goes on. */
static bool is_done(void) {
    bool reachable = listener_count > 0 || !list_empty(&service.sessions);

    if (!reachable)
        return true;
    if (options.linger)
        return false;
    if (has_birth_vmm)
        return !has_session(ROLE_VMM);
    return has_birth_manager && listener_count == 0 && list_empty(&service.sessions);
}

/* Whether all listeners are polled. */
static bool resume_listeners(void) {
    bool all = true;

    for (size_t i = 0; i < listener_count; i++)
        all &= listener_resume(&listeners[i]);
    return all;
}

static void turn(int most_ms) {
    int timeout = service_timeout(&service);

    if (most_ms >= 0 && (timeout < 0 || timeout > most_ms))
        timeout = most_ms;
    int result = loop_turn(&service.loop, timeout);
    if (result < 0)
        die("epoll", result);
    service_tick(&service);
    service_reap(&service);
}

static void serve(void) {
    while (!signals.came && !is_done())
        turn(resume_listeners() ? -1 : LISTENER_PAUSE_MS);
}

/* Locks are cleared before the end, where the file systems let us: a manager's
 * own copy of a descriptor would keep them alive. */
static void settle_last(void) {
    uint64_t until = service_now() + LAST_SETTLE_MS;

    while (service.settle.count > 0 && service_now() < until)
        turn(10);
}

/* A process that holds a file whose server hangs does not end in the kernel, and
 * its sockets stay open with it. Our peers hear of the end all the same, and
 * another helper can listen in our place. */
static void hang_up(void) {
    for (size_t i = 0; i < listener_count; i++)
        close(listeners[i].watch.fd);
    list_for_each (link, &service.sessions)
        close(list_object(link, struct session, link)->watch.fd);
}

int main(int argc, char **argv) {
    static struct confine_report report;
    int result;

    open_standard_streams();
    log_init();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* likewise a log that may not grow */
    signals_block();
    signal(SIGTTOU, SIG_IGN); /* or a terminal could stop us as we say why we end */
    options_parse(&options, argc, argv);
    int ready = options.ready_fd < 0 ? -1 : ready_prepare(options.ready_fd);
    if (options.ready_fd >= 0 && ready < 0)
        die("--ready-fd", ready);
    fit_descriptor_limit();
    result = service_init(&service, &options.limits);
    if (result < 0)
        die("cannot take the memory and descriptors for these limits", result);
    begin_sockets();
    if (has_birth_vmm)
        ignore_terminal();
    result = signals_watch(&signals, &service.loop);
    if (result < 0)
        die("signals", result);
    add_initial();
    int notify = notify_prepare();
    confine(notify, ready, &report);
    keep_report(&report);
    service_tick(&service);
    say_ready(notify, &report);
    if ((result = ready_say(ready)) < 0)
        die("--ready-fd", result);
    serve();
    settle_last();
    hang_up();
    /* Not by exit(), whose handlers know nothing of the sandbox, nor by _exit():
     * before what never returns, the address sanitizer makes calls of its own. */
    syscall(SYS_exit_group, 0);
    return 0;
}
