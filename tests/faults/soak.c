/* SPDX-License-Identifier: MIT */
/* Soak: VMMs, a manager and a subscriber, each a process of its own, do all
 * that can be done, for as long as there is patience; the helper's memory,
 * descriptors and answers stay as they were. With --long for ten minutes, else
 * for some thousand opens, so that this does not rot. FAULTS_SOAK_SECONDS says
 * how long instead. */
#include "child.h"
#include "events.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LONG_SECONDS 600

/* Figures are printed so often; half of the time has to pass before they count. */
#define CHECKPOINTS 20

/* Without a time: opens of the first VMM from one figure to the next. */
#define SHORT_OPENS 200

/* Sets 1 to DISKS are for writing, of the first VMM; SHARED for reading, of all. */
#define DISKS  4
#define SHARED 10

#define SLOWEST_US 20000

static struct {
    atomic_bool stop;
    atomic_ulong opens, batches, waits, lives, replaces, backlogs, events, lost;
    atomic_uint slowness[SLOWEST_US + 1]; /* opens of so many microseconds */
} * shared;

static unsigned seconds;
static int disks[DISKS], shared_file;

static uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void expect_file(int fd, int original) {
    struct stat got, wanted;
    assert_int_equal(fstat(fd, &got), 0);
    assert_int_equal(fstat(original, &wanted), 0);
    assert_int_equal(got.st_ino, wanted.st_ino);
}

/* ------------------------------------------------------------------- the roles */

/* Opens and closes one disk after the other, locked in between. Says when it is
 * time for figures. */
static void run_opener(struct child_side *side) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    uint64_t next = now_us();

    for (unsigned long i = 0; !shared->stop; i++) {
        int flags = O_RDWR | (i % 3 == 0 ? O_APPEND : 0);
        uint64_t before = now_us();
        struct opened opened = client_open_set(side->client, 1 + (int)(i % DISKS), flags);
        uint64_t took = now_us() - before;
        assert_int_equal(opened.code, 0);
        expect_file(opened.fd, disks[i % DISKS]);
        /* A member that has just been replaced may have to be unlocked yet. */
        wait_until(fcntl(opened.fd, F_OFD_SETLK, &lock) == 0);
        client_close(side->client, &opened);
        shared->slowness[took < SLOWEST_US ? took : SLOWEST_US]++;
        shared->opens++;
        if (seconds ? now_us() >= next : i % SHORT_OPENS == 0) {
            parent_tell(side);
            next += (uint64_t)seconds * 1000000 / CHECKPOINTS;
        }
    }
}

static void run_batcher(struct child_side *side) {
    struct wanted wanted[16];
    struct opened results[16];
    uint64_t leases[16];

    for (int i = 0; i < 16; i++)
        wanted[i] = (struct wanted){"/dev/fdset/10", O_RDONLY};
    while (!shared->stop) {
        client_open_many(side->client, wanted, 16, results);
        for (int i = 0; i < 16; i++) {
            /* As fdset.proto has it: the last lease lived so long that a thread clears up. */
            if (results[i].code == CODE(BUSY) && results[i].error == EAGAIN)
                results[i] = client_open(side->client, wanted[i].path, wanted[i].flags);
            assert_int_equal(results[i].code, 0);
            expect_file(results[i].fd, shared_file);
            harness_close(results[i].fd);
            leases[i] = results[i].lease;
        }
        client_close_leases(side->client, leases, 16);
        shared->batches++;
    }
}

/* Wants what is not there, and holds another set meanwhile. */
static void run_patient(struct child_side *side) {
    char path[40];

    for (unsigned i = 0; !shared->stop; i++) {
        snprintf(path, sizeof(path), "/dev/fdset/wish%u", i);
        assert_int_equal(client_hold(side->client, "/dev/fdset/10")->body_case, REPLY(DONE));
        uint32_t serial = client_send_patient_open(side->client, path, O_RDONLY, 2000);
        struct opened opened = client_opened(side->client, serial);
        assert_int_equal(client_unhold(side->client, "/dev/fdset/10")->body_case, REPLY(DONE));
        if (opened.fd < 0)
            continue; /* the manager was slow: on a busy machine it may be */
        expect_file(opened.fd, shared_file);
        client_close(side->client, &opened);
        shared->waits++;
    }
}

/* Dies with an open lease, and comes back. */
static void run_comer(struct child_side *side) {
    struct helper *helper = side->data;

    while (!shared->stop) {
        struct client *client = helper_connect(helper, ROLE(VMM), "comes and goes");
        helper->clients = client->next;
        struct opened opened = client_open_set(client, SHARED, O_RDONLY);
        assert_int_equal(opened.code, 0);
        harness_close(opened.fd);
        client_free(client);
        shared->lives++;
    }
}

