/* SPDX-License-Identifier: MIT */
/* What the kernel really gives when descriptors run out: in the helper, at its
 * start, and on their way. */
#include "child.h"
#include "session.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* --------------------------------------------------------- those of the helper */

static int number_allowed;

static void lower_limit(struct helper *helper) {
    helper_limit_descriptors(helper, number_allowed);
}

/* More than a session needs, and down to those that the helper had at its start
 * and fewer: what comes in is cut short, and refused. */
static void test_fewer_and_fewer_descriptors(void **state) {
    struct helper *helper = helper_start(NULL);
    int refused = 0;

    session_prepare();
    if (helper->descriptors < 0)
        skip();
    for (number_allowed = helper->descriptors + 20; number_allowed >= 0; number_allowed--) {
        struct outcome outcome = session_run(helper, lower_limit);
        helper_limit_descriptors(helper, 0);
        if (outcome.fate == FATE_ENDED)
            fail_msg("with %d descriptors: %s was hung up", number_allowed, outcome.step);
        refused += outcome.fate == FATE_REFUSED;
        session_clean(helper);
        session_expect_served(helper);
    }
    /* It was one thing and the other. */
    assert_in_range(refused, 1, helper->descriptors + 19);
}

/* ------------------------------------------------------------- at the start */

/* Says its Hello, so that a helper that starts serves it and ends. */
static int speak_beforehand(struct client **client) {
    Fdset__V1__Hello hello = FDSET__V1__HELLO__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    *client = client_new(pair[0]);
    hello.version = 1;
    request.body_case = FDSET__V1__REQUEST__BODY_HELLO;
    request.hello = &hello;
    client_send(*client, &request, NULL, 0);
    shutdown(pair[0], SHUT_WR);
    return pair[1];
}

/* Returns how many members it offers, or 0 where it has said why not. */
static uint32_t start_with(int descriptors) {
    char wrapper[100], number[16], output[4096];
    struct client *client;
    uint32_t members = 0;
    int socket = speak_beforehand(&client);

    /* Root, but not allowed to raise the limit again. */
    snprintf(wrapper, sizeof(wrapper),
             "setpriv --bounding-set=-sys_resource prlimit --nofile=%d:%d", descriptors,
             descriptors);
    setenv("FDSET_TEST_WRAPPER", wrapper, 1);
    snprintf(number, sizeof(number), "%d", socket);
    int status = helper_run((const char *[]){"--vmm-fd", number, "--user", "1000000", NULL},
                            (int[]){socket, -1}, output, sizeof(output));
    unsetenv("FDSET_TEST_WRAPPER");
    close(socket);
    if (status == 0) {
        members = client_answer(client, 1)->hello->limits->members;
        assert_true(members > 0);
    } else if (status >= 128 || strlen(output) < 20) {
        fail_msg("with %d descriptors: status %d, \"%s\"", descriptors, status, output);
    }
    client_free(client);
    return members;
}

/* With next to none not even its libraries can be opened. */
static void test_start_with_fewer_descriptors(void **state) {
    uint32_t before = 0, members = 0;

    if (geteuid() != 0)
        skip();
    for (int descriptors = 0; descriptors < 8000; descriptors += descriptors < 20 ? 1 : 211) {
        before = members;
        members = start_with(descriptors);
        assert_true(members >= before);
    }
    assert_int_equal(members, 4096);
}

/* ------------------------------------------------------------------ on their way */

/* The helper may have so many then, which a few packets are more than. */
#define FEW     600
#define PACKETS 4

/* A process of the helper's user has more on their way than the helper may. */
static void fill(struct child_side *side) {
    uid_t user = *(uid_t *)side->data;
    int fds[FDSET_MAX_DESCRIPTORS], pairs[PACKETS][2];
    struct rlimit limit;

    for (int i = 0; i < FDSET_MAX_DESCRIPTORS; i++)
        fds[i] = side->to;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(setresuid(user, user, user), 0);
    for (int i = 0; i < PACKETS; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pairs[i]), 0);
        assert_int_equal(packet_send(pairs[i][0], (const uint8_t *)"", 1, fds,
                                     FDSET_MAX_DESCRIPTORS, MSG_DONTWAIT),
                         0);
    }
    parent_tell(side);
    parent_wait(side);
}

static bool has_answer(struct client *client) {
    struct pollfd ready = {.fd = client->socket, .events = POLLIN};
    return poll(&ready, 1, 0) != 0;
}

/* Whoever wants descriptors waits, and nobody else. */
static void test_as_many_on_their_way_as_there_may_be(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *second = helper_connect(helper, ROLE(VMM), "second");
    struct client *leaving = helper_connect(helper, ROLE(VMM), "leaving");
    uid_t user = 1000000 + (uid_t)getpid();
    int disk = file_open("disk", O_RDWR), log = file_open("log", O_RDONLY);

    if (geteuid() != 0)
        skip();
    client_add_one(helper->manager, 1, disk);
    client_add_one(helper->manager, 2, log);
    helper_limit_descriptors(helper, FEW);
    struct child filling = child_start(helper, ROLE(OBSERVER), "fills", fill, &user);
    child_wait(&filling);
    uint32_t first = client_send_open(helper->vmm, "/dev/fdset/1", O_RDWR);
    uint32_t other = client_send_open(second, "/dev/fdset/2", O_RDONLY);
    client_send_open(leaving, "/dev/fdset/2", O_RDONLY);
    client_hang_up(leaving);

    struct client *third = helper_connect(helper, ROLE(VMM), "wants none");
    for (int i = 0; i < 50; i++) {
        assert_int_equal(client_open_set(third, 9, O_RDWR).code, CODE(NO_SET));
        client_add_one(helper->manager, 3, log);
        client_remove(helper->manager, 3, 0);
        client_wait_settled(helper->manager);
    }
    wait_until(client_totals(helper->manager).leases == 2);
    assert_false(has_answer(helper->vmm));
    assert_false(has_answer(second));

    child_go(&filling);
    child_join(&filling);
    assert_serves(client_opened(helper->vmm, first).fd, disk, O_RDWR);
    assert_serves(client_opened(second, other).fd, log, O_RDONLY);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_fewer_and_fewer_descriptors),
        helper_test(test_start_with_fewer_descriptors),
        helper_test(test_as_many_on_their_way_as_there_may_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
