/* SPDX-License-Identifier: MIT */
/* Several opens that are submitted together: see together.h. */
#include "together.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct outcome outcomes[MOST_TOGETHER];
static int turns;

void note(struct fdset_vmm *vmm, int fd, void *context) {
    struct outcome *outcome = context;
    outcome->count++;
    outcome->fd = fd;
    outcome->turn = turns++;
    snprintf(outcome->text, sizeof(outcome->text), "%s", fdset_error_text());
}

void begin_all(void) {
    memset(outcomes, 0, sizeof(outcomes));
    turns = 0;
    fake_begin_vmm();
}

void submit(int number) {
    char path[32];
    snprintf(path, sizeof(path), "/dev/fdset/%d", number);
    assert_int_equal(
        fdset_open_submit(fake.vmm, path, O_RDWR | O_CLOEXEC, 0, note, &outcomes[number]), 0);
    memset(path, 'x', sizeof(path)); /* only borrowed */
}

void submit_from_to(int first, int last) {
    for (int i = first; i <= last; i++)
        submit(i);
}

static int number_of(const Fdset__V1__Open *open) {
    assert_int_equal(open->wait_ms, 0);
    assert_int_equal(open->flags, O_RDWR | O_CLOEXEC);
    assert_int_equal(strncmp(open->path, "/dev/fdset/", 11), 0);
    return atoi(open->path + 11);
}

uint32_t receive_open(int number) {
    Request *request = fake_receive(REQUEST_IS(OPEN));
    assert_int_equal(number_of(request->open), number);
    return request->serial;
}

uint32_t receive_many(int first, int last) {
    Request *request = fake_receive(REQUEST_IS(OPEN_MANY));
    assert_int_equal(request->open_many->n_opens, last - first + 1);
    for (int i = first; i <= last; i++)
        assert_int_equal(number_of(request->open_many->opens[i - first]), i);
    return request->serial;
}

void nothing_is_sent(void) {
    assert_false(poll_says(fake.socket));
}

void dispatch(int count) {
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, count ? -1 : 0), count);
}

void answer_many(uint32_t serial, const struct answer *answers, size_t count, int short_by) {
    Fdset__V1__OpenedMany__Result results[8], *pointers[8];
    Fdset__V1__Opened opened[8];
    Fdset__V1__Error errors[8];
    Fdset__V1__OpenedMany many = FDSET__V1__OPENED_MANY__INIT;
    Reply reply = FDSET__V1__REPLY__INIT;
    int null = null_open(O_RDWR), fds[16], leases = 0;
    for (size_t i = 0; i < count; i++) {
        fdset__v1__opened_many__result__init(pointers[i] = &results[i]);
        fdset__v1__opened__init(&opened[i]);
        fdset__v1__error__init(&errors[i]);
        if (answers[i].lease) {
            opened[i].lease = answers[i].lease;
            results[i].outcome_case = FDSET__V1__OPENED_MANY__RESULT__OUTCOME_OPENED;
            results[i].opened = &opened[i];
            leases++;
        } else if (answers[i].error) {
            errors[i].error_number = answers[i].error;
            errors[i].text = (char *)answers[i].text;
            results[i].outcome_case = FDSET__V1__OPENED_MANY__RESULT__OUTCOME_ERROR;
            results[i].error = &errors[i];
        }
    }
    for (int i = 0; i < 16; i++)
        fds[i] = null;
    many.n_results = count;
    many.results = pointers;
    reply.serial = serial;
    reply.body_case = REPLY_IS(OPENED_MANY);
    reply.opened_many = &many;
    fake_send(&reply, (uint32_t)(short_by < 0 ? leases - short_by : leases), fds,
              (size_t)(leases - short_by));
    close(null);
}

void expect_lease(int number, uint64_t lease) {
    assert_int_equal(outcomes[number].count, 1);
    assert_true(outcomes[number].fd >= 0);
    assert_int_equal(fdset_lease(fake.vmm, outcomes[number].fd), lease);
    assert_int_equal(fdset_close(fake.vmm, outcomes[number].fd), 0);
    expect_close(lease);
}

void expect_failed(int number, int error, const char *text) {
    assert_int_equal(outcomes[number].count, 1);
    assert_int_equal(outcomes[number].fd, -error);
    assert_string_equal(outcomes[number].text, text);
}

uint32_t send_together(int last) {
    submit_from_to(1, last);
    fake_error(receive_open(1), ENOENT, "not the first");
    dispatch(1);
    return receive_many(2, last);
}