static struct client *manager_come(struct helper *helper) {
    struct client *manager = helper_connect_silent(helper, ROLE(MANAGER));
    helper->clients = manager->next;
    client_hello_as(manager, "soaking manager", "soak");
    assert_int_equal(client_subscribe_to(manager, (int[]){EVENT(WANTED)}, 1)->body_case,
                     REPLY(DONE));
    return manager;
}

/* Replaces a disk's member, lets a set expire, and gives what is wanted: last,
 * as then the next wish comes after the reply. */
static void grant(struct client *manager, const char *name, unsigned round) {
    static const char *const names[DISKS] = {"disk0", "disk1", "disk2", "disk3"};
    int disk = open(file_path(names[round % DISKS]), O_RDWR | O_CLOEXEC);
    struct new_member wish = {.fd = shared_file}, again = {.fd = disk, .opaque = "again"};

    /* Those that are gone are closed on a thread, which may be behind. */
    while (client_totals(manager).sets > 100)
        shared->backlogs++;
    client_add_new(manager, (struct new_set){1 + (int)(round % DISKS), LIFETIME(UNSPECIFIED),
                                             &again, 1, .replace = true});
    client_add_new(manager, (struct new_set){SET_NEW, LIFETIME(IDLE), &wish, 1, .idle_ms = 1});
    client_add_new(manager, (struct new_set){SET_NEW, LIFETIME(ONCE), &wish, 1, .name = name});
    close(disk);
    shared->replaces++;
}

static void run_manager(struct child_side *side) {
    struct client *manager = manager_come(side->data);
    char name[40];

    parent_tell(side);
    for (unsigned round = 1;; round++) {
        Reply *reply = client_receive(manager);
        assert_non_null(reply);
        assert_int_equal(reply->body_case, REPLY(EVENTS));
        snprintf(name, sizeof(name), "%s", strrchr(reply->events->events[0]->path, '/') + 1);
        if (shared->stop)
            break;
        if (round % 50 == 0) { /* its successor is there before it goes */
            struct client *next = manager_come(side->data);
            client_free(manager);
            manager = next;
        }
        grant(manager, name, round);
    }
    client_free(manager);
}

/* Everything that happens is told, or told to be lost. */
static void run_subscriber(struct child_side *side) {
    uint64_t last = 0;

    assert_int_equal(client_subscribe_to(side->client, NULL, ALL_KINDS)->body_case, REPLY(DONE));
    parent_tell(side);
    while (!shared->stop) {
        Reply *reply = client_receive(side->client);
        assert_non_null(reply);
        assert_int_equal(reply->body_case, REPLY(EVENTS));
        Fdset__V1__Events *events = reply->events;
        for (size_t i = 0; i < events->n_events; i++) {
            uint64_t expected = last + 1 + (i == 0 ? events->lost : 0);
            if (last > 0)
                assert_int_equal(events->events[i]->sequence, expected);
            last = events->events[i]->sequence;
        }
        shared->events += events->n_events;
        shared->lost += events->lost;
    }
}

/* --------------------------------------------------------------------- figures */

struct figures {
    unsigned long opens;
    long resident, private_bytes; /* KiB; -1: we may not look */
    int descriptors;
};

static unsigned slowest_of(double share, unsigned *counts, unsigned long total) {
    unsigned long below = 0;
    unsigned us = 0;

    while (us < SLOWEST_US && (below += counts[us]) < share * (double)total)
        us++;
    return us;
}

/* The opens since the last time, half of them faster than this, 99 of 100 than that. */
static void print_slowness(void) {
    static unsigned before[SLOWEST_US + 1], since[SLOWEST_US + 1];
    unsigned long total = 0;

    for (int i = 0; i <= SLOWEST_US; i++) {
        unsigned count = shared->slowness[i];
        since[i] = count - before[i];
        before[i] = count;
        total += since[i];
    }
    print_message(" p50 %u us, p99 %u us", slowest_of(0.5, since, total),
                  slowest_of(0.99, since, total));
}

static struct figures figures_take(struct helper *helper) {
    struct figures figures = {.resident = -1, .private_bytes = -1};
    long resident, file_backed, page = sysconf(_SC_PAGESIZE) / 1024;
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/statm", helper->pid);
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%*d %ld %ld", &resident, &file_backed) == 2) {
        figures.resident = resident * page;
        figures.private_bytes = (resident - file_backed) * page;
    }
    if (file)
        fclose(file);
    figures.opens = shared->opens + 16 * shared->batches + shared->waits + shared->lives;
    figures.descriptors = helper_descriptors(helper);
    return figures;
}

