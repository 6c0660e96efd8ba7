/* SPDX-License-Identifier: MIT */
/* Open and OpenMany: which member serves which flags, and nobody else's file. */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_MEMBERS 3

/* A set of one file's members, the oldest first, and what an open of it gets. */
struct row {
    int members[MAX_MEMBERS]; /* open(2) flags; NONE: no such member */
    int wanted;
    int serves; /* index of the member, or -1 */
    int code, error;
};

#define NONE (-1)
#define RO   O_RDONLY
#define WO   O_WRONLY
#define RW   O_RDWR

static const struct row rows[] = {
    /* The access mode is equal, or there is no open. */
    {{RO, NONE, NONE}, RO, 0},
    {{WO, NONE, NONE}, WO, 0},
    {{RW, NONE, NONE}, RW, 0},
    {{RW, NONE, NONE}, RO, -1, CODE(MODE), EACCES},
    {{RW, NONE, NONE}, WO, -1, CODE(MODE), EACCES},
    {{RO, NONE, NONE}, RW, -1, CODE(MODE), EACCES},
    {{RO, WO, NONE}, RW, -1, CODE(MODE), EACCES},
    {{RO, NONE, NONE}, O_ACCMODE, -1, CODE(MODE), EACCES},
    {{RO, RW, WO}, RO, 0},
    {{RO, RW, WO}, RW, 1},
    {{RO, RW, WO}, WO, 2},
    {{RW, RO, RO}, RW, 0},

    /* The newest among equals. */
    {{RW, RW, RW}, RW, 2},
    {{RO, RO, RW}, RO, 1},

    /* O_SYNC and O_DSYNC are equal, and a newer member that differs hides nothing. */
    {{RW, NONE, NONE}, RW | O_SYNC, -1, CODE(SYNC), EINVAL},
    {{RW | O_SYNC, NONE, NONE}, RW, -1, CODE(SYNC), EINVAL},
    {{RW | O_DSYNC, NONE, NONE}, RW | O_SYNC, -1, CODE(SYNC), EINVAL},
    {{RW | O_SYNC, NONE, NONE}, RW | O_DSYNC, -1, CODE(SYNC), EINVAL},
    {{RW, RW | O_DSYNC, RW | O_SYNC}, RW, 0},
    {{RW, RW | O_DSYNC, RW | O_SYNC}, RW | O_DSYNC, 1},
    {{RW | O_SYNC, RW | O_DSYNC, RW}, RW | O_SYNC, 0},

    /* Equal O_DIRECT first, whatever is newer; else the flag is changed. */
    {{RW | O_DIRECT, RW, NONE}, RW | O_DIRECT, 0},
    {{RW, RW | O_DIRECT, NONE}, RW, 0},
    {{RW, RW | O_DIRECT, RW}, RW | O_DIRECT, 1},
    {{RW, NONE, NONE}, RW | O_DIRECT, 0},
    {{RW | O_DIRECT, NONE, NONE}, RW, 0},

    /* These can be changed too, and choose no member. */
    {{RW, NONE, NONE}, RW | O_APPEND, 0},
    {{RW | O_APPEND, NONE, NONE}, RW, 0},
    {{RW, NONE, NONE}, RW | O_NONBLOCK, 0},
    {{RW | O_NONBLOCK, NONE, NONE}, RW, 0},
    {{RW | O_NOATIME, NONE, NONE}, RW | O_NOATIME, 0},
    {{RW | O_NOATIME, NONE, NONE}, RW, 0}, /* this one stays: see check_row() */
    {{RW | O_NOATIME | O_APPEND, NONE, NONE}, RW | O_NONBLOCK, 0},
    {{RW | O_APPEND, RW, NONE}, RW | O_APPEND, 1},
    {{RW, NONE, NONE}, RW | O_APPEND | O_DIRECT | O_NONBLOCK, 0},

    /* These mean nothing here. */
    {{RW, NONE, NONE}, RW | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_ASYNC, 0},
    {{RO, NONE, NONE}, RO | O_DIRECTORY | O_PATH, 0},
    {{RO, NONE, NONE}, ~O_ACCMODE & ~O_SYNC & ~O_DIRECT & ~O_NOATIME, 0},
};

