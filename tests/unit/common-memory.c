/* SPDX-License-Identifier: MIT */
/* Memory and texts for programs that end without. */
#include "oracle.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/say.h"

static void test_memory(void **state) {
    char *none = xcalloc(0, 8), *some = xcalloc(3, 1);
    assert_non_null(none);
    assert_memory_equal(some, "\0\0\0", 3);
    some = xreallocarray(some, 100, 10);
    some[999] = 'x';
    free(none);
    free(some);
}

static void test_texts(void **state) {
    char *copy = xstrdup("text"), *made = xasprintf("%s %d", copy, 5);
    assert_string_equal(made, "text 5");
    free(copy);
    free(made);
}

static void test_stream(void **state) {
    struct text_stream stream;
    text_stream_begin(&stream);
    fprintf(stream.stream, "a%d", 1);
    fputc('b', stream.stream);
    char *text = text_stream_end(&stream);
    assert_string_equal(text, "a1b");
    free(text);
    text_stream_begin(&stream);
    text = text_stream_end(&stream);
    assert_string_equal(text, "");
    free(text);
}

static void test_too_much(void **state) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stderr))
            _exit(98);
        xreallocarray(NULL, SIZE_MAX, 16);
        _exit(99);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), STATUS_FAILED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