static struct figures figures_print(struct helper *helper, uint64_t start_us) {
    struct figures figures = figures_take(helper);
    Totals totals = client_totals(helper->manager);

    print_message("# %4u s: %lu opens,", (unsigned)((now_us() - start_us) / 1000000),
                  figures.opens);
    print_slowness();
    print_message(
        ", %ld KiB resident, %ld KiB private, %d descriptors; %u sets, %u leases; "
        "%lu waits, %lu lives, %lu replaces (%lu times behind), %lu events told, %lu lost\n",
        figures.resident, figures.private_bytes, figures.descriptors, totals.sets, totals.leases,
        shared->waits, shared->lives, shared->replaces, shared->backlogs, shared->events,
        shared->lost);
    return figures;
}

/* ---------------------------------------------------------------------- the test */

static void await_checkpoint(struct child *opener) {
    struct pollfd ready = {.fd = opener->from, .events = POLLIN};
    char byte;

    if (poll(&ready, 1, (int)(60 + 2 * seconds) * 1000) != 1 || read(opener->from, &byte, 1) != 1)
        fail_msg("the first VMM has failed, or hangs");
}

/* One that has failed has said so; it need not be waited for to the end. */
static void expect_running(const struct child *children, int count) {
    for (int i = 0; i < count; i++) {
        siginfo_t info = {0};
        waitid(P_PID, (id_t)children[i].pid, &info, WEXITED | WNOHANG | WNOWAIT);
        assert_int_equal(info.si_pid, 0);
    }
}

static void add_sets(struct helper *helper) {
    for (int i = 0; i < DISKS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "disk%d", i);
        disks[i] = file_open(name, O_RDWR);
        struct new_member member = {.fd = disks[i]};
        client_add_set(helper->manager, 1 + i, LIFETIME(KEEP), &member, 1);
    }
    shared_file = file_open("shared", O_RDONLY);
    struct new_member member = {.fd = shared_file, .sharing = SHARING(SHARED)};
    client_add_set(helper->manager, SHARED, LIFETIME(KEEP), &member, 1);
}

/* Those who wait for an event get one. */
static void wake(struct helper *helper) {
    uint32_t serial = client_send_patient_open(helper->vmm, "/dev/fdset/end", O_RDWR, 1);
    assert_int_equal(client_opened(helper->vmm, serial).code, CODE(NO_SET));
}

static bool everybody_did_something(void) {
    return shared->opens && shared->batches && shared->waits && shared->lives && shared->replaces &&
           shared->events;
}

/* Pages that nobody has needed before are no leak, but there is an end to them;
 * of descriptors, none are left but those of the sets and of who is connected. */
static void expect_flat(const struct figures *middle, const struct figures *end, int before) {
    assert_in_range(end->resident, 0, middle->resident + 256);
    assert_in_range(end->private_bytes, 0, middle->private_bytes + 256);
    if (before >= 0)
        assert_in_range(end->descriptors, before, before + 60);
}

static void test_soak(void **state) {
    struct helper *helper = helper_start(NULL);
    struct figures middle = {0}, end = {0};
    uint64_t start_us = now_us();

    add_sets(helper);
    struct child subscriber = child_start(helper, ROLE(OBSERVER), "listens", run_subscriber, NULL);
    child_wait(&subscriber);
    struct child manager =
        child_start(helper, ROLE(OBSERVER), "parent of a manager", run_manager, helper);
    child_wait(&manager);
    struct child opener = child_start(helper, ROLE(VMM), "opens", run_opener, NULL);
    struct child others[] = {
        child_start(helper, ROLE(VMM), "opens many", run_batcher, NULL),
        child_start(helper, ROLE(VMM), "waits and holds", run_patient, NULL),
        child_start(helper, ROLE(VMM), "parent of lives", run_comer, helper),
    };

    await_checkpoint(&opener); /* its first open */
    for (int i = 1; i <= CHECKPOINTS; i++) {
        await_checkpoint(&opener);
        end = figures_print(helper, start_us);
        expect_running(others, 3);
        expect_running((struct child[]){manager, subscriber}, 2);
        if (i == CHECKPOINTS / 2)
            middle = end;
    }
    wait_until((client_barrier(helper->manager), everybody_did_something()));
    shared->stop = true;
    child_join(&opener);
    for (int i = 0; i < 3; i++)
        child_join(&others[i]);
    wake(helper);
    child_join(&manager);
    child_join(&subscriber);
    if (seconds)
        expect_flat(&middle, &end, helper->descriptors);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_soak),
    };
    const char *is_long = getenv("FDSET_TEST_LONG"), *wanted = getenv("FAULTS_SOAK_SECONDS");

    seconds = wanted ? (unsigned)atoi(wanted) : is_long && *is_long ? LONG_SECONDS : 0;
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