/* What F_SETFL can change: the lease has these as they were asked for, but for the
 * manager's O_NOATIME, which only the file's owner could put back. */
#define SETTABLE (O_APPEND | O_DIRECT | O_NOATIME | O_NONBLOCK)

static void check_row(struct helper *helper, int set, const struct row *row) {
    int fds[MAX_MEMBERS];
    uint32_t ids[MAX_MEMBERS];
    size_t count = 0;
    for (; count < MAX_MEMBERS && row->members[count] != NONE; count++) {
        fds[count] = file_open("disk", row->members[count]);
        ids[count] = client_add_one(helper->manager, set, fds[count]);
    }
    struct opened opened = client_open_set(helper->vmm, set, row->wanted);
    if (row->serves < 0) {
        assert_int_equal(opened.code, row->code);
        assert_int_equal(opened.error, row->error);
    } else {
        int expected =
            (row->members[row->serves] & ~(SETTABLE & ~O_NOATIME)) | (row->wanted & SETTABLE);
        assert_int_equal(opened.code, 0);
        assert_int_equal(opened.member, ids[row->serves]);
        assert_serves(opened.fd, fds[row->serves], expected);
        client_close(helper->vmm, &opened);
        client_barrier(helper->vmm);
        client_wait_settled(helper->manager);
    }
    /* As they were before, also the one that was leased. */
    for (size_t i = 0; i < count; i++) {
        assert_serves(fds[i], fds[i], row->members[i]);
        harness_close(fds[i]);
    }
    client_remove(helper->manager, set, 0);
}

static void test_which_member_serves(void **state) {
    struct helper *helper = helper_start(NULL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        print_message("# row %zu\n", i);
        check_row(helper, (int)i, &rows[i]);
    }
}

static void test_path_forms(void **state) {
    static const struct {
        const char *path;
        int code, error;
    } paths[] = {
        {"/dev/fdset/1", 0, 0},
        {"/dev/fdset/0", 0, 0},
        {"/dev/fdset/2147483647", 0, 0},
        {"/dev/fdset/99", CODE(NO_SET), ENOENT},
        {"/dev/fdset/01", CODE(PATH), EINVAL},
        {"/dev/fdset/00", CODE(PATH), EINVAL},
        /* Names: of no set that is there. */
        {"/dev/fdset/+1", CODE(NO_SET), ENOENT},
        {"/dev/fdset/-1", CODE(NO_SET), ENOENT},
        {"/dev/fdset/-0", CODE(NO_SET), ENOENT},
        {"/dev/fdset/ 1", CODE(NO_SET), ENOENT},
        {"/dev/fdset/1 ", CODE(NO_SET), ENOENT},
        {"/dev/fdset/1\n", CODE(PATH), EINVAL},
        {"/dev/fdset/1x", CODE(NO_SET), ENOENT},
        {"/dev/fdset/0x1", CODE(NO_SET), ENOENT},
        {"/dev/fdset/1/", CODE(PATH), EINVAL},
        {"/dev/fdset/1/2", CODE(PATH), EINVAL},
        {"/dev/fdset/", CODE(PATH), EINVAL},
        {"/dev/fdset//1", CODE(PATH), EINVAL},
        {"/dev/fdset", CODE(PATH), EINVAL},
        {"/dev/fdset/2147483648", CODE(PATH), EINVAL},
        {"/dev/fdset/4294967297", CODE(PATH), EINVAL},
        {"/dev/fdset/18446744073709551617", CODE(PATH), EINVAL},
        {"//dev/fdset/1", CODE(PATH), EINVAL},
        {"/dev//fdset/1", CODE(PATH), EINVAL},
        {"/dev/./fdset/1", CODE(PATH), EINVAL},
        {"dev/fdset/1", CODE(PATH), EINVAL},
        {"/DEV/FDSET/1", CODE(PATH), EINVAL},
        {"1", CODE(PATH), EINVAL},
        {"", CODE(PATH), EINVAL},
        {"/etc/passwd", CODE(PATH), EINVAL},
        {"/dev/fdset/\xd9\xa1", CODE(NO_SET), ENOENT}, /* an Arabic 1 */
    };
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    client_add_one(helper->manager, 0, disk);
    client_add_one(helper->manager, 1, disk);
    client_add_one(helper->manager, 2147483647, disk);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        print_message("# path \"%s\"\n", paths[i].path);
        struct opened opened = client_open(helper->vmm, paths[i].path, O_RDWR);
        assert_int_equal(opened.code, paths[i].code);
        assert_int_equal(opened.error, paths[i].error);
        if (opened.fd >= 0)
            assert_serves(opened.fd, disk, O_RDWR);
    }
}

