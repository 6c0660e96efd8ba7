/* SPDX-License-Identifier: MIT */
/* A close that is the last may take its time, on any file system: it writes back what was written
 * after a truncation (ext4, auto_da_alloc), or frees what an unlinked file had. Nobody is served
 * later for it, by whatever way the member goes: by order, as the victim's answer is there before
 * the member is closed. */
#include "events.h"
#include "scene.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#define SLOW 3 /* the set whose member takes its time */

/* 64 MB take milliseconds to free, an open microseconds; at full length 2 GB are to be written. */
static size_t megabytes(void) {
    return scene_is_long() ? 2048 : 64;
}

static int written(const char *name, bool unlinked) {
    static char block[1 << 20];
    int fd = harness_keep(open(file_path(name), O_RDWR | O_CREAT | O_CLOEXEC, 0600));

    for (int i = 0; i < 2; i++) { /* what was there is truncated */
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        for (size_t written = i ? 0 : megabytes() - 1; written < megabytes(); written++)
            assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
    }
    if (unlinked)
        assert_int_equal(unlink(file_path(name)), 0);
    return fd;
}

static bool has_answer(const struct client *client) {
    struct pollfd state = {.fd = client->socket, .events = POLLIN};
    return poll(&state, 1, 0) == 1;
}

static double now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* How long opens of the victim took, of those between two tests. For people only. */
static double times[1 << 16];
static size_t time_count;

static int compare(const void *one, const void *other) {
    double difference = *(const double *)one - *(const double *)other;
    return difference < 0 ? -1 : difference > 0;
}

static void tell_times(const char *what) {
    qsort(times, time_count, sizeof(times[0]), compare);
    if (time_count > 0)
        print_message(
            "# %s: of %zu opens, half in %.0f us, 99 %% in %.0f us, the last in %.0f us\n", what,
            time_count, times[time_count / 2], times[time_count * 99 / 100], times[time_count - 1]);
    time_count = 0;
}

static void victim_opens(struct helper *helper) {
    double began = now_us();
    struct opened mine = client_open_set(helper->vmm, VICTIMS, O_RDWR);
    double took = now_us() - began;

    assert_true(mine.fd >= 0);
    client_close(helper->vmm, &mine);
    if (time_count < sizeof(times) / sizeof(times[0]))
        times[time_count++] = took;
}

static struct helper *begin(const char *name, bool unlinked) {
    struct helper *helper = scene_start(NULL);
    int fd = written(name, unlinked);

    for (int i = 0; scene_is_long() && i < 2000; i++)
        victim_opens(helper);
    tell_times("alone");
    client_add_one(helper->manager, SLOW, fd);
    client_wait_settled(helper->manager);
    harness_close(fd);
    return helper;
}

/* The victim opens until the request is answered to the manager. Returns how often it had been
 * served while that was yet to come. */
static int serve_until_answered(struct helper *helper, uint32_t serial, bool refused,
                                const char *what) {
    int served = -1;

    do {
        victim_opens(helper);
        served++;
    } while (!has_answer(helper->manager));
    assert_int_equal(client_answer(helper->manager, serial)->body_case == REPLY(ERROR), refused);
    tell_times(what);
    return served;
}

/* Once may be luck, or its lack: a host that is busy lets the victim wait for its processor. */
#define TRIES 5

static int serve_beside_a_removal(bool unlinked, void **state) {
    int served = 0;

    for (int i = 0; i < TRIES && served == 0; i++) {
        struct helper *helper = begin("dirty", unlinked);
        uint32_t serial = client_send_remove(helper->manager, SLOW, 0, WAIT_FOREVER_MS);
        served =
            serve_until_answered(helper, serial, false,
                                 unlinked ? "beside what is freed" : "beside what is written back");
        assert_int_equal(harness_end(state), 0);
        assert_int_equal(harness_begin(state), 0);
    }
    return served;
}

static void test_beside_the_removal_of_what_is_to_be_freed(void **state) {
    assert_true(serve_beside_a_removal(true, state) > 0);
}

/* Other file systems write nothing back at a close; and little is soon on its way. */
static void test_beside_the_removal_of_what_is_to_be_written(void **state) {
    struct statfs file_system;
    int served = serve_beside_a_removal(false, state);

    assert_int_equal(statfs(file_path("."), &file_system), 0);
    if (scene_is_long() && file_system.f_type == EXT4_SUPER_MAGIC)
        assert_true(served > 0);
}

/* A member that goes with its last lease, by a connection's end. */
static void test_beside_the_end_of_its_holder(void **state) {
    int served = 0;

    for (int i = 0; i < TRIES && served == 0; i++) {
        struct helper *helper = begin("dirty", true);
        struct client *attacker = attacker_connect(helper);
        struct opened opened = client_open_set(attacker, SLOW, O_RDWR);
        client_remove(helper->manager, SLOW, 0); /* not before it is closed */
        harness_close(opened.fd);
        client_hang_up(attacker);
        do {
            victim_opens(helper);
            served++;
        } while (client_find_set(helper->manager, SLOW));
        served--; /* of which the last may have come after */
        tell_times("beside the end of its holder");
        assert_int_equal(harness_end(state), 0);
        assert_int_equal(harness_begin(state), 0);
    }
    assert_true(served > 0);
}

/* A descriptor that is refused, and is the last of its file. */
static void test_beside_a_refused_add(void **state) {
    int served = 0;

    for (int i = 0; i < TRIES && served == 0; i++) {
        struct helper *helper = scene_start(NULL);
        int fd = written("dirty", true);
        /* The set is of another file. */
        helper_pause(helper); /* so that the helper's is the last copy */
        struct new_set wrong = {
            .set = VICTIMS, .members = &(struct new_member){.fd = fd}, .count = 1};
        uint32_t serial = client_send_add(helper->manager, &wrong, 1);
        harness_close(fd);
        helper_go_on(helper);
        client_barrier(helper->vmm); /* which may be served first */
        served = serve_until_answered(helper, serial, true, "beside a refused add");
        assert_int_equal(harness_end(state), 0);
        assert_int_equal(harness_begin(state), 0);
    }
    assert_true(served > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_beside_the_removal_of_what_is_to_be_freed),
        helper_test(test_beside_the_removal_of_what_is_to_be_written),
        helper_test(test_beside_the_end_of_its_holder),
        helper_test(test_beside_a_refused_add),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
