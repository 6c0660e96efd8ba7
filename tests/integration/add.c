/* SPDX-License-Identifier: MIT */
/* AddFds and RemoveFd: all or nothing, ids, labels, and what may be a member. */
#include "harness.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static Reply *add_one(struct client *manager, int set, struct new_member member) {
    struct new_set new_set = {set, LIFETIME(UNSPECIFIED), &member, 1};
    return client_add(manager, &new_set, 1);
}

/* ------------------------------------------------- several at once, or none */

static void test_several_sets_and_members(void **state) {
    struct helper *helper = helper_start(NULL);
    int base_ro = file_open("base", O_RDONLY), base_rw = file_open("base", O_RDWR);
    int log = file_open("log", O_WRONLY);
    struct new_member base[] = {{.fd = base_ro}, {.fd = base_rw}}, logs[] = {{.fd = log}};
    struct new_set sets[] = {{7, 0, base, 2}, {3, 0, logs, 1}};

    Reply *reply = client_add(helper->manager, sets, 2);
    assert_int_equal(reply->body_case, REPLY(ADDED));
    assert_int_equal(reply->added->n_sets, 2);
    assert_int_equal(reply->added->sets[0]->set, 7);
    assert_int_equal(reply->added->sets[0]->n_members, 2);
    assert_int_equal(reply->added->sets[1]->set, 3);
    assert_int_equal(reply->added->sets[1]->n_members, 1);
    uint32_t ids[] = {reply->added->sets[0]->members[0], reply->added->sets[0]->members[1],
                      reply->added->sets[1]->members[0]};
    assert_true(ids[0] != 0 && ids[1] != 0 && ids[2] != 0);
    assert_true(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);

    struct opened opened = client_open_set(helper->vmm, 7, O_RDONLY);
    assert_int_equal(opened.member, ids[0]);
    assert_serves(opened.fd, base_ro, O_RDONLY);
    opened = client_open_set(helper->vmm, 7, O_RDWR);
    assert_int_equal(opened.member, ids[1]);
    assert_serves(opened.fd, base_rw, O_RDWR);
    opened = client_open_set(helper->vmm, 3, O_WRONLY);
    assert_int_equal(opened.member, ids[2]);
    assert_serves(opened.fd, log, O_WRONLY);
}

static void test_failure_at_each_position_leaves_no_trace(void **state) {
    struct helper *helper = helper_start(NULL);
    enum { COUNT = 5 };
    int good[COUNT], bad = file_open("path", O_RDONLY);
    close(bad);
    bad = open(file_path("path"), O_PATH | O_CLOEXEC);
    harness_keep(bad);
    for (int i = 0; i < COUNT; i++) {
        char name[16];
        snprintf(name, sizeof(name), "disk%d", i);
        good[i] = file_open(name, O_RDWR);
    }

    for (int wrong = 0; wrong < COUNT; wrong++) {
        struct new_member members[COUNT];
        struct new_set sets[COUNT];
        for (int i = 0; i < COUNT; i++) {
            members[i] = (struct new_member){.fd = i == wrong ? bad : good[i], .opaque = "x"};
            sets[i] = (struct new_set){i % 2 ? i : SET_NEW, LIFETIME(KEEP), &members[i], 1};
        }
        assert_refused(client_add(helper->manager, sets, COUNT), CODE(BAD_FD), EBADF);
        QueryReply *page = client_query(helper->manager, SET_ALL, NULL);
        assert_int_equal(page->n_sets, 0);
        assert_int_equal(page->totals->members, 0);
    }
    client_wait_idle(helper->manager);
    assert_int_equal(helper_descriptors(helper), helper->descriptors);
}

/* A later set's fault must also undo what an earlier one added to an old set. */
static void test_failure_leaves_an_old_set_as_it_was(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDONLY), other = file_open("other", O_RDWR);
    uint32_t old = client_add_one(helper->manager, 1, disk);
    struct new_member more = {.fd = file_open("disk", O_RDWR)};
    struct new_member wrong[] = {{.fd = disk}, {.fd = other}};
    struct new_set sets[] = {{1, 0, &more, 1}, {2, 0, wrong, 2}};

    assert_refused(client_add(helper->manager, sets, 2), CODE(OTHER_FILE), EXDEV);
    QueryReply *page = client_query(helper->manager, SET_ALL, NULL);
    assert_int_equal(page->n_sets, 1);
    assert_int_equal(page->sets[0]->n_members, 1);
    assert_int_equal(page->sets[0]->members[0]->member, old);
    assert_int_equal(client_open_set(helper->vmm, 1, O_RDWR).code, CODE(MODE));
}

