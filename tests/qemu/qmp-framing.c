/* SPDX-License-Identifier: MIT */
/* How the relay cuts a stream into messages, and reads them. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"

#include "envelope.h"
#include "framing.h"

/* ----------------------------------------------------------------- framing */

static const char piece_letters[] = "-bMVSLDk";

static void note_pieces(struct framing *framing, struct text *out) {
    struct span span;
    enum piece piece;

    while ((piece = framing_next(framing, &span)) != PIECE_NONE) {
        assert_true(span.length > 0);
        text_append(out, &piece_letters[piece], 1);
        text_append(out, "<", 1);
        text_append_span(out, span);
        text_append(out, ">", 1);
    }
}

static void add(struct framing *framing, const char *bytes, size_t length) {
    char *room = framing_room(framing, length);

    assert_non_null(room);
    memcpy(room, bytes, length);
    framing_add(framing, length);
}

/* The pieces of `input`, which comes in parts of `part` bytes. */
static char *pieces(const char *input, size_t part, bool lines) {
    struct framing framing;
    struct text out = {0};
    size_t length = strlen(input);

    framing_init(&framing, 64, lines);
    for (size_t at = 0; at < length; at += part) {
        add(&framing, input + at, part < length - at ? part : length - at);
        note_pieces(&framing, &out);
    }
    framing_free(&framing);
    text_append(&out, "", 1);
    return out.bytes;
}

static void check_pieces(const char *input, const char *wanted) {
    char *found = pieces(input, 1000, false);
    assert_string_equal(found, wanted);
    free(found);
}

static void messages(void **state) {
    check_pieces("{}", "M<{}>");
    check_pieces("{}{}", "M<{}>M<{}>");
    check_pieces("{} \r\n {}\n\n", "M<{} \r\n>b< >M<{}\n>b<\n>");
    check_pieces("{\"a\": {\"b\": [1, {}]}}\n", "M<{\"a\": {\"b\": [1, {}]}}\n>");
    check_pieces("{\"}\": '}\\'\"', \"\\\"\": 1}", "M<{\"}\": '}\\'\"', \"\\\"\": 1}>");
    check_pieces("{\"\xc3\xa4\": -1.5e+7}", "M<{\"\xc3\xa4\": -1.5e+7}>");
    check_pieces(" ", "b< >");
    check_pieces("{", "");
}

static void values_that_are_no_messages(void **state) {
    check_pieces("[1]", "V<[1]>");
    check_pieces("\"{}\" {}", "V<\"{}\" >M<{}>");
    check_pieces("42", "");
    check_pieces("42 ", "V<42 >");
    check_pieces("foo{}", "V<foo>M<{}>");
    check_pieces("}{}", "V<}>M<{}>");
    check_pieces(",:", "V<,>V<:>");
    check_pieces("[}", "V<[}>");
}

/* One error to QEMU, whatever is wrong inside: counted as QEMU counts. */
static void wrong_inside(void **state) {
    check_pieces("{]", "M<{]>");
    check_pieces("{[}]", "M<{[}]>");
    check_pieces("{[[}}{}", "M<{[[}}>M<{}>");
    check_pieces("{,,:\"a\" \"b\" foo 1 2}", "M<{,,:\"a\" \"b\" foo 1 2}>");
}

static void stray_bytes(void **state) {
    check_pieces("@\n{}", "S<@>b<\n>M<{}>");
    check_pieces("{\"a\": @ foo, {}", "S<{\"a\": @>k< foo>V<, >M<{}>");
    check_pieces("{\"a\nb\"}\n{}", "S<{\"a\n>k<b\">V<}\n>M<{}>");
    check_pieces("\xff{}", "S<\xff>M<{}>");
    check_pieces("01 {}", "S<01>k< >M<{}>");
    check_pieces("-a {}", "S<-a>k< >M<{}>");
    check_pieces("[1.] {}", "S<[1.]>k< >M<{}>");
    check_pieces("[1e+] {}", "S<[1e+]>k< >M<{}>");
    check_pieces("True\n", "S<T>k<rue>b<\n>");
}

static void too_large(void **state) {
    char input[200] = "{\"a\": \"";

    memset(input + strlen(input), 'x', 100);
    strcpy(input + 107, "{}\"} {}");
    for (size_t part = 1; part < 120; part += 7) {
        char *found = pieces(input, part, false);
        assert_ptr_equal(strstr(found, "L<{"), found);
        assert_ptr_equal(strrchr(found, 'M'), found + strlen(found) - 5);
        assert_null(memchr(found, 'S', strlen(found)));
        assert_null(memchr(found, 'V', strlen(found)));
        free(found);
    }
}

static void too_deep(void **state) {
    struct framing framing;
    struct text out = {0};
    char input[4096];
    int count = 0;

    framing_init(&framing, sizeof input, false);
    memset(input, '{', 1030);
    memset(input + 1030, '}', 1030);
    memcpy(input + 2060, "{}", 2);
    add(&framing, input, 2062);
    note_pieces(&framing, &out);
    text_append(&out, "", 1);
    for (char *at = out.bytes; (at = strchr(at, '<')); at++)
        count++;
    assert_int_equal(count, 3);
    assert_int_equal(out.bytes[0], 'D');
    assert_string_equal(out.bytes + strlen(out.bytes) - 5, "M<{}>");
    text_free(&out);
    framing_free(&framing);
}

