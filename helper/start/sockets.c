/* SPDX-License-Identifier: MIT */
/* From what the command line and systemd say of sockets to listeners and sessions. */
#include "start/sockets.h"

#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "number.h"
#include "start/descriptors.h"
#include "start/endpoints.h"
#include "start/log.h"
#include "start/notify.h"
#include "start/socket_file.h"
#include "start/usage.h"

/* ----------------------------------------------------------- the command line */

static void add_socket(struct start_options *options, const struct option_row *row,
                       struct socket_option socket, char *words) {
    struct refusal refusal;

    if (options->socket_count == OPTIONS_MAX_SOCKETS)
        usage_die("at most %d sockets", OPTIONS_MAX_SOCKETS);
    socket.role = row->role;
    if (socket_words(&socket, words, &refusal) < 0)
        usage_die("--%s: %s", row->name, refusal.text);
    options->sockets[options->socket_count++] = socket;
}

void option_socket(struct start_options *options, const struct option_row *row, char *text) {
    char *words = cut_words(text);

    add_socket(options, row, (struct socket_option){.path = text, .fd = -1}, words);
}

void option_socket_fd(struct start_options *options, const struct option_row *row, char *text) {
    char *words = cut_words(text);
    int fd = (int)usage_number(row->name, text, INT_MAX);

    if (fd <= STDERR_FILENO)
        usage_die("a socket cannot be a standard I/O stream: %s", text);
    add_socket(options, row, (struct socket_option){.fd = fd}, words);
}

void option_mode(struct start_options *options, const struct option_row *row, char *text) {
    struct socket_access *access = &options->access[row->role];
    uint64_t mode;

    if (!number_parse_base(text, 8, 0777, &mode))
        usage_die("--%s: an octal mode from 0 to 0777, as 0660, not '%s'", row->name, text);
    access->mode = (mode_t)mode;
    access->option = row->name;
}

static void add_manager(struct start_options *options, const char *option, uid_t uid) {
    struct manager_policy *managers = &options->managers;

    for (uint32_t i = 0; i < managers->count; i++)
        if (managers->uids[i] == uid)
            return;
    if (managers->count == MANAGER_UIDS)
        usage_die("--%s: too many managers", option);
    managers->uids[managers->count++] = uid;
}

void option_manager_uid(struct start_options *options, const struct option_row *row, char *text) {
    add_manager(options, row->name, (uid_t)usage_number(row->name, text, UINT32_MAX - 1));
}

void option_owner(struct start_options *options, const struct option_row *row, char *text) {
    struct socket_access *access = &options->access[row->role];
    char *group = account_cut_group(row->name, text);

    access->owner = text[0] ? account_user(row->name, text, NULL) : (uid_t)-1;
    access->group = group ? account_group(row->name, group) : (gid_t)-1;
    access->option = row->name;
    if (row->role == ROLE_MANAGER && text[0])
        add_manager(options, row->name, access->owner);
}

void sockets_check_access(const struct start_options *options) {
    for (enum role role = ROLE_VMM; role <= ROLE_OBSERVER; role++) {
        const struct socket_access *access = &options->access[role];
        bool used = false;

        for (size_t i = 0; i < options->socket_count; i++)
            used |= options->sockets[i].path && options->sockets[i].role == role;
        if (access->option && !used)
            usage_die("--%s: no socket is made by --%s PATH, and an inherited one stays as it is",
                      access->option, socket_names[role]);
    }
}

/* ---------------------------------------------------------------- the sockets */

static int socket_number(int fd, int name) {
    int value = 0;
    socklen_t size = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : 0;
}

static struct endpoint *endpoint_of(struct service *service, const struct socket_option *socket) {
    return socket->endpoint ? &service->model.endpoints.all[socket->endpoint - 1] : NULL;
}

static void begin_listener(struct sockets *sockets, struct service *service,
                           const struct start_options *options, const struct socket_option *socket,
                           int fd) {
    struct listener *listener = &sockets->listeners[sockets->listener_count++];
    int error = listener_begin(listener, &service->sessions, fd, socket->role,
                               endpoint_of(service, socket), socket->path, &options->managers);

    if (error < 0)
        log_die("listen: %s", strerror(-error));
}

/* What a peer has sent already, beside empty packets. */
static uint64_t bytes_waiting(int socket) {
    int bytes;

    return ioctl(socket, FIONREAD, &bytes) < 0 ? UINT64_MAX : (uint64_t)bytes;
}

