/* SPDX-License-Identifier: MIT */
/* When a removal is answered: the descriptors are closed then, so that what they kept
 * busy is free for what the manager does next. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS 200

/* A FIFO tells at once whether anybody has its other end open. */
struct fifo {
    int reader, writer;
};

static struct fifo fifo_make(void) {
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    return (struct fifo){harness_keep(ends[0]), harness_keep(ends[1])};
}

/* The helper's is the only reader that is left. */
static void fifo_give(struct helper *helper, int set, struct fifo *fifo) {
    client_add_one(helper->manager, set, fifo->reader);
    harness_close(fifo->reader);
}

static bool has_reader(const struct fifo *fifo) {
    return write(fifo->writer, "x", 1) == 1;
}

static void expect_removed(const Reply *reply, uint32_t members, uint32_t leases,
                           uint32_t closing) {
    assert_int_equal(reply->body_case, REPLY(REMOVED));
    assert_int_equal(reply->removed->members, members);
    assert_int_equal(reply->removed->leases, leases);
    assert_int_equal(reply->removed->closing, closing);
}

static void test_the_answer_comes_after_the_close(void **state) {
    struct helper *helper = helper_start(NULL);
    for (int round = 0; round < ROUNDS; round++) {
        struct fifo fifo = fifo_make();
        fifo_give(helper, 1, &fifo);
        assert_true(has_reader(&fifo));
        expect_removed(client_remove(helper->manager, 1, 0), 1, 0, 0);
        assert_false(has_reader(&fifo));
        harness_close(fifo.writer);
    }
}

/* All of a set, of different files. */
static void test_the_answer_comes_after_the_last_close(void **state) {
    enum { MEMBERS = 20 };
    struct helper *helper = helper_start(NULL);
    struct new_member members[MEMBERS];
    struct fifo fifos[MEMBERS];
    for (int i = 0; i < MEMBERS; i++) {
        fifos[i] = fifo_make();
        members[i] = (struct new_member){.fd = fifos[i].reader};
    }
    struct new_set set = {.set = 1, .members = members, .count = MEMBERS, .mixed = true};
    assert_int_equal(client_add(helper->manager, &set, 1)->body_case, REPLY(ADDED));
    for (int i = 0; i < MEMBERS; i++)
        harness_close(fifos[i].reader);
    expect_removed(client_remove(helper->manager, 1, 0), MEMBERS, 0, 0);
    for (int i = 0; i < MEMBERS; i++)
        assert_false(has_reader(&fifos[i]));
}

/* Who does not want to wait hears how much is still to be closed; a second removal waits
 * for what the first has begun. */
static void test_a_second_removal_waits_for_the_first(void **state) {
    struct helper *helper = helper_start(NULL);
    for (int round = 0; round < ROUNDS; round++) {
        struct fifo fifo = fifo_make();
        fifo_give(helper, 1, &fifo);
        expect_removed(client_remove_at_once(helper->manager, 1, 0), 1, 0, 1);
        Reply *second = client_remove(helper->manager, 1, 0);
        if (second->body_case == REPLY(REMOVED))
            expect_removed(second, 0, 0, 0);
        else
            assert_refused(second, CODE(NO_SET), ENOENT); /* closed in between */
        assert_false(has_reader(&fifo));
        harness_close(fifo.writer);
    }
}

/* While a lease lives the file is in use anyway: the manager hears of it at once. */
static void test_leases_are_not_waited_for(void **state) {
    struct helper *helper = helper_start(NULL);
    struct fifo fifo = fifo_make();
    fifo_give(helper, 1, &fifo);
    struct opened first = client_open_set(helper->vmm, 1, O_RDONLY);
    struct opened second = client_open_set(helper->vmm, 1, O_RDONLY);
    expect_removed(client_remove(helper->manager, 1, 0), 1, 2, 0);
    client_close(helper->vmm, &first);
    client_barrier(helper->vmm);
    expect_removed(client_remove(helper->manager, 1, 0), 0, 1, 0);
    client_close(helper->vmm, &second);
    client_barrier(helper->vmm);
    Reply *reply = client_remove(helper->manager, 1, 0);
    if (reply->body_case == REPLY(REMOVED))
        expect_removed(reply, 0, 0, 0);
    else
        assert_refused(reply, CODE(NO_SET), ENOENT);
    assert_false(has_reader(&fifo));
}

/* A refusal closes what came with it, and is said after that. */
static void test_a_refusal_comes_after_the_close(void **state) {
    struct helper *helper = helper_start(NULL);
    int directory = harness_keep(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (int round = 0; round < ROUNDS; round++) {
        struct fifo fifo = fifo_make();
        struct new_member members[] = {{.fd = fifo.reader}, {.fd = directory}};
        struct new_set set = {.set = 1, .members = members, .count = 2};
        uint32_t serial = client_send_add(helper->manager, &set, 1);
        harness_close(fifo.reader);
        assert_refused(client_answer(helper->manager, serial), CODE(FILE_TYPE), EINVAL);
        assert_false(has_reader(&fifo));
        harness_close(fifo.writer);
    }
}

static void test_a_refusal_and_its_manager_gone(void **state) {
    struct helper *helper = helper_start(NULL);
    int directory = harness_keep(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (int round = 0; round < ROUNDS; round++) {
        struct client *manager = helper_connect(helper, ROLE(MANAGER), "in a hurry");
        struct new_member member = {.fd = directory};
        struct new_set set = {.set = 1, .members = &member, .count = 1};
        client_send_add(manager, &set, 1);
        client_hang_up(manager);
    }
    client_wait_idle(helper->manager);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_the_answer_comes_after_the_close),
        helper_test(test_the_answer_comes_after_the_last_close),
        helper_test(test_a_second_removal_waits_for_the_first),
        helper_test(test_leases_are_not_waited_for),
        helper_test(test_a_refusal_comes_after_the_close),
        helper_test(test_a_refusal_and_its_manager_gone),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