static void test_errors_name_what_there_is(void **state) {
    struct helper *helper = helper_start(NULL);
    client_add_one(helper->manager, 17, file_open("disk", O_RDONLY));
    struct opened opened = client_open_set(helper->vmm, 17, O_RDWR);
    assert_non_null(strstr(opened.text, "17"));
    assert_non_null(strstr(opened.text, "read-write"));
    assert_non_null(strstr(opened.text, "read-only"));
    opened = client_open_set(helper->vmm, 18, O_RDWR);
    assert_non_null(strstr(opened.text, "18"));
    /* No member of it could be added. */
    opened = client_open_set(helper->vmm, 17, O_ACCMODE);
    assert_non_null(strstr(opened.text, "access mode 3"));
    assert_null(strstr(opened.text, "add"));
}

static void test_serves_read_only(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    struct new_member member = {.fd = disk, .serves_read_only = true};
    client_add_set(helper->manager, 1, 0, &member, 1);
    assert_serves(client_open_set(helper->vmm, 1, O_RDONLY).fd, disk, O_RDWR);
    assert_serves(client_open_set(helper->vmm, 1, O_RDWR).fd, disk, O_RDWR);
    assert_int_equal(client_open_set(helper->vmm, 1, O_WRONLY).code, CODE(MODE));
}

/* A lease of its own has its own offset and locks, so a free member goes first. */
static void test_free_member_before_leased(void **state) {
    struct helper *helper = helper_start(NULL);
    int fds[2] = {file_open("disk", O_RDWR), file_open("disk", O_RDWR)};
    for (int i = 0; i < 2; i++)
        client_add_one(helper->manager, 1, fds[i]);
    assert_serves(client_open_set(helper->vmm, 1, O_RDWR).fd, fds[1], O_RDWR);
    assert_serves(client_open_set(helper->vmm, 1, O_RDWR).fd, fds[0], O_RDWR);
    assert_serves(client_open_set(helper->vmm, 1, O_RDWR).fd, fds[1], O_RDWR);
}

static void test_direct_before_free(void **state) {
    struct helper *helper = helper_start(NULL);
    int direct = file_open("disk", O_RDWR | O_DIRECT), plain = file_open("disk", O_RDWR);
    client_add_one(helper->manager, 1, direct);
    client_add_one(helper->manager, 1, plain);
    for (int i = 0; i < 2; i++)
        assert_serves(client_open_set(helper->vmm, 1, O_RDWR | O_DIRECT).fd, direct,
                      O_RDWR | O_DIRECT);
}

/* ----------------------------------------------------------------- sharing */