static void test_same_set_twice_in_a_request(void **state) {
    struct helper *helper = helper_start(NULL);
    struct new_member member = {.fd = file_open("disk", O_RDWR)};
    struct new_set sets[] = {{4, 0, &member, 1}, {4, 0, &member, 1}};
    assert_refused(client_add(helper->manager, sets, 2), CODE(ARGUMENT), EINVAL);
    assert_int_equal(client_totals(helper->manager).sets, 0);
}

/* An id that the request leaves to the helper cannot be one that it names. */
static void test_automatic_beside_named_ids(void **state) {
    struct helper *helper = helper_start(NULL);
    struct new_member member = {.fd = file_open("disk", O_RDWR)};
    struct new_set sets[] = {{SET_NEW, 0, &member, 1},
                             {0, 0, &member, 1},
                             {1, 0, &member, 1},
                             {SET_NEW, 0, &member, 1},
                             {2, 0, &member, 1}};
    Reply *reply = client_add(helper->manager, sets, 5);
    assert_int_equal(reply->body_case, REPLY(ADDED));
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < i; j++)
            assert_int_not_equal(reply->added->sets[i]->set, reply->added->sets[j]->set);
    assert_int_equal(client_totals(helper->manager).sets, 5);
}

static void test_most_members_in_a_packet(void **state) {
    struct helper *helper = helper_start(NULL);
    static struct new_member members[FDSET_MAX_DESCRIPTORS];
    int disk = file_open("disk", O_RDONLY);
    for (size_t i = 0; i < FDSET_MAX_DESCRIPTORS; i++)
        members[i] = (struct new_member){.fd = disk};
    client_add_set(helper->manager, 1, LIFETIME(KEEP), members, FDSET_MAX_DESCRIPTORS);
    assert_int_equal(client_totals(helper->manager).members, FDSET_MAX_DESCRIPTORS);
    assert_int_equal(client_remove(helper->manager, 1, 0)->removed->members, FDSET_MAX_DESCRIPTORS);
    client_wait_idle(helper->manager);
    assert_held(helper, disk, 0);
}

static void test_nothing_to_add(void **state) {
    struct helper *helper = helper_start(NULL);
    struct new_set empty = {1, 0, NULL, 0};
    assert_refused(client_add(helper->manager, NULL, 0), CODE(ARGUMENT), EINVAL);
    assert_refused(client_add(helper->manager, &empty, 1), CODE(ARGUMENT), EINVAL);
    assert_int_equal(client_totals(helper->manager).sets, 0);
}

/* The number of members is not that of the descriptors, although the packet's is. */
static void test_members_and_descriptors_differ(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR), fds[] = {disk, disk, disk};
    Fdset__V1__NewMember member = FDSET__V1__NEW_MEMBER__INIT, *members[] = {&member, &member};
    Fdset__V1__NewMembers set = FDSET__V1__NEW_MEMBERS__INIT, *sets[] = {&set};
    Fdset__V1__AddFds add = FDSET__V1__ADD_FDS__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    set.members = members;
    set.n_members = 2;
    add.sets = sets;
    add.n_sets = 1;
    request.body_case = FDSET__V1__REQUEST__BODY_ADD_FDS;
    request.add_fds = &add;

    for (size_t count = 0; count <= 3; count++) {
        if (count == 2)
            continue;
        uint32_t serial = client_send(helper->manager, &request, fds, count);
        assert_refused(client_answer(helper->manager, serial), CODE(DESCRIPTORS), EPROTO);
    }
    client_wait_idle(helper->manager);
    assert_int_equal(client_totals(helper->manager).sets, 0);
    assert_held(helper, disk, 0);
}

/* --------------------------------------------------------------------- ids */

