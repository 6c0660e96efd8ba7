/* SPDX-License-Identifier: MIT */
/* What fd=N,set=M[,opaque=TEXT] says, in each way of writing it. */
#include "oracle.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "add_fd.h"

/* Descriptors that are there: one that is inherited, and one that is not. */
#define INHERITED "16"
#define OWN       "17"

static char text[512], why[ADD_FD_WHY_BYTES];
static struct add_fd add;

static int group_setup(void **state) {
    int null = open("/dev/null", O_RDONLY);
    if (dup2(null, 16) < 0 || dup3(null, 17, O_CLOEXEC) < 0)
        return -1;
    return close(null);
}

static int group_teardown(void **state) {
    return close(16) | close(17);
}

static bool parse(const char *from, int how) {
    snprintf(text, sizeof(text), "%s", from);
    add = (struct add_fd){-1, -1, NULL};
    why[0] = '\0';
    return add_fd_parse(&add, text, how, why);
}

static void assert_add(const char *from, int how, int set, const char *opaque) {
    print_message("# %s\n", from);
    assert_true(parse(from, how));
    assert_int_equal(add.fd, 16);
    assert_int_equal(add.set, set);
    if (opaque)
        assert_string_equal(add.opaque, opaque);
    else
        assert_null(add.opaque);
}

static void assert_refused(const char *from, int how, const char *expected) {
    print_message("# %s\n", from);
    assert_false(parse(from, how));
    assert_non_null(strstr(why, expected));
    assert_int_equal(add.fd, -1);
}

static void test_usual(void **state) {
    assert_add("fd=" INHERITED ",set=0", ADD_FD_USUAL, 0, NULL);
    assert_add("set=2147483647,fd=" INHERITED, ADD_FD_USUAL, 2147483647, NULL);
    assert_add("fd=" INHERITED ",set=1,opaque=disk", ADD_FD_USUAL, 1, "disk");
    assert_add("opaque=,fd=" INHERITED ",set=1", ADD_FD_USUAL, 1, "");
    assert_add("fd=" INHERITED ",opaque=a,,b=c,,,set=1", ADD_FD_USUAL, 1, "a,b=c,");
    assert_add("fd=5,fd=" INHERITED ",set=010", ADD_FD_USUAL, 10, NULL);
}

static void test_any_base(void **state) {
    assert_add("fd=0x10,set=010", ADD_FD_ANY_BASE, 8, NULL);
    assert_refused("fd=0x10,set=1", ADD_FD_USUAL, "Parameter 'fd' expects a number");
}

static void test_label_end(void **state) {
    assert_add("fd=" INHERITED ",set=1,opaque=a,b,,c=d", ADD_FD_LABEL_END, 1, "a,b,,c=d");
    assert_add("fd=" INHERITED ",set=1,opaque=", ADD_FD_LABEL_END, 1, "");
    assert_add("fd=" INHERITED ",set=1", ADD_FD_LABEL_END, 1, NULL);
    assert_refused("fd=" INHERITED ",opaque=a,set=1", ADD_FD_LABEL_END, "set option is required");
}

static void test_refused(void **state) {
    assert_refused("", ADD_FD_USUAL, "fd option is required");
    assert_refused("fd", ADD_FD_USUAL, "'fd' has no value");
    assert_refused("fd=" INHERITED ",set=1,opaque", ADD_FD_USUAL, "'opaque' has no value");
    assert_refused("fd=" INHERITED, ADD_FD_USUAL, "set option is required");
    assert_refused("fd=" INHERITED ",set=", ADD_FD_USUAL, "Parameter 'set' expects a number");
    assert_refused("fd=" INHERITED ",set=-1", ADD_FD_USUAL, "set option is required");
    assert_refused("fd=" INHERITED ",set=2147483648", ADD_FD_USUAL, "from 0 to 2147483647");
    assert_refused("fd=-1,set=1", ADD_FD_USUAL, "must be non-negative");
    assert_refused("fd=-,set=1", ADD_FD_USUAL, "Parameter 'fd' expects a number");
    assert_refused("fd=2,set=1", ADD_FD_USUAL, "standard I/O stream");
    assert_refused("fd=999,set=1", ADD_FD_USUAL, "not valid or already in use");
    assert_refused("fd=" OWN ",set=1", ADD_FD_USUAL, "not valid or already in use");
    assert_refused("fd=" INHERITED ",set=1,colour=red", ADD_FD_USUAL, "Invalid parameter 'colour'");
}

static void test_longest_label(void **state) {
    char from[512] = "fd=" INHERITED ",set=1,opaque=";
    size_t length = strlen(from);
    memset(from + length, 'x', 255);
    assert_true(parse(from, ADD_FD_USUAL));
    assert_int_equal(strlen(add.opaque), 255);
    from[length + 255] = 'x';
    assert_refused(from, ADD_FD_USUAL, "opaque has 256 bytes, and may have 255");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usual),         cmocka_unit_test(test_any_base),
        cmocka_unit_test(test_label_end),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_longest_label),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
