/* SPDX-License-Identifier: MIT */
/* What follows from a request, or from somebody's end, and in which order. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "events.h"

static uint64_t expires_ms(struct helper *helper) {
    return client_query(helper->manager, 1, NULL)->sets[0]->expires_ms;
}

/* An open that fails is as if it had not been: a VMM cannot keep an idle set so. */
static void test_a_failed_open_keeps_no_idle_set(void **state) {
    struct helper *helper = helper_start(NULL);
    struct new_member member = {.fd = harness_keep(open("/dev/null", O_RDWR | O_CLOEXEC))};
    struct new_set set = {1, LIFETIME(IDLE), &member, 1, .idle_ms = 600000};
    client_add(helper->manager, &set, 1);
    client_wait_settled(helper->manager);
    while (expires_ms(helper) > 600000 - 50)
        ;
    uint64_t before = expires_ms(helper);
    /* Nothing about this device is direct. */
    struct opened opened = client_open_set(helper->vmm, 1, O_RDWR | O_DIRECT);
    assert_int_equal(opened.code, CODE(FLAGS));
    client_wait_settled(helper->manager);
    assert_true(expires_ms(helper) <= before);
}

/* The helper finds one VMM's end and another's open in the same turn. */
static void test_who_waits_goes_before_a_newcomer(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *holder = helper_connect(helper, ROLE(VMM), "holder");
    struct client *patient = helper_connect(helper, ROLE(VMM), "patient");
    struct client *newcomer = helper_connect(helper, ROLE(VMM), "newcomer");
    int status;
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    client_wait_settled(helper->manager);
    client_open_set(holder, 1, O_RDWR);
    client_send_patient_open(patient, "/dev/fdset/1", O_RDWR, 3600000);
    client_barrier(patient);

    kill(helper->pid, SIGSTOP);
    assert_int_equal(waitpid(helper->pid, &status, WUNTRACED), helper->pid);
    shutdown(holder->socket, SHUT_RDWR);
    uint32_t serial = client_send_open(newcomer, "/dev/fdset/1", O_RDWR);
    kill(helper->pid, SIGCONT);
    struct opened opened = client_opened(newcomer, serial);
    assert_int_equal(opened.code, CODE(BUSY));
    assert_int_equal(client_totals(helper->manager).waiting, 0);
}

/* One hang-up makes more events than the queue has room for. */
static void test_who_reads_loses_nothing(void **state) {
    enum { SETS = 300 };
    struct helper *helper = helper_start(NULL);
    struct client *subscriber = helper_connect(helper, ROLE(OBSERVER), "subscriber");
    struct client *manager = helper_connect(helper, ROLE(MANAGER), "manager");
    int disk = file_open("disk", O_RDWR);
    for (int i = 0; i < SETS; i++)
        client_add_one(manager, 1 + i, disk);
    client_wait_settled(helper->manager);
    client_subscribe(subscriber);
    client_hang_up(manager);

    size_t events = 0;
    while (events < 2 * SETS) { /* each member is removed, each set gone */
        Reply *reply = client_receive(subscriber);
        assert_int_equal(reply->body_case, REPLY(EVENTS));
        assert_int_equal(reply->events->lost, 0);
        events += reply->events->n_events;
    }
    assert_int_equal(client_totals(helper->manager).events_lost, 0);
}

/* What it waits for comes while the helper has a reply for it that it does not take. */
static void test_who_reads_late_is_served_late(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *late = helper_connect(helper, ROLE(VMM), "late");
    uint8_t bytes[FDSET_MAX_PACKET_BYTES];
    uint32_t serial = client_begin_open(late, "/dev/fdset/1", O_RDWR, WAIT_FOREVER_MS);
    uint32_t other = serial + 1000000;
    size_t due = client_flood(late, bytes, pack_open_many(bytes, other, 1));
    uint64_t denied;
    do {
        denied = client_totals(helper->manager).denied;
        usleep(20000);
    } while (client_totals(helper->manager).denied != denied);
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    client_wait_settled(helper->manager);
    for (bool served = false; due > 0 || !served;) {
        Reply *reply = client_receive(late);
        assert_true(reply->serial == other || reply->serial == serial);
        served |= reply->serial == serial;
        due -= reply->serial == other;
    }
    client_hang_up(late);
}

static unsigned long ticks(pid_t process) {
    char path[64], text[1024] = "";
    unsigned long user, system;
    snprintf(path, sizeof(path), "/proc/%d/stat", process);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    const char *after = strrchr(text, ')');
    assert_int_equal(
        sscanf(after, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system), 2);
    return user + system;
}

static void test_the_helper_sleeps_while_others_wait(void **state) {
    struct helper *helper = helper_start(NULL);
    uint32_t serial = client_begin_open(helper->vmm, "/dev/fdset/1", O_RDWR, WAIT_FOREVER_MS);
    client_add_one(helper->manager, 2, file_open("disk", O_RDWR)); /* all are tried again */
    client_wait_settled(helper->manager);
    unsigned long before = ticks(helper->pid);
    usleep(300000);
    assert_in_range(ticks(helper->pid) - before, 0, 4);
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    assert_int_equal(client_opened(helper->vmm, serial).code, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_a_failed_open_keeps_no_idle_set),
        helper_test(test_who_waits_goes_before_a_newcomer),
        helper_test(test_who_reads_loses_nothing),
        helper_test(test_who_reads_late_is_served_late),
        helper_test(test_the_helper_sleeps_while_others_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