static void test_writer_is_one_vmm(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *other = helper_connect(helper, ROLE(VMM), "other vm");
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));

    struct opened mine = client_open_set(helper->vmm, 1, O_RDWR);
    assert_true(client_open_set(helper->vmm, 1, O_RDWR).fd >= 0);
    struct opened theirs = client_open_set(other, 1, O_RDWR);
    assert_int_equal(theirs.code, CODE(BUSY));
    assert_int_equal(theirs.error, EBUSY);
    assert_non_null(strstr(theirs.text, "another VM"));
    assert_null(strstr(theirs.text, "test vmm"));

    client_close(helper->vmm, &mine);
    client_barrier(helper->vmm);
    assert_int_equal(client_open_set(other, 1, O_RDWR).code, CODE(BUSY));
    client_hang_up(helper->vmm);
}

static void test_writers_each_with_a_member(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *other = helper_connect(helper, ROLE(VMM), "other vm");
    int fds[2] = {file_open("disk", O_RDWR), file_open("disk", O_RDWR)};
    client_add_one(helper->manager, 1, fds[0]);
    client_add_one(helper->manager, 1, fds[1]);
    assert_serves(client_open_set(helper->vmm, 1, O_RDWR).fd, fds[1], O_RDWR);
    assert_serves(client_open_set(other, 1, O_RDWR).fd, fds[0], O_RDWR);
    assert_serves(client_open_set(other, 1, O_RDWR).fd, fds[0], O_RDWR);
}

/* A reader takes locks too, and who shares its description shares them. */
static void test_reader_is_one_vmm(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *other = helper_connect(helper, ROLE(VMM), "other vm");
    int disk = file_open("disk", O_RDONLY);
    client_add_one(helper->manager, 1, disk);
    assert_serves(client_open_set(helper->vmm, 1, O_RDONLY).fd, disk, O_RDONLY);
    assert_serves(client_open_set(helper->vmm, 1, O_RDONLY).fd, disk, O_RDONLY);
    struct opened theirs = client_open_set(other, 1, O_RDONLY);
    assert_int_equal(theirs.code, CODE(BUSY));
    assert_int_equal(theirs.error, EBUSY);
    assert_non_null(strstr(theirs.text, "add a member"));
}

static void test_exclusive(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDONLY);
    struct new_member member = {.fd = disk, .sharing = SHARING(EXCLUSIVE)};
    client_add_set(helper->manager, 1, 0, &member, 1);
    struct opened opened = client_open_set(helper->vmm, 1, O_RDONLY);
    assert_serves(opened.fd, disk, O_RDONLY);
    assert_int_equal(client_open_set(helper->vmm, 1, O_RDONLY).code, CODE(BUSY));
    client_close(helper->vmm, &opened);
    assert_serves(client_open_set(helper->vmm, 1, O_RDONLY).fd, disk, O_RDONLY);
}

static void test_shared(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *other = helper_connect(helper, ROLE(VMM), "other vm");
    int disk = file_open("disk", O_RDWR);
    struct new_member member = {.fd = disk, .sharing = SHARING(SHARED)};
    client_add_set(helper->manager, 1, 0, &member, 1);
    assert_serves(client_open_set(helper->vmm, 1, O_RDWR).fd, disk, O_RDWR);
    assert_serves(client_open_set(other, 1, O_RDWR).fd, disk, O_RDWR);
}

static void test_truncate(void **state) {
    static const struct {
        int flags;
        bool truncate;
    } cases[] = {
        {O_RDWR, false},
        {O_RDWR | O_CREAT, false},
        {O_RDWR | O_EXCL, false},
        {O_RDWR | O_TRUNC, true},
        {O_RDWR | O_CREAT | O_TRUNC, true},
        {O_RDWR | O_CREAT | O_EXCL, true},
    };
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    struct new_member member = {.fd = disk, .keep_content = true};
    assert_int_equal(write(disk, "content", 7), 7);
    client_add_one(helper->manager, 1, disk);
    client_add_set(helper->manager, 2, 0, &member, 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(client_open_set(helper->vmm, 1, cases[i].flags).truncate,
                         cases[i].truncate);
        assert_false(client_open_set(helper->vmm, 2, cases[i].flags).truncate);
    }
    /* The helper itself never writes to a file. */
    assert_int_equal(lseek(disk, 0, SEEK_END), 7);
}

