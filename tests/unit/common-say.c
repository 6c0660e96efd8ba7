/* SPDX-License-Identifier: MIT */
/* What a program says as it goes on or ends, and with which status. */
#include "oracle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/say.h"

static char said[256];

/* Runs `speak` in a child, whose exit status it returns. */
static int status_of(void (*speak)(void)) {
    int ends[2], status;
    size_t length = 0;
    ssize_t got;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        speak();
        _exit(99);
    }
    close(ends[1]);
    while ((got = read(ends[0], said + length, sizeof(said) - 1 - length)) > 0)
        length += (size_t)got;
    said[length] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static char *questioned(const char *text) {
    char *copy = strdup(text);
    for (char *next = copy; *next; next++)
        *next = *next == '!' ? '?' : *next;
    return copy;
}

static void failing(void) {
    say_as("tool verb", "--tool-help");
    die("no %s", "luck");
}

static void misused(void) {
    say_as("tool verb", "--tool-help");
    die_usage("what is %d", 5);
}

static void misused_as_said(void) {
    say_as("tool", "--help");
    die_try_help();
}

static void complaining(void) {
    say_as("tool", "--help");
    complain("ouch!");
    say_through(questioned);
    complain("ouch!");
}

static void nameless(void) {
    die("as it was called");
}

static void test_die(void **state) {
    assert_int_equal(status_of(failing), STATUS_FAILED);
    assert_string_equal(said, "tool verb: no luck\n");
}

static void test_die_usage(void **state) {
    assert_int_equal(status_of(misused), STATUS_USAGE);
    assert_string_equal(said, "tool verb: what is 5\nTry 'tool verb --tool-help'.\n");
    assert_int_equal(status_of(misused_as_said), STATUS_USAGE);
    assert_string_equal(said, "Try 'tool --help'.\n");
}

static void test_complain(void **state) {
    assert_int_equal(status_of(complaining), 99);
    assert_string_equal(said, "tool: ouch!\ntool: ouch?\n");
}

static void test_without_name(void **state) {
    char expected[256];
    snprintf(expected, sizeof(expected), "%s: as it was called\n", program_invocation_short_name);
    assert_int_equal(status_of(nameless), STATUS_FAILED);
    assert_string_equal(said, expected);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_die),
        cmocka_unit_test(test_die_usage),
        cmocka_unit_test(test_complain),
        cmocka_unit_test(test_without_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
