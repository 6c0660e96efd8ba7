/* SPDX-License-Identifier: MIT */
/* Proposal Four of the discussion of 2012, step by step: a set of descriptors of
 * one file, of which an open takes the one with its access mode, and which ends
 * by itself or by command.
 *
 * How it should end by itself was left open then ("potentially using a
 * bottom-half or a timer"). Here it is a timer: a set of lifetime `idle` ends so
 * long after its last lease was closed, or after its add if nobody came. */
#include "events.h"

#include <errno.h>
#include <unistd.h>

#define SHORT_MS 1

static const int ends[] = {EVENT(SET_GONE)};

/* The file's descriptors, one for each way to open it. */
struct disk {
    int reading, writing;
};

static struct disk disk_open(const char *name) {
    return (struct disk){file_open(name, O_RDONLY), file_open(name, O_RDWR)};
}

/* pass-fds: a set by its name. With a time it closes itself, with 0 it stays. */
static int pass_fds(struct client *manager, const char *name, const struct disk *disk,
                    uint32_t close_after_ms) {
    struct new_member members[] = {{.fd = disk->reading, .opaque = "ro"},
                                   {.fd = disk->writing, .opaque = "rw"}};
    struct new_set set = {SET_NEW,      close_after_ms ? LIFETIME(IDLE) : LIFETIME(KEEP),
                          members,      2,
                          .name = name, .idle_ms = close_after_ms};
    return client_add_new(manager, set);
}

/* 4A: close is true, and the timer ends the set. */
static void test_with_auto_close(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_begin(helper, ends, 1);
    struct disk disk = disk_open("disk"), other = disk_open("other");

    /* A drive is about to be added. Its open is first in line, so that no timer,
     * however short, can be faster than it. */
    uint32_t serial = client_begin_open(helper->vmm, "/dev/fdset/disk", O_RDONLY, WAIT_FOREVER_MS);

    /* 1. Management passes the set; what it gets back stands for all of it. */
    int set = pass_fds(helper->manager, "disk", &disk, SHORT_MS);

    /* 2. The drive is added: it has the descriptor for reading. */
    struct opened drive = client_opened(helper->vmm, serial);
    assert_serves(drive.fd, disk.reading, O_RDONLY);

    /* 3. The commit opens the same path for writing and has the other one. */
    struct opened commit = client_open(helper->vmm, "/dev/fdset/disk", O_RDWR);
    assert_serves(commit.fd, disk.writing, O_RDWR);
    client_close(helper->vmm, &drive);

    /* As long as one of them is open no time runs. A set that nobody uses comes
     * and goes meanwhile. */
    int unused = pass_fds(helper->manager, "other", &other, SHORT_MS);
    event_expect_of(&events, EVENT(SET_GONE), unused);
    assert_int_equal(client_find_set(helper->manager, set)->clock_case,
                     FDSET__V1__SET_INFO__CLOCK__NOT_SET);

    /* The reopens of a disk leave no moment without a lease, for the new one is
     * there before the old one goes. */
    drive = client_open(helper->vmm, "/dev/fdset/disk", O_RDONLY);
    client_close(helper->vmm, &commit);
    assert_serves(drive.fd, disk.reading, O_RDONLY);

    /* 4A. The last is closed; the timer expires; the whole set goes by itself. */
    client_close(helper->vmm, &drive);
    event_expect_of(&events, EVENT(SET_GONE), set);
    client_wait_settled(helper->manager);
    assert_held(helper, disk.reading, 0);
    assert_int_equal(client_open(helper->vmm, "/dev/fdset/disk", O_RDONLY).code, CODE(NO_SET));
}

/* 4B: close is false, and management says when. */
static void test_without_auto_close(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_begin(helper, ends, 1);
    struct disk disk = disk_open("disk"), other = disk_open("other");

    /* 1 to 3, as above. */
    int set = pass_fds(helper->manager, "disk", &disk, 0);
    struct opened drive = client_open(helper->vmm, "/dev/fdset/disk", O_RDONLY);
    assert_serves(drive.fd, disk.reading, O_RDONLY);
    struct opened commit = client_open(helper->vmm, "/dev/fdset/disk", O_RDWR);
    assert_serves(commit.fd, disk.writing, O_RDWR);
    client_close(helper->vmm, &drive);
    client_close(helper->vmm, &commit);
    client_wait_idle(helper->manager);

    /* All is closed, time passes, and the set is there: for the next reopen, and
     * whether or not management is. */
    int unused = pass_fds(helper->manager, "other", &other, SHORT_MS);
    event_expect_of(&events, EVENT(SET_GONE), unused);
    event_expect_none(helper, &events);
    drive = client_open(helper->vmm, "/dev/fdset/disk", O_RDONLY);
    assert_serves(drive.fd, disk.reading, O_RDONLY);

    /* 4B. close-fds. What is still open stays good, and is the last of it. */
    assert_int_equal(client_remove(helper->manager, set, 0)->removed->members, 2);
    assert_int_equal(client_open(helper->vmm, "/dev/fdset/disk", O_RDONLY).code, CODE(EMPTY_SET));
    assert_serves(drive.fd, disk.reading, O_RDONLY);
    client_close(helper->vmm, &drive);
    event_expect_of(&events, EVENT(SET_GONE), set);
    client_wait_settled(helper->manager);
    assert_held(helper, disk.reading, 0);
}

/* Whether the emulator closes or dies is the same to the timer. */
static void test_the_emulator_dies(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_begin(helper, ends, 1);
    struct client *vmm = helper_connect(helper, ROLE(VMM), "doomed");
    struct disk disk = disk_open("disk");
    uint32_t serial = client_begin_open(vmm, "/dev/fdset/disk", O_RDWR, WAIT_FOREVER_MS);
    int set = pass_fds(helper->manager, "disk", &disk, SHORT_MS);
    assert_int_equal(client_opened(vmm, serial).code, 0);
    client_hang_up(vmm);
    event_expect_of(&events, EVENT(SET_GONE), set);
}

/* The first with the right mode was to be taken from a list; here all members
 * are weighed, and one that somebody has open comes last. */
static void test_which_of_them(void **state) {
    struct helper *helper = helper_start(NULL);
    struct disk one = disk_open("disk"), two = disk_open("disk");
    pass_fds(helper->manager, "disk", &one, 0);
    pass_fds(helper->manager, "disk", &two, 0);
    assert_serves(client_open(helper->vmm, "/dev/fdset/disk", O_RDWR).fd, two.writing, O_RDWR);
    assert_serves(client_open(helper->vmm, "/dev/fdset/disk", O_RDWR).fd, one.writing, O_RDWR);
    assert_int_equal(client_open(helper->vmm, "/dev/fdset/disk", O_WRONLY).code, CODE(MODE));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_with_auto_close),
        helper_test(test_without_auto_close),
        helper_test(test_the_emulator_dies),
        helper_test(test_which_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