/* Whatever comes, in whatever parts: every byte comes out once, in order, and
 * the messages are the same. */
static void parts_do_not_matter(void **state) {
    static const char *const inputs[] = {
        "{\"execute\": \"a\"}\r\n{'b': [1,2.5e3,\"\\u0041\"]} 42 foo\n{\"x\": @1}\n{}",
        "01 -a {[[}} [}] \"a\nb\" {\"a\\\"}\": {}} tru e 1e",
        "{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"} {}",
    };

    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        for (size_t part = 1; part < 40; part++) {
            char *found = pieces(inputs[i], part, false);
            const char *from = inputs[i];
            for (const char *at = found; *at; at++)
                if (*at == *from)
                    from++;
            assert_true(strlen(from) <= 2); /* what is not complete */
            free(found);
        }
}

static void lines_are_kept_whole(void **state) {
    char *found = pieces("{}", 1, true);
    assert_string_equal(found, "");
    free(found);
    found = pieces("{}\r\n{\"a\":\r\n1}\r\n{} {}\n", 1, true);
    assert_string_equal(found, "M<{}\r\n>M<{\"a\":\r\n1}\r\n>M<{} >M<{}\n>");
    free(found);
}

static void between_messages(void **state) {
    static const char input[] = "{}\r\n{}\r\n";
    struct framing framing;
    struct text out = {0};

    framing_init(&framing, 64, true);
    assert_true(framing_between(&framing));
    for (size_t i = 0; i < strlen(input); i++) {
        add(&framing, &input[i], 1);
        note_pieces(&framing, &out);
        assert_int_equal(framing_between(&framing), i % 4 == 3);
    }
    text_free(&out);
    framing_free(&framing);
}

/* ---------------------------------------------------------------- envelope */

static bool read_envelope(const char *message, struct envelope *envelope) {
    return envelope_read((struct span){message, strlen(message)}, envelope);
}

static void assert_span(struct span span, const char *wanted) {
    assert_int_equal(span.length, strlen(wanted));
    assert_memory_equal(span.bytes, wanted, span.length);
}

static void members_of_a_command(void **state) {
    struct envelope envelope;

    assert_true(read_envelope(" { 'execute' : \"add-fd\", \"arguments\":{\"a\":[1,{}]} ,"
                              "\"id\" : \"}\\\"\", \"foo\" : 3 } \r\n",
                              &envelope));
    assert_span(envelope.execute, "\"add-fd\"");
    assert_span(envelope.arguments, "{\"a\":[1,{}]}");
    assert_span(envelope.id, "\"}\\\"\"");
    assert_null(envelope.exec_oob.bytes);
    assert_true(read_envelope("{}", &envelope));
    assert_true(read_envelope("{\"id\": 1.50}", &envelope));
    assert_span(envelope.id, "1.50");
}

static void not_well_formed(void **state) {
    static const char *const messages[] = {
        "{]",       "{,}",        "{\"a\"}",           "{\"a\" 1}",  "{1: 2}",
        "{\"a\":}", "{\"a\":1,}", "{\"id\":1,'id':2}", "{\"a\":1 2}"};
    struct envelope envelope;

    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++)
        assert_false(read_envelope(messages[i], &envelope));
}

static void names_in_any_spelling(void **state) {
    assert_true(string_is(SPAN("\"add-fd\""), "add-fd"));
    assert_true(string_is(SPAN("'add-fd'"), "add-fd"));
    assert_true(string_is(SPAN("\"\\u0061dd\\u002dfd\""), "add-fd"));
    assert_false(string_is(SPAN("\"add-fd2\""), "add-fd"));
    assert_false(string_is(SPAN("\"add-f\""), "add-fd"));
    assert_false(string_is(SPAN("add-fd"), "add-fd"));
    assert_false(string_is(SPAN("\"add-f\\u0164\""), "add-fd"));
}

static void normal_json(void **state) {
    struct text text = {0};

    json_normalise(SPAN("{'a\"\\'b\\\\': [1,\r\n\"'\\\"\"]}"), &text);
    assert_span((struct span){text.bytes, text.length}, "{\"a\\\"'b\\\\\": [1,  \"'\\\"\"]}");
    text_free(&text);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        oracle_test(messages),
        oracle_test(values_that_are_no_messages),
        oracle_test(wrong_inside),
        oracle_test(stray_bytes),
        oracle_test(too_large),
        oracle_test(too_deep),
        oracle_test(parts_do_not_matter),
        oracle_test(lines_are_kept_whole),
        oracle_test(between_messages),
        oracle_test(members_of_a_command),
        oracle_test(not_well_formed),
        oracle_test(names_in_any_spelling),
        oracle_test(normal_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
