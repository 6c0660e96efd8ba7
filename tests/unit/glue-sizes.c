/* SPDX-License-Identifier: MIT */
/* libfdset and callers that were compiled with another version of its headers: a structure
 * that is shorter, or longer than the library knows. */
#include "fake-helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Structures as a later version may have them. */
struct later_member {
    struct fdset_member member;
    uint64_t more;
};
struct later_add {
    struct fdset_add add;
    uint64_t more;
};
struct later_open {
    struct fdset_open_request request;
    uint64_t more;
};
struct later_options {
    struct fdset_spawn_options options;
    uint64_t more;
};
struct later_initial {
    struct fdset_initial initial;
    uint64_t more;
};

/* And as an earlier one may have had it. */
struct earlier_add {
    size_t size;
    int set;
    enum fdset_lifetime lifetime;
    struct fdset_member *members;
    size_t member_count;
};

static void refused(struct later_add *adds, size_t count, int error) {
    assert_int_equal(fdset_add_fds(fake.manager, &adds->add, count), error);
}

static void test_add_of_what_is_not_known(void **state) {
    int null = null_open(O_RDWR);
    struct later_member member = {{.size = sizeof(member), .fd = null}, 0};
    struct later_add add = {
        {.size = sizeof(add), .set = 1, .members = &member.member, .member_count = 1}, 1};
    fake_begin_manager();
    refused(&add, 1, -E2BIG);
    add.more = 0;
    member.more = 1;
    refused(&add, 1, -E2BIG);
    member.more = 0;
    for (size_t size = 1; size <= 9; size++) {
        add.add.size = size;
        refused(&add, 1, -EINVAL);
    }
    add.add.size = (size_t)1 << 40;
    refused(&add, 1, -EINVAL);
    add.add.size = sizeof(add);
    member.member.size = 3;
    refused(&add, 1, -EINVAL);
    close(null);
    fake_end(); /* nothing was sent */
}

/* The members that follow stand where the first one's size says. */
static void test_add_by_a_later_caller(void **state) {
    int null = null_open(O_RDWR), other = null_open(O_RDONLY);
    struct later_member members[] = {
        {{.size = sizeof(members[0]), .fd = null, .opaque = "one"}, 0},
        {{.fd = other, .opaque = "two"}, 0},
    };
    struct later_add adds[] = {
        {{.size = sizeof(adds[0]), .set = 1, .members = &members[0].member, .member_count = 1}, 0},
        {{.set = 2, .members = &members[1].member, .member_count = 1, .name = "x"}, 0},
    };
    Fdset__V1__AddedSet sets[2], *pointers[] = {&sets[0], &sets[1]};
    uint32_t ids[] = {17, 18};
    Fdset__V1__Added added = FDSET__V1__ADDED__INIT;
    Reply reply = FDSET__V1__REPLY__INIT;
    struct call call;
    fake_begin_manager();
    call_add(&call, &adds[0].add, 2);
    Request *request = fake_receive(REQUEST_IS(ADD_FDS));
    assert_int_equal(request->add_fds->n_sets, 2);
    assert_string_equal(request->add_fds->sets[0]->members[0]->opaque, "one");
    assert_string_equal(request->add_fds->sets[1]->members[0]->opaque, "two");
    assert_string_equal(request->add_fds->sets[1]->name, "x");
    reply.serial = request->serial;
    reply.body_case = REPLY_IS(ADDED);
    reply.added = &added;
    added.n_sets = 2;
    added.sets = pointers;
    for (int i = 0; i < 2; i++) {
        fdset__v1__added_set__init(&sets[i]);
        sets[i].set = 1 + i;
        sets[i].n_members = 1;
        sets[i].members = &ids[i];
    }
    packet_descriptors_close(fake_descriptors());
    fake_reply(&reply, NULL, 0);
    assert_int_equal(call_end(&call), 0);
    assert_int_equal(members[0].member.id, 17);
    assert_int_equal(members[1].member.id, 18);
    assert_int_equal(adds[1].add.set, 2);
    close(null);
    close(other);
    fake_end();
}

