/* SPDX-License-Identifier: MIT */
/* libfdset for management: what goes over the wire to add and to remove, what comes back, and
 * that a child has no part in it. */
#include "fake-helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/kcmp.h>

/* --------------------------------------------------------------------- add */

/* Answers an AddFds: sets and members get numbers in order, from these on. */
static void answer_add(const Request *request, int set, uint32_t member) {
    static Fdset__V1__AddedSet sets[253], *pointers[253];
    static uint32_t members[253];
    Fdset__V1__Added added = FDSET__V1__ADDED__INIT;
    Reply reply = FDSET__V1__REPLY__INIT;
    uint32_t given = 0;
    added.n_sets = request->add_fds->n_sets;
    added.sets = pointers;
    for (size_t i = 0; i < added.n_sets; i++) {
        const Fdset__V1__NewMembers *new = request->add_fds->sets[i];
        fdset__v1__added_set__init(&sets[i]);
        pointers[i] = &sets[i];
        sets[i].set = new->which_case ? new->set : set++;
        sets[i].n_members = new->n_members;
        sets[i].members = &members[given];
        for (size_t j = 0; j < new->n_members; j++)
            members[given++] = member++;
    }
    reply.serial = request->serial;
    reply.body_case = REPLY_IS(ADDED);
    reply.added = &added;
    fake_reply(&reply, NULL, 0);
}

static void test_add(void **state) {
    struct call call;
    int one = null_open(O_RDONLY), two = null_open(O_RDWR), three = null_open(O_RDWR);
    struct fdset_member first[] = {
        {.fd = one, .opaque = "label", .serves_read_only = true, .sharing = FDSET_SHARED},
        {.fd = two, .opaque = "", .keep_content = true},
    };
    struct fdset_member second = {.fd = three, .keep_locks = true, .sharing = FDSET_EXCLUSIVE};
    struct fdset_add adds[] = {
        {.set = 3, .lifetime = FDSET_KEEP, .members = first, .member_count = 2},
        {.set = FDSET_NEW_SET, .members = &second, .member_count = 1},
    };
    fake_begin_manager();
    call_add(&call, adds, 2);
    Request *request = fake_receive(REQUEST_IS(ADD_FDS));
    struct packet_descriptors *descriptors = fake_descriptors();
    assert_int_equal(descriptors->count, 3);
    assert_int_equal(fcntl(descriptors->fd[0], F_GETFL) & O_ACCMODE, O_RDONLY);
    assert_int_equal(fcntl(descriptors->fd[1], F_GETFL) & O_ACCMODE, O_RDWR);
    assert_int_equal(fcntl(descriptors->fd[2], F_GETFL) & O_ACCMODE, O_RDWR);
    packet_descriptors_close(descriptors);

    Fdset__V1__NewMembers **sets = request->add_fds->sets;
    assert_int_equal(request->add_fds->n_sets, 2);
    assert_int_equal(sets[0]->which_case, FDSET__V1__NEW_MEMBERS__WHICH_SET);
    assert_int_equal(sets[0]->set, 3);
    assert_int_equal(sets[0]->lifetime, FDSET__V1__LIFETIME__LIFETIME_KEEP);
    assert_int_equal(sets[0]->n_members, 2);
    assert_string_equal(sets[0]->members[0]->opaque, "label");
    assert_true(sets[0]->members[0]->serves_read_only);
    assert_int_equal(sets[0]->members[0]->sharing, FDSET__V1__SHARING__SHARING_SHARED);
    assert_int_equal(sets[0]->members[1]->label_case, FDSET__V1__NEW_MEMBER__LABEL_OPAQUE);
    assert_string_equal(sets[0]->members[1]->opaque, "");
    assert_true(sets[0]->members[1]->keep_content);
    assert_int_equal(sets[1]->which_case, FDSET__V1__NEW_MEMBERS__WHICH__NOT_SET);
    assert_int_equal(sets[1]->lifetime, FDSET__V1__LIFETIME__LIFETIME_UNSPECIFIED);
    assert_int_equal(sets[1]->members[0]->label_case, FDSET__V1__NEW_MEMBER__LABEL__NOT_SET);
    assert_int_equal(sets[1]->members[0]->sharing, FDSET__V1__SHARING__SHARING_EXCLUSIVE);
    assert_true(sets[1]->members[0]->keep_locks);

    answer_add(request, 70, 900);
    assert_int_equal(call_end(&call), 0);
    assert_int_equal(adds[0].set, 3);
    assert_int_equal(adds[1].set, 70);
    assert_int_equal(first[0].id, 900);
    assert_int_equal(first[1].id, 901);
    assert_int_equal(second.id, 902);
    close(one);
    close(two);
    close(three);
    fake_end();
}

