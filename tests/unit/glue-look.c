/* SPDX-License-Identifier: MIT */
/* libfdset's look: what is asked, what is made of the answer, and that a helper that does
 * not know of it is not asked. */
#include "fake-helper.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define LOOK (UINT64_C(1) << FDSET__V1__FEATURE__FEATURE_LOOK)

static void begin(uint64_t features) {
    fake_features = features;
    fake_begin_vmm();
}

static void look_answered(struct call *call, Fdset__V1__Looked *looked) {
    Reply reply = FDSET__V1__REPLY__INIT;
    call_look(call, "/dev/fdset/1");
    Request *request = fake_receive(REQUEST_IS(LOOK));
    assert_string_equal(request->look->path, "/dev/fdset/1");
    reply.serial = request->serial;
    reply.body_case = REPLY_IS(LOOKED);
    reply.looked = looked;
    fake_reply(&reply, NULL, 0);
    assert_int_equal(call_end(call), 0);
}

static void test_every_field_arrives(void **state) {
    Fdset__V1__Looked looked = FDSET__V1__LOOKED__INIT;
    struct call call;
    looked.modes = 5;
    looked.mode = 0100640;
    looked.device = UINT64_MAX;
    looked.inode = UINT64_MAX - 1;
    looked.device_number = 0x103;
    looked.links = 3;
    looked.uid = UINT32_MAX;
    looked.gid = 7;
    looked.size = INT64_MAX;
    looked.blocks = 9;
    looked.block_size = 4096;
    looked.accessed_ns = -1;
    looked.modified_ns = INT64_MIN;
    looked.changed_ns = INT64_MAX;
    begin(LOOK);
    look_answered(&call, &looked);
    const struct stat *status = &call.looked.status;
    assert_int_equal(call.looked.modes, 5);
    assert_int_equal(status->st_mode, 0100640);
    assert_int_equal(status->st_dev, UINT64_MAX);
    assert_int_equal(status->st_ino, UINT64_MAX - 1);
    assert_int_equal(status->st_rdev, 0x103);
    assert_int_equal(status->st_nlink, 3);
    assert_int_equal(status->st_uid, UINT32_MAX);
    assert_int_equal(status->st_gid, 7);
    assert_int_equal(status->st_size, INT64_MAX);
    assert_int_equal(status->st_blocks, 9);
    assert_int_equal(status->st_blksize, 4096);
    assert_int_equal(status->st_atim.tv_sec, -1);
    assert_int_equal(status->st_atim.tv_nsec, 999999999);
    assert_int_equal(status->st_mtim.tv_sec, -9223372037);
    assert_int_equal(status->st_mtim.tv_nsec, 145224192);
    assert_int_equal(status->st_ctim.tv_sec, 9223372036);
    assert_int_equal(status->st_ctim.tv_nsec, 854775807);
    fake_end();
}

static void test_refused(void **state) {
    struct call call;
    begin(LOOK);
    call_look(&call, "/dev/fdset/3");
    fake_error(fake_receive(REQUEST_IS(LOOK))->serial, ENOENT, "there is no set 3");
    assert_int_equal(call_end(&call), -ENOENT);
    assert_string_equal(call.text, "there is no set 3");
    fake_end();
}

/* It would hang up on what it does not know; so fake_end() finds nothing sent. */
static void test_a_helper_that_does_not_know_it(void **state) {
    struct call call;
    begin(~LOOK);
    call_look(&call, "/dev/fdset/3");
    assert_int_equal(call_end(&call), -EOPNOTSUPP);
    assert_non_null(strstr(call.text, "newer version"));
    fake_end();
}

static void test_another_answer(void **state) {
    struct call call;
    begin(LOOK);
    call_look(&call, "/dev/fdset/3");
    fake_done(fake_receive(REQUEST_IS(LOOK))->serial);
    assert_int_equal(call_end(&call), -EPROTO);
    fake_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_arrives),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_a_helper_that_does_not_know_it),
        cmocka_unit_test(test_another_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
