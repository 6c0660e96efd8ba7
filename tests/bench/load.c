/* SPDX-License-Identifier: MIT */
/* Not alone: several clients at once, a manager that has asked for events and does
 * not read them, a neighbour that floods. */
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fdset/manager.h>

#include "groups.h"
#include "ours.h"

#define MOST_CLIENTS 8
#define ROUNDS       40
#define SAMPLES      100 /* a round, of each client */
#define FLOOD_ROUNDS 60
#define FLOOD_DEPTH  64

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const size_t crowd_sizes[] = {1, 2, 8};

/* A helper with a set for each client, reachable by a path. */
struct scene {
    char directory[64], vmm_path[96];
    struct ours ours;
    struct fdset_manager *subscriber;
};

/* All sets are of `memory`, which is borrowed. */
static void scene_start(struct scene *scene, int memory, bool subscribed) {
    int descriptors[MOST_CLIENTS + 1], ends[2];
    *scene = (struct scene){0};
    strcpy(scene->directory, "/tmp/fdset-bench-XXXXXX");
    if (!mkdtemp(scene->directory) || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) < 0)
        err(1, "%s", scene->directory);
    snprintf(scene->vmm_path, sizeof(scene->vmm_path), "%s/vmm", scene->directory);
    for (size_t i = 0; i < COUNT(descriptors); i++)
        descriptors[i] = memory;
    const char *arguments[] = {"--vmm", scene->vmm_path, NULL};
    scene->ours.manage_fd = ends[1];
    ours_start(&scene->ours, descriptors, COUNT(descriptors), arguments);
    scene->ours.set_count = MOST_CLIENTS; /* the last is the flood's */
    if (fdset_manager_attach_fd(&scene->subscriber, ends[0], NULL) < 0 ||
        (subscribed && fdset_subscribe(scene->subscriber, UINT32_MAX) < 0))
        errx(1, "subscribe: %s", fdset_error_text());
    close(ends[1]);
}

static void scene_stop(struct scene *scene) {
    fdset_manager_free(scene->subscriber);
    ours_stop(&scene->ours);
    unlink(scene->vmm_path);
    rmdir(scene->directory);
}

static struct fdset_vmm *attach(const struct scene *scene) {
    struct fdset_vmm *vmm;
    if (fdset_vmm_attach_path(&vmm, scene->vmm_path, NULL) < 0)
        errx(1, "attach: %s", fdset_error_text());
    return vmm;
}

/* ---------------------------------------------------------- several clients */

/* One of them: opens and closes a set of its own. */
struct client {
    struct fdset_vmm *vmm;
    size_t set, pairs;
    pthread_t thread;
};

static void *client_run(void *argument) {
    struct client *client = argument;
    char path[SET_PATH_BYTES];
    set_path(client->set, path);
    for (size_t i = 0; i < client->pairs; i++) {
        int fd = fdset_open(client->vmm, path, O_RDWR | O_CLOEXEC);
        if (fd < 0)
            errx(1, "%s: %s", path, fdset_error_text());
        fdset_close(client->vmm, fd);
    }
    return NULL;
}

/* Number: threads, which share one connection. One sample: the time that all took,
 * by the number of opens that all made. */
static void measure_threads(struct contender *contender, double *samples, size_t count) {
    struct scene *scene = contender->context;
    struct client clients[MOST_CLIENTS];
    for (size_t sample = 0; sample < count; sample++) {
        double start = now_us();
        for (size_t i = 0; i < contender->number; i++) {
            clients[i] = (struct client){scene->ours.vmm, i, SAMPLES, 0};
            if (pthread_create(&clients[i].thread, NULL, client_run, &clients[i]) != 0)
                errx(1, "pthread_create");
        }
        for (size_t i = 0; i < contender->number; i++)
            pthread_join(clients[i].thread, NULL);
        samples[sample] = (now_us() - start) / (double)(contender->number * SAMPLES);
    }
}

/* A process that attaches, then makes its opens each time it is told to, by a byte,
 * and answers with one. */
static pid_t client_fork(const struct scene *scene, size_t set, int *control) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        err(1, "socketpair");
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        struct client client = {attach(scene), set, SAMPLES, 0};
        while (write(ends[1], "", 1) == 1 && read(ends[1], &byte, 1) == 1)
            client_run(&client);
        _exit(1);
    }
    close(ends[1]);
    *control = ends[0];
    return pid;
}

static void wait_for_byte(int control) {
    char byte;
    if (read(control, &byte, 1) != 1)
        errx(1, "a client process has died");
}