static void test_add_as_many_as_can_be(void **state) {
    static struct fdset_member members[254];
    struct fdset_add add = {.set = 1, .members = members, .member_count = 253};
    struct call call;
    for (size_t i = 0; i < 254; i++)
        members[i] =
            (struct fdset_member){.fd = null_open(O_RDWR), .opaque = "a label of some length"};
    fake_begin_manager();
    call_add(&call, &add, 1);
    Request *request = fake_receive(REQUEST_IS(ADD_FDS));
    assert_int_equal(fake_descriptors()->count, 253);
    packet_descriptors_close(fake_descriptors());
    answer_add(request, 0, 1);
    assert_int_equal(call_end(&call), 0);
    assert_int_equal(members[252].id, 253);

    add.member_count = 254;
    assert_int_equal(fdset_add_fds(fake.manager, &add, 1), -E2BIG);
    for (size_t i = 0; i < 254; i++)
        close(members[i].fd);
    fake_end();
}

/* The kernel may be built without it, and a container may forbid it. */
static bool kcmp_works(void) {
    return syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, 0L, 0L) == 0;
}

/* Refused in one request, also under another number and label, and in two sets. */
static void test_add_duplicates(void **state) {
    struct call call;
    int one = null_open(O_RDWR), two = null_open(O_RDWR), copy = dup(one);
    struct fdset_member members[] = {{.fd = one}, {.fd = two}, {.fd = copy, .opaque = "copy"}};
    struct fdset_add adds[] = {{.set = 1, .members = members, .member_count = 3},
                               {.set = 2, .members = &members[2], .member_count = 1}};
    char text[128];
    fake_begin_manager();
    if (kcmp_works()) {
        assert_int_equal(fdset_add_fds(fake.manager, adds, 1), -EINVAL);
        snprintf(text, sizeof(text), "descriptors %d and %d are of one open", one, copy);
        assert_memory_equal(fdset_error_text(), text, strlen(text));
    }
    members[1].fd = one; /* the same number twice: no need to ask */
    adds[0].member_count = 2;
    assert_int_equal(fdset_add_fds(fake.manager, adds, 1), -EINVAL);

    members[1].fd = two;
    members[2].fd = two;
    assert_int_equal(fdset_add_fds(fake.manager, adds, 2), -EINVAL);

    adds[0].member_count = 1;
    call_add(&call, adds, 2);
    Request *request = fake_receive(REQUEST_IS(ADD_FDS));
    packet_descriptors_close(fake_descriptors());
    answer_add(request, 0, 1);
    assert_int_equal(call_end(&call), 0);
    close(one);
    close(two);
    close(copy);
    fake_end();
}

/* None of these reaches the helper. */
static void test_add_what_cannot_be_sent(void **state) {
    static char label[300];
    static struct fdset_add large[100];
    static struct fdset_member many[100];
    struct fdset_member bad = {.fd = 999};
    struct fdset_add add = {.set = 1, .members = &bad, .member_count = 1};
    int null = null_open(O_RDWR);
    fake_begin_manager();
    assert_int_equal(fdset_add_fds(fake.manager, &add, 1), -EBADF);
    assert_string_equal(fdset_error_text(), "descriptor 999 cannot be added: Bad file descriptor");

    memset(label, 'x', 256);
    bad = (struct fdset_member){.fd = null, .opaque = label};
    assert_int_equal(fdset_add_fds(fake.manager, &add, 1), -EINVAL);
    label[255] = '\0';
    for (size_t i = 0; i < 100; i++) {
        many[i] = (struct fdset_member){.fd = null_open(O_RDWR), .opaque = label};
        large[i] = (struct fdset_add){.set = (int)i, .members = &many[i], .member_count = 1};
    }
    assert_int_equal(fdset_add_fds(fake.manager, large, 100), -E2BIG);
    for (size_t i = 0; i < 100; i++)
        close(many[i].fd);

    add.set = -5;
    assert_int_equal(fdset_add_fds(fake.manager, &add, 1), -EINVAL);
    add.set = 1;
    add.member_count = 0;
    assert_int_equal(fdset_add_fds(fake.manager, &add, 1), -EINVAL);
    assert_int_equal(fdset_add_fds(fake.manager, NULL, 0), -EINVAL);
    close(null);
    fake_end();
}

