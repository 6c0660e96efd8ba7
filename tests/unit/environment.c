/* SPDX-License-Identifier: MIT */
/* What a helper is given of the environment, and what not. */
#include "oracle.h"

#include <string.h>

#include "environment.h"

static void test_private(void **state) {
    static const char *const all[] = {
        "LD_PRELOAD=x",     "NOTIFY_SOCKET=@x", "LISTEN_PID=1",   "LISTEN_FDS=1",
        "LISTEN_FDNAMES=x", "WATCHDOG_PID=1",   "WATCHDOG_USEC=",
    };
    static const char *const others[] = {
        "LD_PRELOADED=x",         "LISTEN_FD=1", "XLD_PRELOAD=x",
        "FDSET_HELPER_OPTIONS=x", "LD_PRELOAD",  "",
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        assert_true(environment_is_private(all[i]));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(environment_is_private(others[i]));
}

static void assert_words(const char *text, const char *const *expected) {
    const char *word;
    size_t length;
    while ((word = environment_word(&text, &length))) {
        assert_non_null(*expected);
        assert_int_equal(length, strlen(*expected));
        assert_memory_equal(word, *expected++, length);
    }
    assert_null(*expected);
    assert_null(environment_word(&text, &length));
}

static void test_words(void **state) {
    static const char *const none[] = {NULL}, *const two[] = {"--quiet", "--limit=x", NULL};
    assert_words(NULL, none);
    assert_words("", none);
    assert_words(" \t\n", none);
    assert_words("--quiet --limit=x", two);
    assert_words("\n\t--quiet \n --limit=x ", two);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_private),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
