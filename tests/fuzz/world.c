/* SPDX-License-Identifier: MIT */
/* The helper without its process: see world.h. */
#include "world.h"

#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "model/lifetime.h"
#include "model/model.h"
#include "requests/turn.h"

#define BEGAN_MS 1000000

static uint64_t clock_ms;
static int descriptors_before;

/* Linked in the place of clock_gettime(): see meson.build. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __real_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now) {
    if (clock != CLOCK_MONOTONIC_COARSE)
        return __real_clock_gettime(clock, now);
    *now = (struct timespec){(time_t)(clock_ms / 1000), (long)(clock_ms % 1000) * 1000000};
    return 0;
}

void world_pass_time(uint64_t milliseconds) {
    clock_ms += milliseconds;
}

/* The kernel chooses an abstract name that nobody else has. */
static void begin_listener(struct world *world, enum role role) {
    struct sockaddr_un *address = &world->addresses[role - 1];
    socklen_t *size = &world->address_sizes[role - 1];
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    *size = sizeof(*address);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)address, sizeof(address->sun_family)) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)address, size) == 0 && listen(fd, 128) == 0);
    CHECK(listener_begin(&world->listeners[role - 1], &world->service.sessions, fd, role,
                         role == ROLE_VMM ? world->service.model.endpoints.all : NULL, true,
                         &world->policy) == 0);
}

void world_begin(struct world *world) {
    static const struct endpoint_plan plan = {"vm"};
    static const struct limits limits = {.sets = 12,
                                         .members = 24,
                                         .leases = 700,
                                         .leases_per_vmm = 600,
                                         .connections = WORLD_PEERS - 1,
                                         .waiting = 6,
                                         .holds = 3,
                                         .events = 16,
                                         .hello_seconds = 30,
                                         .unread_seconds = 60,
                                         .in_flight = 512};

    /* What an input before has opened for good is not this one's. */
    file_open_kind(FILE_KINDS, -1);
    descriptors_before = fuzz_count_descriptors();
    clock_ms = BEGAN_MS;
    CHECK(service_init(&world->service, &limits) == 0);
    CHECK(endpoints_init(&world->service.model.endpoints, &limits, &plan, 1, true) == 0);
    world->policy = (struct manager_policy){.uids = {geteuid()}, .count = 1};
    for (enum role role = ROLE_VMM; role <= ROLE_OBSERVER; role++)
        begin_listener(world, role);
    for (int i = 0; i < WORLD_PEERS; i++)
        world->peers[i] = (struct peer){.socket = -1};
}

void world_turn(struct world *world) {
    for (int i = 0; i < 3; i++)
        listener_resume(&world->listeners[i]);
    CHECK(timers_timeout(&world->service) >= -1);
    CHECK(loop_turn(&world->service.sessions.loop, 0) == 0);
    turn_end(&world->service);
    timers_tick(&world->service);
}

void world_turn_starved(struct world *world, unsigned free) {
    struct rlimit limit;
    int next = dup(STDERR_FILENO);

    CHECK(next >= 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0);
    close(next);
    struct rlimit low = {(rlim_t)next + free, limit.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
    world_turn(world);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

/* ---------------------------------------------------------------- the end */

static bool is_settled(const struct service *service) {
    return !settle_is_busy(&service->settle) && list_empty(&service->sessions.all) &&
           list_empty(&service->model.sets) && service->model.member_slab.used == 0;
}

static void run_down_once(struct world *world) {
    world_turn(world);
    for (unsigned i = 0; i < SETTLE_THREADS; i++)
        settle_finish(&world->service.settle, i, false);
    world_pass_time(LISTENER_PAUSE_MS);
}

/* Sets that outlive their manager, of which one may have the manager's own socket
 * in it; and connections whose own far end waits in them unread (SECURITY.md). */
static void remove_all(struct world *world) {
    struct model *model = &world->service.model;
    struct refusal refusal;

    list_for_each (link, &world->service.sessions.all) {
        struct session *session = list_object(link, struct session, link);
        if (session->pending)
            session_end(session);
    }

    list_for_each (link, &model->sets)
        CHECK(model_remove(model, list_object(link, struct fdset, by_id)->id, 0, NULL, &refusal) >=
              0);
    follow_up(&world->service);
}

/* Rounds after which what is still there stays by itself. */
#define PATIENCE 128

/* With nobody left, what is under way comes to its end by itself, but for what
 * remove_all() is for. */
static void run_down(struct world *world) {
    for (int round = 1; !is_settled(&world->service) && round < 64 * PATIENCE; round++) {
        run_down_once(world);
        if (round % PATIENCE == 0)
            remove_all(world);
    }
    CHECK(is_settled(&world->service));
}

static void check_empty(const struct service *service) {
    const struct model *model = &service->model;

    model_check(model);
    service_check(service);
    CHECK(model->set_slab.used == 0 && model->member_slab.used == 0);
    CHECK(model->lease_slab.used == 0 && model->hold_slab.used == 0);
    CHECK(model->short_label_slab.used == 0 && model->long_label_slab.used == 0);
    CHECK(model->member_count == 0 && model->deadlines.count == 0);
    CHECK(service->sessions.slab.used == 0 && service->sessions.pending_slab.used == 0);
    CHECK(service->waits.slab.used == 0 && service->waits.deadlines.count == 0);
    CHECK(service->deferrals.slab.used == 0 && service->deferrals.deadlines.count == 0);
    CHECK(service->subscriptions.slab.used == 0 && model->told == 0);
    CHECK(model->totals.opens == model->totals.closes + model->totals.hangups);
    CHECK(model->totals.added == model->totals.removed);
}

static void free_memory(struct service *service) {
    model_destroy(&service->model);
    slab_destroy(&service->sessions.slab);
    slab_destroy(&service->sessions.pending_slab);
    slab_destroy(&service->waits.slab);
    slab_destroy(&service->subscriptions.slab);
    deadlines_destroy(&service->waits.deadlines);
}

void world_end(struct world *world) {
    for (int i = 0; i < WORLD_PEERS; i++)
        peer_hang_up(&world->peers[i]);
    for (int i = 0; i < WORLD_PEERS; i++)
        run_down_once(world); /* whoever is still in a listener's queue */
    run_down(world);
    check_empty(&world->service);
    for (int i = 0; i < 3; i++) {
        loop_remove(&world->service.sessions.loop, &world->listeners[i].watch);
        close(world->listeners[i].watch.fd);
    }
    close(world->service.sessions.loop.epoll);
    free_memory(&world->service);
    CHECK(fuzz_count_descriptors() == descriptors_before);
}
