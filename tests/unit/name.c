/* SPDX-License-Identifier: MIT */
/* What a set may be called, and which text may be shown. */
#include "oracle.h"

#include <string.h>

#include "name.h"

#define TEN  "0123456789"
#define N50  TEN TEN TEN TEN TEN
#define N250 N50 N50 N50 N50 N50

static const char *const names[] = {
    "d",
    "disk0",
    "9disk",
    "0x1",
    "-disk",
    "_disk",
    ".disk",
    "...",
    "disk 0",
    " ",
    " disk ",
    "disk:0",
    "disk@vm",
    "disk+",
    "a,b=c",
    "$(reboot)",
    "`x`",
    "%n",
    "*",
    "\\x00",
    "\"'",
    "d\xc3\xb6sk",
    "\xc3\xb6",
    "\xc2\xa0",                                 /* the first after the controls */
    "\xe2\x80\x8d",                             /* U+200D: emoji are joined by it */
    "\xe2\x80\xa7",                             /* U+2027 */
    "\xe2\x80\xaf",                             /* U+202F */
    "\xe2\x81\xa5",                             /* U+2065 */
    "\xd8\x9b",                                 /* U+061B */
    "\xf0\x9f\x92\xbe",                         /* a floppy disk */
    "\xf4\x8f\xbf\xbf",                         /* U+10FFFF */
    "550e8400-e29b-41d4-a716-446655440000",     /* a UUID */
    "da39a3ee5e6b4b0d3255bfef95601890afd80709", /* a sha1 */
    "5e6b4b0d32",
    N250 "abcde",
    N250 "01\xe2\x82\xac" /* 255 bytes that end with a whole character */,
};

static const char *const no_names[] = {
    "",
    "0",
    "1",
    "007",
    "99999999999999999999",
    N250,
    ".",
    "..",
    "/",
    "a/b",
    "a/",
    "/a",
    "a\n",
    "a\tb",
    "\x1b[31m",
    "\x7f",
    "\xc2\x80", /* U+0080 */
    "\xc2\x9b", /* U+009B, which begins a terminal's command */
    "\xc2\x9f",
    "\xd8\x9c",     /* U+061C */
    "\xe2\x80\x8e", /* U+200E */
    "\xe2\x80\x8f",
    "\xe2\x80\xa8", /* U+2028 */
    "\xe2\x80\xa9",
    "\xe2\x80\xaa", /* U+202A */
    "\xe2\x80\xae",
    "\xe2\x81\xa6", /* U+2066 */
    "\xe2\x81\xa9",
    "\xff",
    "a\xc3",            /* the end of the text in a character */
    "\xc0\xaf",         /* a slash in two bytes */
    "\xe0\x80\xaf",     /* and in three */
    "\xed\xa0\x80",     /* half a pair of UTF-16 */
    "\xf4\x90\x80\x80", /* U+110000 */
    "\xf8\x88\x80\x80\x80",
    N250 "abcdef",
    N250 "012\xe2\x82\xac",
};

static void test_names(void **state) {
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (!set_name_is_valid(names[i]))
            fail_msg("%zu: %s is a name", i, names[i]);
    for (size_t i = 0; i < sizeof(no_names) / sizeof(no_names[0]); i++)
        if (set_name_is_valid(no_names[i]))
            fail_msg("%zu: %s is no name", i, no_names[i]);
}

static void assert_shown(size_t size, const char *text, const char *wanted) {
    char there[64], here[64];
    show_text(there, size, text);
    assert_string_equal(there, wanted);
    assert_true(strlen(there) < size);
    strcpy(here, text);
    show_text(here, size, here);
    assert_string_equal(here, wanted);
}

static void test_text_is_shown(void **state) {
    assert_shown(64, "", "");
    assert_shown(64, "d\xc3\xb6sk", "d\xc3\xb6sk");
    assert_shown(64, "a\x1b[31m\xc2\x9b\xff\n\xe2\x80\xae",
                 "a?[31m????"
                 "???");
    assert_shown(6, "12345", "12345");
    assert_shown(6, "123456", "12...");
    assert_shown(4, "1234", "...");
    /* No character is cut in half. */
    assert_shown(8, "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", "\xe2\x82\xac...");
    assert_shown(9, "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", "\xe2\x82\xac...");
    assert_shown(10, "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac",
                 "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_text_is_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