static void test_automatic_ids_never_come_back(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR), last = -1;
    struct new_member member = {.fd = disk};
    for (int i = 0; i < 20; i++) {
        int set = client_add_set(helper->manager, SET_NEW, 0, &member, 1);
        assert_true(set > last);
        last = set;
        client_remove(helper->manager, set, 0);
    }
    /* Also not one that somebody chose in between. */
    client_add_one(helper->manager, last + 1, disk);
    client_remove(helper->manager, last + 1, 0);
    assert_true(client_add_set(helper->manager, SET_NEW, 0, &member, 1) > last + 1);
}

static void test_member_ids_never_come_back(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    uint32_t last = 0;
    for (int i = 0; i < 20; i++) {
        uint32_t member = client_add_one(helper->manager, 1, disk);
        assert_true(member > last);
        last = member;
        client_remove(helper->manager, 1, member);
    }
}

static void test_ends_of_the_range(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    int ends[] = {0, INT_MAX};
    for (int i = 0; i < 2; i++) {
        client_add_one(helper->manager, ends[i], disk);
        struct opened opened = client_open_set(helper->vmm, ends[i], O_RDWR);
        assert_serves(opened.fd, disk, O_RDWR);
        client_close(helper->vmm, &opened);
    }
    /* The highest id is used up: the helper goes on with what is left below it, or says so. */
    Reply *reply = add_one(helper->manager, SET_NEW, (struct new_member){.fd = disk});
    if (reply->body_case == REPLY(ADDED)) {
        assert_true(reply->added->sets[0]->set > 0);
        assert_true(reply->added->sets[0]->set < INT_MAX);
    } else {
        assert_refused(reply, CODE(LIMIT), ENOSPC);
    }
}

static void test_negative_id(void **state) {
    struct helper *helper = helper_start(NULL);
    struct new_member member = {.fd = file_open("disk", O_RDWR)};
    int negative[] = {-1, -2147483647};
    for (int i = 0; i < 2; i++)
        assert_refused(add_one(helper->manager, negative[i], member), CODE(ARGUMENT), EINVAL);
    assert_int_equal(client_totals(helper->manager).sets, 0);
}

/* ------------------------------------------------------------------ labels */

static const MemberInfo *first_member(struct helper *helper, int set) {
    return client_query(helper->manager, set, NULL)->sets[0]->members[0];
}

static void test_opaque(void **state) {
    struct helper *helper = helper_start(NULL);
    char longest[257];
    int disk = file_open("disk", O_RDWR);
    memset(longest, 'o', 256);
    longest[256] = '\0';
    assert_refused(add_one(helper->manager, 1, (struct new_member){.fd = disk, .opaque = longest}),
                   CODE(ARGUMENT), EINVAL);

    longest[255] = '\0';
    /* A protobuf string is UTF-8: strict decoders would refuse a whole answer. */
    const char *invalid[] = {"\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80",
                             "a\x80"};
    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++)
        assert_refused(
            add_one(helper->manager, 1, (struct new_member){.fd = disk, .opaque = invalid[i]}),
            CODE(ARGUMENT), EINVAL);

    const char *labels[] = {longest, "", "base:rw \xc3\xa9\x01", NULL};
    for (int i = 0; i < 4; i++) {
        struct new_member member = {.fd = disk, .opaque = labels[i]};
        client_add_set(helper->manager, i, 0, &member, 1);
        const MemberInfo *info = first_member(helper, i);
        if (!labels[i]) {
            assert_int_equal(info->label_case, FDSET__V1__MEMBER_INFO__LABEL__NOT_SET);
            continue;
        }
        assert_int_equal(info->label_case, FDSET__V1__MEMBER_INFO__LABEL_OPAQUE);
        assert_string_equal(info->opaque, labels[i]);
    }
}

/* --------------------------------------------------- what may be a member */

