/* SPDX-License-Identifier: MIT */
/* Which texts are numbers. */
#include "oracle.h"

#include <limits.h>
#include <string.h>

#include "number.h"

static void assert_number(const char *text, uint64_t expected) {
    uint64_t number = expected + 1;
    assert_true(number_parse(text, UINT64_MAX, &number));
    assert_int_equal(number, expected);
}

static void test_numbers(void **state) {
    assert_number("0", 0);
    assert_number("00", 0);
    assert_number("010", 10);
    assert_number("4294967296", 4294967296);
    assert_number("18446744073709551615", UINT64_MAX);
}

static void test_no_numbers(void **state) {
    static const char *const texts[] = {
        "",    " 1",  "1 ", "+1",  "-1",  "-0",    "1x",
        "0x1", "1.0", "a",  "\t1", "1\n", "1,000", "18446744073709551616",
    };
    uint64_t number = 7;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        print_message("# '%s'\n", texts[i]);
        assert_false(number_parse(texts[i], UINT64_MAX, &number));
        assert_int_equal(number, 7);
    }
}

static void test_most(void **state) {
    uint64_t number = 7;
    assert_true(number_parse("253", 253, &number));
    assert_int_equal(number, 253);
    assert_false(number_parse("254", 253, &number));
    assert_int_equal(number, 253);
}

static void test_bases(void **state) {
    uint64_t number;
    assert_true(number_parse_base("0660", 8, 0777, &number));
    assert_int_equal(number, 0660);
    assert_false(number_parse_base("0680", 8, 0777, &number));
    assert_true(number_parse_base("0x1f", 0, 100, &number));
    assert_int_equal(number, 31);
    assert_true(number_parse_base("010", 0, 100, &number));
    assert_int_equal(number, 8);
    assert_true(number_parse_base("10", 0, 100, &number));
    assert_int_equal(number, 10);
    assert_false(number_parse_base("0x", 0, 100, &number));
    assert_false(number_parse_base("x1f", 16, 100, &number));
}

static void test_number32(void **state) {
    uint32_t number = 7;
    assert_true(number32_parse("4294967295", UINT32_MAX, &number));
    assert_int_equal(number, UINT32_MAX);
    assert_false(number32_parse("4294967296", UINT32_MAX, &number));
    assert_false(number32_parse("4", 3, &number));
    assert_int_equal(number, UINT32_MAX);
}

static void test_int(void **state) {
    int number = 7;
    assert_true(int_parse("2147483647", &number));
    assert_int_equal(number, INT_MAX);
    assert_false(int_parse("2147483648", &number));
    assert_false(int_parse("-1", &number));
    assert_int_equal(number, INT_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),  cmocka_unit_test(test_no_numbers),
        cmocka_unit_test(test_most),     cmocka_unit_test(test_bases),
        cmocka_unit_test(test_number32), cmocka_unit_test(test_int),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
