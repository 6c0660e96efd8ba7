/* SPDX-License-Identifier: MIT */
/* The line that tells an administrator what holds. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "oracle.h"

#include "confine/confine.h"

static const struct confine_report report = {
    .stages =
        {
            {"descriptors", CONFINE_DONE, ""},
            {"namespaces", CONFINE_DONE, "mount net"},
            {"mdwe", CONFINE_PARTLY, "none: the kernel is older than 6.3"},
            {"limits", CONFINE_FAILED, "RLIMIT_NOFILE: EPERM; raise it"},
        },
    .count = 4,
};

static const char line[] = "descriptors namespaces(mount net) "
                           "mdwe(partly: none: the kernel is older than 6.3) "
                           "limits(FAILED: RLIMIT_NOFILE: EPERM; raise it)";

static void test_line(void **state) {
    char text[300];

    confine_describe(&report, text, sizeof(text));
    assert_string_equal(text, line);
}

static void test_line_is_cut_off(void **state) {
    for (size_t size = 1; size <= sizeof(line); size++) {
        char text[300];

        memset(text, 'x', sizeof(text));
        confine_describe(&report, text, size);
        assert_int_equal(strlen(text), size - 1);
        assert_memory_equal(text, line, size - 1);
        for (size_t i = size; i < sizeof(text); i++)
            assert_int_equal(text[i], 'x');
    }
}

static void test_nothing_yet(void **state) {
    const struct confine_report empty = {.count = 0};
    char text[10] = "before";

    confine_describe(&empty, text, sizeof(text));
    assert_string_equal(text, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_line),
        oracle_test(test_line_is_cut_off),
        oracle_test(test_nothing_yet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