/* Nothing is written into what the caller gave where the answer is not good. */
static void test_add_answered_with_another_shape(void **state) {
    struct call call;
    Fdset__V1__Added added = FDSET__V1__ADDED__INIT;
    Reply reply = FDSET__V1__REPLY__INIT;
    int null = null_open(O_RDWR);
    struct fdset_member member = {.fd = null, .id = 17};
    struct fdset_add add = {.set = 1, .members = &member, .member_count = 1};
    Fdset__V1__AddedSet set = FDSET__V1__ADDED_SET__INIT, *pointer = &set;
    fake_begin_manager();
    for (size_t sets = 0; sets < 2; sets++) {
        call_add(&call, &add, 1);
        reply.serial = fake_receive(REQUEST_IS(ADD_FDS))->serial;
        packet_descriptors_close(fake_descriptors());
        reply.body_case = REPLY_IS(ADDED);
        reply.added = &added;
        added.n_sets = sets;
        added.sets = &pointer;
        fake_reply(&reply, NULL, 0);
        assert_int_equal(call_end(&call), -EPROTO);
        assert_int_equal(member.id, 17);
    }
    close(null);
    fake_end();
}

static void test_add_refused(void **state) {
    struct call call;
    int null = null_open(O_RDWR);
    struct fdset_member member = {.fd = null};
    struct fdset_add add = {.set = 1, .members = &member, .member_count = 1};
    fake_begin_manager();
    call_add(&call, &add, 1);
    uint32_t serial = fake_receive(REQUEST_IS(ADD_FDS))->serial;
    packet_descriptors_close(fake_descriptors());
    fake_error(serial, EXDEV, "another file");
    assert_int_equal(call_end(&call), -EXDEV);
    assert_string_equal(call.text, "another file");
    close(null);
    fake_end();
}

/* ------------------------------------------------------------------ remove */

static void test_remove(void **state) {
    Fdset__V1__Removed removed = FDSET__V1__REMOVED__INIT;
    Reply reply = FDSET__V1__REPLY__INIT;
    struct call call;
    fake_begin_manager();
    for (uint32_t member = 0; member < 2; member++) {
        call_remove(&call, 4, member);
        Request *request = fake_receive(REQUEST_IS(REMOVE_FD));
        assert_int_equal(request->remove_fd->set, 4);
        assert_int_equal(request->remove_fd->which_case, member ? 2 : 0);
        assert_int_equal(request->remove_fd->member, member);
        assert_int_equal(request->remove_fd->wait_ms, FDSET_REMOVE_WAIT_MS);
        reply.serial = request->serial;
        reply.body_case = REPLY_IS(REMOVED);
        reply.removed = &removed;
        removed.members = 6 + member;
        fake_reply(&reply, NULL, 0);
        assert_int_equal(call_end(&call), 6 + member);
    }
    fake_end();
}

/* -------------------------------------------------------------------- fork */

static void test_child_does_not_speak_for_its_parent(void **state) {
    int status;
    struct fdset_listing *listing;
    fake_begin_manager();
    pid_t child = fork();
    if (child == 0) {
        int wrong = fdset_remove(fake.manager, 1, 0) != -ESTALE ||
                    fdset_query(fake.manager, FDSET_ALL_SETS, &listing) != -ESTALE;
        fdset_manager_free(fake.manager);
        closefrom(3);
        _exit(wrong);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    fake_end();
}

static atomic_bool is_enough;

static void *run_look_at_helper(void *data) {
    struct fdset_helper_info info;

    while (!is_enough)
        fdset_manager_helper_info(fake.manager, &info);
    return NULL;
}

/* Another thread may have had the connection's lock when the process forked: in the child
 * nobody gives it back. */
static void test_child_of_a_busy_parent(void **state) {
    pthread_t thread;
    int status;
    fake_begin_manager();
    is_enough = false;
    assert_int_equal(pthread_create(&thread, NULL, run_look_at_helper, NULL), 0);
    for (int i = 0; i < 200; i++) {
        pid_t child = fork();
        if (child == 0) {
            struct fdset_helper_info info = {.protocol = 7};
            alarm(20);
            fdset_manager_helper_info(fake.manager, &info);
            _exit(info.protocol != 0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    is_enough = true;
    pthread_join(thread, NULL);
    fake_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_add),
        oracle_test(test_add_as_many_as_can_be),
        oracle_test(test_add_duplicates),
        oracle_test(test_add_what_cannot_be_sent),
        oracle_test(test_add_answered_with_another_shape),
        oracle_test(test_add_refused),
        oracle_test(test_remove),
        oracle_test(test_child_does_not_speak_for_its_parent),
        oracle_test(test_child_of_a_busy_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