static void test_types_of_file(void **state) {
    struct helper *helper = helper_start(NULL);
    int sockets[2], pipes[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    file_open("disk", O_RDWR);
    const struct {
        int fd, code, error;
    } rows[] = {
        {file_open("disk", O_RDWR), 0, 0},
        {harness_keep(memfd_create("ram", MFD_CLOEXEC)), 0, 0},
        {harness_keep(open("/dev/null", O_RDWR | O_CLOEXEC)), 0, 0},
        {harness_keep(pipes[0]), 0, 0},
        {harness_keep(pipes[1]), 0, 0},
        {harness_keep(sockets[0]), CODE(FILE_TYPE), EINVAL},
        {harness_keep(sockets[1]), CODE(FILE_TYPE), EINVAL},
        {harness_keep(eventfd(0, EFD_CLOEXEC)), CODE(FILE_TYPE), EINVAL},
        {harness_keep(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)), CODE(FILE_TYPE), EINVAL},
        {harness_keep(open(file_path("disk"), O_PATH | O_CLOEXEC)), CODE(BAD_FD), EBADF},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        Reply *reply = add_one(helper->manager, SET_NEW, (struct new_member){.fd = rows[i].fd});
        if (rows[i].code)
            assert_refused(reply, rows[i].code, rows[i].error);
        else
            assert_int_equal(reply->body_case, REPLY(ADDED));
    }
}

static void test_another_file(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR), other = file_open("other", O_RDWR);
    client_add_one(helper->manager, 1, disk);
    assert_refused(add_one(helper->manager, 1, (struct new_member){.fd = other}), CODE(OTHER_FILE),
                   EXDEV);
    struct new_member both[] = {{.fd = disk}, {.fd = other}};
    struct new_set set = {2, 0, both, 2};
    assert_refused(client_add(helper->manager, &set, 1), CODE(OTHER_FILE), EXDEV);
    assert_int_equal(client_totals(helper->manager).members, 1);
}

/* A device is what its number says: two nodes of it are one file, nodes of two are not. */
static void test_nodes_of_one_device(void **state) {
    struct helper *helper = helper_start(NULL);
    static const char *const names[] = {"null", "null-again", "zero"};
    int fds[3];
    for (int i = 0; i < 3; i++) {
        const char *path = file_path(names[i]);
        assert_int_equal(mknod(path, S_IFCHR | 0600, makedev(1, i == 2 ? 5 : 3)), 0);
        fds[i] = harness_keep(open(path, O_RDWR | O_CLOEXEC));
        assert_true(fds[i] >= 0);
        unlink(path);
    }
    client_add_one(helper->manager, 1, fds[0]);
    client_add_one(helper->manager, 1, fds[1]);
    Reply *reply = add_one(helper->manager, 1, (struct new_member){.fd = fds[2]});
    assert_refused(reply, CODE(OTHER_FILE), EXDEV);
    assert_non_null(strstr(reply->error->text, "character device 1:5"));
    assert_non_null(strstr(reply->error->text, "character device 1:3"));

    MemberInfo *member = client_query(helper->manager, 1, NULL)->sets[0]->members[1];
    assert_int_equal(member->type, S_IFCHR);
    assert_int_equal(member->device_number, makedev(1, 3));
    client_add_one(helper->manager, 2, file_open("disk", O_RDWR));
    member = client_query(helper->manager, 2, NULL)->sets[0]->members[0];
    assert_int_equal(member->type, S_IFREG);
    assert_int_equal(member->device_number, 0);
}

/* Once nothing of the old file is in the set, it may become another's. */
static void test_another_file_after_removal(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR), other = file_open("other", O_RDWR);
    client_add_one(helper->manager, 1, disk);
    client_remove(helper->manager, 1, 0);
    client_wait_settled(helper->manager);
    client_add_one(helper->manager, 1, other);
    assert_serves(client_open_set(helper->vmm, 1, O_RDWR).fd, other, O_RDWR);
}

/* Also at once: a member that has been
 * removed and is still being closed has no say in what the set may hold. */
static void test_another_file_at_once_after_removal(void **state) {
    struct helper *helper = helper_start(NULL);
    int files[] = {file_open("disk", O_RDWR), file_open("other", O_RDWR)};
    for (int i = 0; i < 500; i++) {
        client_add_one(helper->manager, 1, files[i % 2]);
        client_remove(helper->manager, 1, 0);
    }
}