static void test_add_by_an_earlier_caller(void **state) {
    int null = null_open(O_RDWR);
    struct fdset_member member = {.fd = null};
    struct earlier_add *add = malloc(sizeof(*add)); /* what lies behind it is not its own */
    struct call call;
    fake_begin_manager();
    *add =
        (struct earlier_add){.size = sizeof(*add), .set = 3, .members = &member, .member_count = 1};
    call_add(&call, (void *)add, 1);
    Request *request = fake_receive(REQUEST_IS(ADD_FDS));
    assert_string_equal(request->add_fds->sets[0]->name, "");
    assert_int_equal(request->add_fds->sets[0]->idle_ms, 0);
    uint32_t serial = request->serial;
    packet_descriptors_close(fake_descriptors());
    fake_error(serial, EXDEV, "another file");
    assert_int_equal(call_end(&call), -EXDEV);
    free(add);
    close(null);
    fake_end();
}

static void test_opens_by_a_later_caller(void **state) {
    struct later_open opens[] = {
        {{.size = sizeof(opens[0]), .path = "/dev/fdset/1", .flags = O_RDWR}, 0},
        {{.path = "/dev/fdset/2", .flags = O_RDONLY}, 1},
    };
    struct call call;
    fake_begin_vmm();
    assert_int_equal(fdset_open_many(fake.vmm, &opens[0].request, 2), -E2BIG);
    assert_int_equal(opens[0].request.fd, -E2BIG);
    assert_int_equal(opens[1].request.fd, -E2BIG);
    opens[0].request.size = 16;
    assert_int_equal(fdset_open_many(fake.vmm, &opens[0].request, 2), -EINVAL);
    /* One that was never set: nothing is written to where it points. */
    opens[0].request.size = (size_t)1 << 40;
    assert_int_equal(fdset_open_many(fake.vmm, &opens[0].request, 2), -EINVAL);
    opens[0].request.size = sizeof(opens[0]);
    opens[1].more = 0;
    call_open_many(&call, &opens[0].request, 2);
    Request *request = fake_receive(REQUEST_IS(OPEN_MANY));
    assert_string_equal(request->open_many->opens[1]->path, "/dev/fdset/2");
    fake_error(request->serial, EBUSY, "busy");
    assert_int_equal(call_end(&call), -EBUSY);
    assert_int_equal(opens[1].request.fd, -EBUSY);
    fake_end();
}

static void test_options_that_are_not_known(void **state) {
    struct later_initial initial = {{.size = sizeof(initial), .fd = 0}, 1};
    struct later_options options = {{.size = sizeof(options)}, 1};
    struct fdset_vmm *vmm;
    assert_int_equal(fdset_vmm_spawn(&vmm, &options.options), -E2BIG);
    options.more = 0;
    options.options.initial = &initial.initial;
    options.options.initial_count = 1;
    assert_int_equal(fdset_vmm_spawn(&vmm, &options.options), -E2BIG);

    struct fdset_manager_options manager_options = {.size = 3};
    struct fdset_filter filter = {.size = 3};
    struct fdset_reconnect plan = {.size = 3};
    struct fdset_manager *manager;
    struct fdset_listing *listing;
    assert_int_equal(fdset_manager_attach_fd_as(&manager, null_open(O_RDWR), &manager_options),
                     -EINVAL);
    fake_begin_manager();
    assert_int_equal(fdset_query_filtered(fake.manager, &filter, &listing), -EINVAL);
    assert_int_equal(fdset_manager_set_reconnect(fake.manager, &plan), -EINVAL);
    fake_end();
}

static void test_version(void **state) {
#if FDSET_VERSION < FDSET_VERSION_OF(0, 1, 0)
    fail_msg("the preprocessor cannot compare versions");
#endif
    assert_int_equal(fdset_version(), FDSET_VERSION);
    assert_true(FDSET_VERSION < FDSET_VERSION_OF(FDSET_VERSION_MAJOR, FDSET_VERSION_MINOR + 1, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_add_of_what_is_not_known),   oracle_test(test_add_by_a_later_caller),
        oracle_test(test_add_by_an_earlier_caller),   oracle_test(test_opens_by_a_later_caller),
        oracle_test(test_options_that_are_not_known), oracle_test(test_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