/* --------------------------------------------------------------- OpenMany */

static void test_many_with_mixed_results(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR), log = file_open("log", O_WRONLY);
    client_add_one(helper->manager, 1, disk);
    client_add_one(helper->manager, 2, log);
    const struct wanted wanted[] = {
        {"/dev/fdset/1", O_RDWR},  {"/dev/fdset/1", O_RDONLY}, {"/dev/fdset/2", O_WRONLY},
        {"/etc/passwd", O_RDONLY}, {"/dev/fdset/3", O_RDWR},   {"/dev/fdset/1", O_RDWR},
    };
    struct opened results[6];
    client_open_many(helper->vmm, wanted, 6, results);
    assert_serves(results[0].fd, disk, O_RDWR);
    assert_int_equal(results[1].code, CODE(MODE));
    assert_serves(results[2].fd, log, O_WRONLY);
    assert_int_equal(results[3].code, CODE(PATH));
    assert_int_equal(results[4].code, CODE(NO_SET));
    assert_serves(results[5].fd, disk, O_RDWR);
    assert_int_not_equal(results[0].lease, results[5].lease);
    assert_int_equal(client_totals(helper->manager).leases, 3);
}

static void test_many_that_all_fail(void **state) {
    struct helper *helper = helper_start(NULL);
    const struct wanted wanted[] = {{"/dev/fdset/1", O_RDWR}, {"", O_RDWR}};
    struct opened results[2];
    client_open_many(helper->vmm, wanted, 2, results);
    assert_int_equal(results[0].code, CODE(NO_SET));
    assert_int_equal(results[1].code, CODE(PATH));
}

static Reply *open_count(struct client *vmm, size_t count) {
    uint8_t bytes[FDSET_MAX_PACKET_BYTES];
    client_send_bytes(vmm, bytes, pack_open_many(bytes, 77, count), NULL, 0);
    return client_answer(vmm, 77);
}

static void test_many_from_1_to_250(void **state) {
    struct helper *helper = helper_start(NULL);
    client_add_one(helper->manager, 2, file_open("disk", O_RDONLY));
    assert_refused(open_count(helper->vmm, 0), CODE(ARGUMENT), EINVAL);
    assert_refused(open_count(helper->vmm, 251), CODE(ARGUMENT), EINVAL);
    assert_int_equal(client_totals(helper->manager).leases, 0);
    assert_int_equal(open_count(helper->vmm, 250)->descriptors, 250);
    assert_int_equal(client_totals(helper->manager).leases, 250);
}

static void test_pipelined_opens_come_in_order(void **state) {
    struct helper *helper = helper_start(NULL);
    uint32_t serials[32];
    int disk = file_open("disk", O_RDWR);
    client_add_one(helper->manager, 1, disk);
    for (int i = 0; i < 32; i++)
        serials[i] = client_send_open(helper->vmm, i % 2 ? "/dev/fdset/1" : "/dev/fdset/2", O_RDWR);
    for (int i = 0; i < 32; i++) {
        struct opened opened = client_opened(helper->vmm, serials[i]);
        if (i % 2)
            assert_serves(opened.fd, disk, O_RDWR);
        else
            assert_int_equal(opened.code, CODE(NO_SET));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_which_member_serves),
        helper_test(test_path_forms),
        helper_test(test_errors_name_what_there_is),
        helper_test(test_serves_read_only),
        helper_test(test_free_member_before_leased),
        helper_test(test_direct_before_free),
        helper_test(test_writer_is_one_vmm),
        helper_test(test_writers_each_with_a_member),
        helper_test(test_reader_is_one_vmm),
        helper_test(test_exclusive),
        helper_test(test_shared),
        helper_test(test_truncate),
        helper_test(test_many_with_mixed_results),
        helper_test(test_many_that_all_fail),
        helper_test(test_many_from_1_to_250),
        helper_test(test_pipelined_opens_come_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
