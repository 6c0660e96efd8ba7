/* SPDX-License-Identifier: MIT */
/* The same measured of s6-fdholderd: see peer.h. */
#include "peer.h"

#ifndef HAVE_S6

bool peer_start(struct peer *peer, int fd, size_t held, const char **why) {
    *why = "s6-fdholderd: its library was not there when this was built";
    return false;
}

void peer_stop(struct peer *peer) {
}

void measure_peer_retrieve(struct contender *contender, double *samples, size_t count) {
}

void measure_peer_store(struct contender *contender, double *samples, size_t count) {
}

#else

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <s6/fdholder.h>
#include <skalibs/tai.h>

#include "floor.h"
#include "ours.h"
#include "series.h"

/* No exchange takes so long; s6 wants a point in time for each. */
#define PATIENCE_SECONDS 60

/* Everybody may do everything: files whose names are the rules. */
static const char *const rule_directories[] = {"rules", "rules/uid", "rules/uid/default",
                                               "rules/uid/default/env"};
static const struct {
    const char *path, *text;
} rule_files[] = {{"rules/uid/default/allow", ""},
                  {"rules/uid/default/env/S6_FDHOLDER_STORE_REGEX", ".*\n"},
                  {"rules/uid/default/env/S6_FDHOLDER_RETRIEVE_REGEX", ".*\n"}};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *inside(const struct peer *peer, const char *name) {
    static char path[160];
    snprintf(path, sizeof(path), "%s/%s", peer->directory, name);
    return path;
}

static void make_directory(struct peer *peer) {
    strcpy(peer->directory, "/tmp/fdset-bench-XXXXXX");
    if (!mkdtemp(peer->directory))
        err(1, "%s", peer->directory);
    for (size_t i = 0; i < COUNT(rule_directories); i++)
        mkdir(inside(peer, rule_directories[i]), 0700);
    for (size_t i = 0; i < COUNT(rule_files); i++) {
        FILE *file = fopen(inside(peer, rule_files[i].path), "we");
        if (!file || fputs(rule_files[i].text, file) < 0 || fclose(file) != 0)
            err(1, "%s", rule_files[i].path);
    }
}

static void remove_directory(struct peer *peer) {
    for (size_t i = COUNT(rule_files); i-- > 0;)
        unlink(inside(peer, rule_files[i].path));
    for (size_t i = COUNT(rule_directories); i-- > 0;)
        rmdir(inside(peer, rule_directories[i]));
    unlink(inside(peer, "socket"));
    rmdir(peer->directory);
}

/* The daemon wants a listening socket as its standard input. */
static int listen_in(const struct peer *peer) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/socket", peer->directory);
    int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socket_fd < 0 || bind(socket_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(socket_fd, 8) < 0)
        err(1, "%s", address.sun_path);
    return socket_fd;
}

static void start_daemon(struct peer *peer, size_t room) {
    char most[24];
    int socket_fd = listen_in(peer);
    snprintf(most, sizeof(most), "%zu", room);
    peer->daemon = fork();
    if (peer->daemon == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(socket_fd, STDIN_FILENO);
        execlp("s6-fdholderd", "s6-fdholderd", "-n", most, "-i", inside(peer, "rules"), NULL);
        _exit(127);
    }
    close(socket_fd);
}

static void deadline_in(tain *deadline) {
    tain_now_g();
    tain_addsec_g(deadline, PATIENCE_SECONDS);
}

static const char *label(size_t number) {
    static char text[32];
    snprintf(text, sizeof(text), "disk-%zu", number);
    return text;
}

static bool store(struct peer *peer, int fd, size_t number, const tain *deadline) {
    tain never;
    tain_add_g(&never, &tain_infinite_relative);
    return s6_fdholder_store_g(peer->connection, fd, label(number), &never, deadline);
}

bool peer_start(struct peer *peer, int fd, size_t held, const char **why) {
    static const s6_fdholder_t nothing = S6_FDHOLDER_ZERO; /* which brings a semicolon */
    tain deadline;
    peer->held = held;
    peer->connection = malloc(sizeof(nothing));
    if (!peer->connection)
        err(1, "malloc");
    memcpy(peer->connection, &nothing, sizeof(nothing));
    make_directory(peer);
    start_daemon(peer, held + 10);
    tain_now_set_stopwatch_g();
    deadline_in(&deadline);
    bool good = s6_fdholder_start_g(peer->connection, inside(peer, "socket"), &deadline);
    for (size_t i = 0; good && i < held; i++)
        good = store(peer, fd, i, &deadline);
    if (!good) {
        *why = "s6-fdholderd: does not run, or does not hold so many, here";
        peer_stop(peer);
    }
    return good;
}

void peer_stop(struct peer *peer) {
    s6_fdholder_end(peer->connection);
    free(peer->connection);
    kill(peer->daemon, SIGKILL);
    waitpid(peer->daemon, NULL, 0);
    remove_directory(peer);
}

void measure_peer_retrieve(struct contender *contender, double *samples, size_t count) {
    struct peer *peer = contender->context;
    int *descriptors = calloc(count, sizeof(*descriptors));
    tain deadline;
    if (!descriptors)
        err(1, "calloc");
    deadline_in(&deadline);
    for (size_t i = 0; i < count; i++) {
        const char *wanted = label(scattered(i, peer->held));
        double start = now_us();
        descriptors[i] = s6_fdholder_retrieve_g(peer->connection, wanted, &deadline);
        samples[i] = now_us() - start;
        if (descriptors[i] < 0)
            err(1, "s6-fdholderd: retrieve");
    }
    close_all(descriptors, count);
    free(descriptors);
}

void measure_peer_store(struct contender *contender, double *samples, size_t count) {
    struct peer *peer = contender->context;
    tain deadline;
    deadline_in(&deadline);
    for (size_t i = 0; i < count; i++) {
        double start = now_us();
        bool good = store(peer, STDIN_FILENO, peer->held, &deadline);
        samples[i] = now_us() - start;
        if (!good || !s6_fdholder_delete_g(peer->connection, label(peer->held), &deadline))
            err(1, "s6-fdholderd: store and delete");
    }
}

#endif