/* Number: processes, each with a connection. */
static void measure_processes(struct contender *contender, double *samples, size_t count) {
    int controls[MOST_CLIENTS];
    pid_t processes[MOST_CLIENTS];
    for (size_t i = 0; i < contender->number; i++) {
        processes[i] = client_fork(contender->context, i, &controls[i]);
        wait_for_byte(controls[i]);
    }
    for (size_t sample = 0; sample < count; sample++) {
        double start = now_us();
        for (size_t i = 0; i < contender->number; i++)
            if (write(controls[i], "", 1) != 1)
                errx(1, "a client process has died");
        for (size_t i = 0; i < contender->number; i++)
            wait_for_byte(controls[i]);
        samples[sample] = (now_us() - start) / (double)(contender->number * SAMPLES);
    }
    for (size_t i = 0; i < contender->number; i++) {
        kill(processes[i], SIGKILL);
        waitpid(processes[i], NULL, 0);
        close(controls[i]);
    }
}

static void bench_clients(struct report *report, int memory) {
    struct scene scene;
    scene_start(&scene, memory, false);
    struct contender all[2 * COUNT(crowd_sizes)] = {0};
    for (size_t i = 0; i < COUNT(all); i++) {
        bool threads = i < COUNT(crowd_sizes);
        all[i] = (struct contender){.measure = threads ? measure_threads : measure_processes,
                                    .context = &scene,
                                    .number = crowd_sizes[i % COUNT(crowd_sizes)]};
        snprintf(all[i].series.name, sizeof(all[i].series.name), "open + close, %zu %s",
                 all[i].number, threads ? "threads, one connection" : "processes");
    }
    take_turns(all, COUNT(all), rounds_of_group(ROUNDS) / 4 + 1, 4);
    report_group(report, "clients", "Several clients, microseconds an open and close");
    for (size_t i = 0; i < COUNT(all); i++)
        report_series(report, &all[i].series, i ? &all[0].series : NULL);
    for (size_t i = 0; i < COUNT(all); i++)
        series_free(&all[i].series);
    scene_stop(&scene);
}

/* -------------------------------------------------- who does not read events */

static void bench_subscriber(struct report *report, int memory) {
    struct scene alone, watched;
    scene_start(&alone, memory, false);
    scene_start(&watched, memory, true);
    struct contender all[] = {
        {{"open + close, nobody watches"}, measure_open_close, &alone.ours},
        {{"open + close, an idle manager has subscribed"}, measure_open_close, &watched.ours},
    };
    take_turns(all, COUNT(all), rounds_of_group(ROUNDS), SAMPLES);
    report_group(report, "events", "Watched, microseconds");
    report_series(report, &all[0].series, NULL);
    report_series(report, &all[1].series, &all[0].series);
    series_free(&all[0].series);
    series_free(&all[1].series);
    scene_stop(&alone);
    scene_stop(&watched);
}

/* ------------------------------------------------------------------- a flood */

static void flooded(struct fdset_vmm *vmm, int fd, void *context) {
    int *under_way = context;
    --*under_way;
    if (fd >= 0)
        fdset_close(vmm, fd);
}

/* As much as one VMM can ask for, without an end. */
static pid_t flood_fork(const struct scene *scene) {
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct fdset_vmm *vmm = attach(scene);
    int under_way = 0;
    char path[SET_PATH_BYTES];
    set_path(MOST_CLIENTS, path);
    for (;;) {
        while (under_way < FLOOD_DEPTH &&
               fdset_open_submit(vmm, path, O_RDWR | O_CLOEXEC, 0, flooded, &under_way) == 0)
            under_way++;
        if (fdset_vmm_dispatch(vmm, -1) < 0)
            _exit(1);
    }
}

struct flood {
    struct ours *ours;
    pid_t neighbour;
};

static void measure_alone(struct contender *contender, double *samples, size_t count) {
    struct flood *flood = contender->context;
    struct contender open = {.context = flood->ours};
    measure_open(&open, samples, count);
}

static void measure_flooded(struct contender *contender, double *samples, size_t count) {
    struct flood *flood = contender->context;
    kill(flood->neighbour, SIGCONT);
    measure_alone(contender, samples, count);
    kill(flood->neighbour, SIGSTOP);
}

static void bench_flood(struct report *report, int memory) {
    struct scene scene;
    scene_start(&scene, memory, false);
    struct flood flood = {&scene.ours, flood_fork(&scene)};
    struct contender all[] = {
        {{"open, alone"}, measure_alone, &flood},
        {{"open, beside a VMM that floods"}, measure_flooded, &flood},
    };
    take_turns(all, COUNT(all), rounds_of_group(FLOOD_ROUNDS), SAMPLES);
    kill(flood.neighbour, SIGKILL);
    waitpid(flood.neighbour, NULL, 0);
    report_group(report, "flood", "A neighbour that floods, microseconds");
    report_series(report, &all[0].series, NULL);
    report_series(report, &all[1].series, &all[0].series);
    report_target(report, "flood_p99_over_alone", series_p99_ratio(&all[1].series, &all[0].series),
                  3, false, NULL);
    series_free(&all[0].series);
    series_free(&all[1].series);
    scene_stop(&scene);
}

void bench_load(struct report *report) {
    int memory = memfd_create("disk", MFD_CLOEXEC);
    bench_clients(report, memory);
    bench_subscriber(report, memory);
    bench_flood(report, memory);
    close(memory);
}