static void begin_inherited(struct sockets *sockets, struct service *service,
                            const struct start_options *options,
                            const struct socket_option *socket) {
    int original = socket->fd;
    enum role role = socket->role;

    if (!is_inherited(original) || socket_number(original, SO_TYPE) != SOCK_SEQPACKET)
        log_die("descriptor %d is not an inherited socket of type SOCK_SEQPACKET", original);
    int fd = inherited_take(original, "an inherited socket");
    if (socket_number(fd, SO_ACCEPTCONN)) {
        begin_listener(sockets, service, options, socket, fd);
        return;
    }
    bool refuses = socket_prepare(fd, role);
    struct session *session =
        session_begin(&service->sessions, fd, role, endpoint_of(service, socket));
    if (!session)
        log_die("inherited connections: there are more than --limit connections=N, or "
                "fs.epoll.max_user_watches is reached");
    /* Whoever handed it over vouches for who is at its other end. */
    session->handed_over = true;
    if (refuses)
        session->carrying_bytes = bytes_waiting(fd);
    sockets->has_birth_vmm |= role == ROLE_VMM;
}

/* Fills in the descriptors of those that have a path. */
static void make_socket_files(struct start_options *options) {
    static struct socket_file files[OPTIONS_MAX_SOCKETS];
    struct refusal refusal;
    size_t count = 0;

    for (size_t i = 0; i < options->socket_count; i++) {
        const struct socket_option *socket = &options->sockets[i];
        const struct socket_access *access = &options->access[socket->role];
        if (socket->path)
            files[count++] = (struct socket_file){.path = socket->path,
                                                  .mode = access->mode,
                                                  .owner = access->owner,
                                                  .group = access->group};
    }
    if (socket_files_make(files, count, &refusal) < 0)
        log_die("cannot start: %s", refusal.text);
    for (size_t i = options->socket_count; i-- > 0;)
        if (options->sockets[i].path)
            options->sockets[i].fd = files[--count].fd;
}

static void add_passed(struct start_options *options) {
    static struct passed_socket sockets[NOTIFY_MAX_SOCKETS];
    struct refusal refusal;
    int passed = notify_sockets(sockets, &refusal);

    if (passed < 0)
        log_die("cannot start: %s", refusal.text);
    for (int i = 0; i < passed; i++) {
        struct socket_option socket = {.role = sockets[i].role, .fd = NOTIFY_FIRST_SOCKET + i};
        if (options->socket_count == OPTIONS_MAX_SOCKETS)
            log_die("at most %d sockets, those that systemd passed included", OPTIONS_MAX_SOCKETS);
        if (socket_words(&socket, sockets[i].words, &refusal) < 0)
            log_die("cannot start: LISTEN_FDNAMES: %s", refusal.text);
        options->sockets[options->socket_count++] = socket;
    }
}

void sockets_plan(struct start_options *options) {
    struct refusal refusal;

    add_passed(options);
    if (options->socket_count == 0) {
        log_line(LOG_ERROR, "nobody could reach this helper: give it --manage and --vmm, or see "
                            "--help");
        _exit(2);
    }
    if (endpoints_plan(options, &refusal) < 0)
        usage_die("%s", refusal.text);
}

static bool has_observers(const struct start_options *options) {
    for (size_t i = 0; i < options->socket_count; i++)
        if (options->sockets[i].role == ROLE_OBSERVER)
            return true;
    return false;
}

static void begin_endpoints(struct service *service, const struct start_options *options) {
    int error = endpoints_init(&service->model.endpoints, &options->limits, options->endpoints,
                               options->endpoint_count, has_observers(options));

    if (error < 0)
        log_die("endpoints: %s", strerror(-error));
}

void sockets_begin(struct sockets *sockets, struct service *service,
                   struct start_options *options) {
    begin_endpoints(service, options);
    make_socket_files(options);
    for (size_t i = 0; i < options->socket_count; i++) {
        const struct socket_option *socket = &options->sockets[i];
        if (socket->path)
            begin_listener(sockets, service, options, socket, socket->fd);
        else
            begin_inherited(sockets, service, options, socket);
    }
}

bool sockets_resume(struct sockets *sockets) {
    bool all = true;

    if (sockets->listener_count == 0 || sockets->listeners[0].sessions->paused == 0)
        return true;
    for (size_t i = 0; i < sockets->listener_count; i++)
        all &= listener_resume(&sockets->listeners[i]);
    return all;
}

void sockets_close(struct sockets *sockets) {
    for (size_t i = 0; i < sockets->listener_count; i++)
        listener_end(&sockets->listeners[i]);
}