/* The manager's own descriptor is not touched: QEMU clears its O_NONBLOCK. */
static void test_status_flags_stay(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR | O_NONBLOCK | O_APPEND);
    int before = fcntl(disk, F_GETFL);
    client_add_one(helper->manager, 1, disk);
    assert_int_equal(fcntl(disk, F_GETFL), before);
    assert_int_equal(first_member(helper, 1)->flags & (O_NONBLOCK | O_APPEND | O_ACCMODE),
                     O_NONBLOCK | O_APPEND | O_RDWR);
}

/* ---------------------------------------------------------------- removing */

static void test_remove_one_and_all(void **state) {
    struct helper *helper = helper_start(NULL);
    int first = file_open("disk", O_RDWR), second = file_open("disk", O_RDWR);
    client_add_one(helper->manager, 1, first);
    uint32_t newest = client_add_one(helper->manager, 1, second);

    assert_int_equal(client_remove(helper->manager, 1, newest)->removed->members, 1);
    struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
    assert_serves(opened.fd, first, O_RDWR);
    client_close(helper->vmm, &opened);
    client_barrier(helper->vmm);
    assert_int_equal(client_remove(helper->manager, 1, 0)->removed->members, 1);
    client_wait_settled(helper->manager);
    assert_int_equal(client_open_set(helper->vmm, 1, O_RDWR).code, CODE(NO_SET));
}

static void test_remove_what_is_not_there(void **state) {
    struct helper *helper = helper_start(NULL);
    uint32_t elsewhere = client_add_one(helper->manager, 2, file_open("disk", O_RDWR));
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    assert_refused(client_remove(helper->manager, 9, 0), CODE(NO_SET), ENOENT);
    assert_refused(client_remove(helper->manager, -1, 0), CODE(ARGUMENT), EINVAL);
    assert_refused(client_remove(helper->manager, 1, 999), CODE(NO_MEMBER), ENOENT);
    assert_refused(client_remove(helper->manager, 1, elsewhere), CODE(NO_MEMBER), ENOENT);
    assert_int_equal(client_totals(helper->manager).members, 2);
}

static void test_remove_while_leased(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    uint32_t member = client_add_one(helper->manager, 1, disk);
    struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);

    assert_int_equal(client_remove(helper->manager, 1, member)->removed->members, 1);
    assert_int_equal(first_member(helper, 1)->state, MEMBER(REMOVED));
    assert_int_equal(client_open_set(helper->vmm, 1, O_RDWR).code, CODE(EMPTY_SET));
    assert_int_equal(client_remove(helper->manager, 1, 0)->removed->members, 0);
    assert_int_equal(write(opened.fd, "still good", 10), 10);

    client_close(helper->vmm, &opened);
    client_wait_idle(helper->manager);
    assert_int_equal(client_totals(helper->manager).sets, 0);
    assert_held(helper, disk, 0);
}

/* Join a set of which only leases are left: it is the same set, and the same file. */
static void test_add_to_a_removed_set(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR), again = file_open("disk", O_RDWR);
    client_add_one(helper->manager, 1, disk);
    client_open_set(helper->vmm, 1, O_RDWR);
    client_remove(helper->manager, 1, 0);
    client_add_one(helper->manager, 1, again);
    assert_serves(client_open_set(helper->vmm, 1, O_RDWR).fd, again, O_RDWR);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_several_sets_and_members),
        helper_test(test_failure_at_each_position_leaves_no_trace),
        helper_test(test_failure_leaves_an_old_set_as_it_was),
        helper_test(test_same_set_twice_in_a_request),
        helper_test(test_automatic_beside_named_ids),
        helper_test(test_most_members_in_a_packet),
        helper_test(test_nothing_to_add),
        helper_test(test_members_and_descriptors_differ),
        helper_test(test_automatic_ids_never_come_back),
        helper_test(test_member_ids_never_come_back),
        helper_test(test_ends_of_the_range),
        helper_test(test_negative_id),
        helper_test(test_opaque),
        helper_test(test_types_of_file),
        helper_test(test_another_file),
        helper_test(test_nodes_of_one_device),
        helper_test(test_another_file_after_removal),
        helper_test(test_another_file_at_once_after_removal),
        helper_test(test_status_flags_stay),
        helper_test(test_remove_one_and_all),
        helper_test(test_remove_what_is_not_there),
        helper_test(test_remove_while_leased),
        helper_test(test_add_to_a_removed_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
