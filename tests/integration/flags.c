/* SPDX-License-Identifier: MIT */
/* Status flags: an open gets those that it asks for where nobody has the member open,
 * and never changes what a live lease sees; the manager's come back. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* No open changes what a live lease sees, the same VMM's neither: O_DIRECT under a buffered
 * lease makes its reads and writes fail. QEMU 9.1 and later refuse as well. */
static void test_no_open_changes_a_live_lease(void **state) {
    static const struct {
        int file, first, second;
    } rows[] = {
        {O_RDWR, O_RDWR, O_RDWR | O_DIRECT},
        {O_RDWR, O_RDWR | O_DIRECT, O_RDWR},
        {O_RDWR, O_RDWR | O_APPEND, O_RDWR},
        {O_WRONLY, O_WRONLY, O_WRONLY | O_APPEND},
        {O_RDWR | O_DIRECT, O_RDWR | O_DIRECT, O_RDWR},
        {O_RDONLY, O_RDONLY, O_RDONLY | O_DIRECT},
    };
    struct helper *helper = helper_start(NULL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int disk = file_open("disk", rows[i].file), other = file_open("disk", rows[i].file);
        client_add_one(helper->manager, (int)i, disk);
        struct opened first = client_open_set(helper->vmm, (int)i, rows[i].first);
        struct opened second = client_open_set(helper->vmm, (int)i, rows[i].second);
        assert_int_equal(second.code, CODE(BUSY));
        assert_int_equal(second.error, EBUSY);
        assert_non_null(strstr(second.text, rows[i].first & O_APPEND || rows[i].second & O_APPEND
                                                ? "O_APPEND"
                                                : "O_DIRECT"));
        assert_serves(first.fd, disk, rows[i].first);

        /* The cure that is named. */
        client_add_one(helper->manager, (int)i, other);
        second = client_open_set(helper->vmm, (int)i, rows[i].second);
        assert_serves(second.fd, other, rows[i].second);
        assert_serves(first.fd, disk, rows[i].first);
        client_close(helper->vmm, &second);
        client_close(helper->vmm, &first);
        client_wait_idle(helper->manager);
        assert_serves(disk, disk, rows[i].file);
    }
}

/* Flags that make no difference to what a lease's reads and writes do are in nobody's
 * way: the open is served with the description as it is. */
static void test_flags_without_effect_are_no_obstacle(void **state) {
    static const struct {
        int file, first, second;
    } rows[] = {
        {O_RDWR, O_RDWR, O_RDWR | O_NONBLOCK},
        {O_RDWR, O_RDWR | O_NONBLOCK, O_RDWR},
        {O_RDONLY, O_RDONLY, O_RDONLY | O_APPEND},
        {O_RDWR, O_RDWR, O_RDWR | O_NOATIME},
        {O_RDWR | O_NOATIME, O_RDWR | O_NOATIME, O_RDWR},
    };
    struct helper *helper = helper_start(NULL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int disk = file_open("disk", rows[i].file);
        client_add_one(helper->manager, (int)i, disk);
        struct opened first = client_open_set(helper->vmm, (int)i, rows[i].first);
        struct opened second = client_open_set(helper->vmm, (int)i, rows[i].second);
        assert_serves(first.fd, disk, rows[i].first);
        assert_serves(second.fd, disk, rows[i].first);
        client_close(helper->vmm, &second);
        client_close(helper->vmm, &first);
        client_wait_idle(helper->manager);
    }
}

/* Whether a read of a FIFO or a terminal waits is another matter. */
static void test_who_waits_on_a_fifo_goes_on_waiting(void **state) {
    struct helper *helper = helper_start(NULL);
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    harness_keep(ends[0]);
    harness_keep(ends[1]);
    int tty = harness_keep(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
    client_add_one(helper->manager, 1, ends[0]);
    client_add_one(helper->manager, 2, tty);

    struct opened first = client_open_set(helper->vmm, 1, O_RDONLY);
    struct opened second = client_open_set(helper->vmm, 1, O_RDONLY | O_NONBLOCK);
    assert_int_equal(second.code, CODE(BUSY));
    assert_non_null(strstr(second.text, "O_NONBLOCK"));
    assert_int_equal(fcntl(first.fd, F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(client_open_set(helper->vmm, 2, O_RDWR | O_NONBLOCK).code, 0);
    assert_int_equal(client_open_set(helper->vmm, 2, O_RDWR).code, CODE(BUSY));
}

/* What a VMM has changed on its lease by itself (QEMU does) is what counts. */
static void test_flags_that_the_vmm_changed_count(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    client_add_one(helper->manager, 1, disk);
    struct opened first = client_open_set(helper->vmm, 1, O_RDWR);
    assert_int_equal(fcntl(first.fd, F_SETFL, O_DIRECT), 0);
    assert_int_equal(client_open_set(helper->vmm, 1, O_RDWR).code, CODE(BUSY));
    assert_serves(first.fd, disk, O_RDWR | O_DIRECT);
    assert_serves(client_open_set(helper->vmm, 1, O_RDWR | O_DIRECT).fd, disk, O_RDWR | O_DIRECT);
    assert_int_equal(fcntl(first.fd, F_SETFL, 0), 0);
    assert_serves(client_open_set(helper->vmm, 1, O_RDWR).fd, disk, O_RDWR);
    assert_serves(first.fd, disk, O_RDWR);
}

static void test_another_vmms_flags_are_left_alone(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *other = helper_connect(helper, ROLE(VMM), "other vm");
    int disk = file_open("disk", O_RDONLY);
    struct new_member member = {.fd = disk, .sharing = SHARING(SHARED)};
    client_add_set(helper->manager, 1, 0, &member, 1);
    struct opened opened = client_open_set(helper->vmm, 1, O_RDONLY | O_DIRECT);
    assert_int_equal(client_open_set(other, 1, O_RDONLY).code, CODE(BUSY));
    assert_serves(opened.fd, disk, O_RDONLY | O_DIRECT);
    assert_serves(client_open_set(other, 1, O_RDONLY | O_DIRECT).fd, disk, O_RDONLY | O_DIRECT);
}

/* An open that waits for other flags has its member as soon as nobody is in its way. */
static void test_an_open_waits_for_flags(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    client_add_one(helper->manager, 1, disk);
    struct opened first = client_open_set(helper->vmm, 1, O_RDWR);
    uint32_t serial =
        client_begin_open(helper->vmm, "/dev/fdset/1", O_RDWR | O_DIRECT, WAIT_FOREVER_MS);
    client_barrier(helper->vmm);
    assert_serves(first.fd, disk, O_RDWR);
    client_close(helper->vmm, &first);
    assert_serves(client_opened(helper->vmm, serial).fd, disk, O_RDWR | O_DIRECT);
}

/* A VMM can change its lease's flags by itself; the manager's come back even so. */
static void test_flags_that_the_vmm_changed(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR | O_APPEND);
    client_add_one(helper->manager, 1, disk);
    struct opened opened = client_open_set(helper->vmm, 1, O_RDWR | O_APPEND);
    assert_int_equal(fcntl(opened.fd, F_SETFL, O_NONBLOCK), 0);
    client_close(helper->vmm, &opened);
    client_wait_idle(helper->manager);
    assert_serves(disk, disk, O_RDWR | O_APPEND);
}

static void test_flags_that_the_file_refuses(void **state) {
    struct helper *helper = helper_start(NULL);
    int null = harness_keep(open("/dev/null", O_RDWR | O_CLOEXEC));
    client_add_one(helper->manager, 1, null);
    struct opened opened = client_open_set(helper->vmm, 1, O_RDWR | O_DIRECT | O_NONBLOCK);
    assert_int_equal(opened.code, CODE(FLAGS));
    assert_int_equal(opened.error, EINVAL);
    assert_int_equal(fcntl(null, F_GETFL) & (O_DIRECT | O_NONBLOCK), 0);
    assert_int_equal(client_totals(helper->manager).leases, 0);
    assert_true(client_open_set(helper->vmm, 1, O_RDWR).fd >= 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_no_open_changes_a_live_lease),
        helper_test(test_flags_without_effect_are_no_obstacle),
        helper_test(test_who_waits_on_a_fifo_goes_on_waiting),
        helper_test(test_flags_that_the_vmm_changed_count),
        helper_test(test_an_open_waits_for_flags),
        helper_test(test_another_vmms_flags_are_left_alone),
        helper_test(test_flags_that_the_vmm_changed),
        helper_test(test_flags_that_the_file_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
