/* SPDX-License-Identifier: MIT */
/* Wrong input for every request: each field left out, out of its range, too long
 * and given twice; each request from the wrong role and at the wrong time. The
 * table in wrong-input-rows.c says what comes of it.
 *
 * It is complete, which is checked against the protocol itself: a request or
 * field that fdset.proto has and the table has no row for fails the test, and so
 * does a row that does not do what it says it does. To add a field is to say here
 * what happens when it is wrong.
 *
 * Given twice, the last one counts, of all fields alike: so it is in protobuf. */
#include "wrong-input.h"
#include "harness.h"
#include "protobuf-text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const aspect_names[] = {"missing", "out of range", "too long", "twice",
                                           "in a wrong state"};

#define V ROLE(VMM)
#define M ROLE(MANAGER)
#define O ROLE(OBSERVER)

/* ------------------------------------------------------------------ one row */

static struct word words[] = {{"MEMBER", 0}, {"LEASE", 0}, {0}};
#define MEMBER_WORD 0
#define LEASE_WORD  1

static void set_up(struct helper *helper) {
    struct new_member disk = {.fd = file_open("disk", O_RDWR), .opaque = "label"};
    struct new_member other = {.fd = file_open("other", O_RDONLY)};
    client_add_new(helper->manager, (struct new_set){1, LIFETIME(KEEP), &disk, 1, "disk"});
    client_add_new(helper->manager, (struct new_set){2, LIFETIME(KEEP), &other, 1});
    words[MEMBER_WORD].value = client_query(helper->manager, 1, NULL)->sets[0]->members[0]->member;
    harness_close(disk.fd);
    harness_close(other.fd);
    harness_close(client_open(helper->vmm, "/dev/fdset/2", O_RDONLY).fd);
}

/* d: the disk; o: another file; s: a socket; p: opened for nothing; D: 253 times
 * the disk. */
static size_t descriptors_of(const char *letters, int *fds) {
    size_t count = 0;
    for (; letters && *letters; letters++) {
        int pair[2];
        switch (*letters) {
        case 's':
            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
            fds[count++] = harness_keep(pair[0]);
            close(pair[1]);
            break;
        case 'p':
            fds[count++] = harness_keep(open(file_path("disk"), O_PATH | O_CLOEXEC));
            break;
        default:
            fds[count++] = file_open(*letters == 'o' ? "other" : "disk", O_RDWR);
        }
        while (*letters == 'D' && count < FDSET_MAX_DESCRIPTORS) {
            fds[count] = fds[0];
            count++;
        }
    }
    return count;
}

/* Sends a text, with serial and descriptors where it has none of its own. */
static void send_text(struct client *client, const char *text, const int *fds, size_t count) {
    static uint8_t bytes[TEXT_MAX_BYTES];
    static char full[1024];
    bool raw = strstr(text, "serial:") || strstr(text, "descriptors:");
    snprintf(full, sizeof(full), "serial: %u descriptors: %zu %s", ++client->serial, count, text);
    size_t length = text_encode(raw ? text : full, &fdset__v1__request__descriptor, words, bytes);
    client_send_bytes(client, bytes, length, fds, count);
}

static const char *ask_text(struct client *client, const char *text) {
    send_text(client, text, NULL, 0);
    Reply *reply = client_receive(client);
    assert_non_null(reply);
    if (reply->body_case == REPLY(ERROR))
        fail_msg("%s: %s", text, reply->error->text);
    return text_decode(&reply->base);
}

static bool is_close(const char *text) {
    return strncmp(text, "close", 5) == 0;
}

static const char *enum_name(const ProtobufCEnumDescriptor *type, int value) {
    const ProtobufCEnumValue *named = protobuf_c_enum_descriptor_get_value(type, value);
    return named ? named->name : "?";
}

static void expect_answer(const struct row *row, Reply *reply) {
    if (!reply)
        fail_msg("hung up on");
    int code = reply->body_case == REPLY(ERROR) ? (int)reply->error->code : 0;
    if (code != row->code)
        fail_msg("%s, not %s: %s", enum_name(&fdset__v1__code__descriptor, code),
                 enum_name(&fdset__v1__code__descriptor, row->code), text_decode(&reply->base));
    if (code)
        assert_refused(reply, row->code, row->error);
    else if (!strstr(text_decode(&reply->base), row->shows))
        fail_msg("\"%s\" is not in: %s", row->shows, text_decode(&reply->base));
}

/* Its packet was no request: it is hung up on. All else is the request's fault,
 * and the connection lives on. */
static void expect_after(const struct row *row, struct client *client) {
    if (row->code == CODE(PROTOCOL))
        assert_hung_up(client);
    else if (row->code && strncmp(row->request, "hello", 5) == 0)
        client_hello(client, "second try");
    else
        client_barrier(client);
}

static struct client *connect_for(struct helper *helper, const struct row *row) {
    bool says_hello = strncmp(row->request, "hello", 5) == 0 && row->aspect != STATE;
    if (says_hello)
        return helper_connect_silent(helper, row->role);
    struct client *client = helper_connect(helper, row->role, "wrong");
    if (strstr(row->request, "LEASE"))
        words[LEASE_WORD].value = client_open(client, DISK, O_RDWR).lease;
    return client;
}

static void ask_row(struct helper *helper, const struct row *row) {
    int fds[FDSET_MAX_DESCRIPTORS];
    struct client *client = connect_for(helper, row);
    size_t count = descriptors_of(row->fds, fds);

    if (row->first)
        ask_text(helper->manager, row->first);
    send_text(client, row->request, fds, count);
    if (!is_close(row->request))
        expect_answer(row, client_receive(client));
    expect_after(row, client);
    if (row->also && is_close(row->also)) {
        send_text(client, row->also, NULL, 0);
        client_barrier(client);
    } else if (row->also) {
        ask_text(client, row->also);
    }
    if (row->then) {
        const char *answer = ask_text(helper->manager, row->then);
        if (!strstr(answer, row->then_shows))
            fail_msg("\"%s\" is not in: %s", row->then_shows, answer);
    }
    client_hang_up(client);
}

/* Each row has a helper of its own: ids and totals are as if it were the first. */
static void test_row(void **state) {
    const struct row *row = *state;
    struct helper *helper = helper_start(NULL);
    set_up(helper);
    ask_row(helper, row);
    /* Whoever else is there is served. */
    wait_until(client_totals(helper->manager).connections == 2);
    client_wait_settled(helper->manager);
    assert_int_equal(client_open_set(helper->vmm, 77, O_RDONLY).code, CODE(NO_SET));
}

/* -------------------------------------------- the wrong role, the wrong time */

static const struct request *find_request(const char *name) {
    for (size_t i = 0; i < request_count; i++)
        if (strcmp(requests[i].name, name) == 0)
            return &requests[i];
    return NULL;
}

static const char *role_letter(int role) {
    return role == V ? "v" : role == M ? "m" : "o";
}

/* Refused, and the connection lives on. That of a Close too, which otherwise has
 * no answer: who sends it does not know what it does. */
static void test_wrong_role(void **state) {
    struct helper *helper = helper_start(NULL);
    set_up(helper);
    for (size_t i = 0; i < request_count; i++)
        for (int role = V; role <= O; role++) {
            struct client *client = helper_connect(helper, role, "wrong role");
            if (strstr(requests[i].roles, role_letter(role)))
                continue;
            print_message("# %s by %s\n", requests[i].name, role_letter(role));
            send_text(client, requests[i].text, NULL, 0);
            assert_refused(client_receive(client), CODE(ROLE), EPERM);
            client_barrier(client);
            client_hang_up(client);
        }
    Totals totals = client_totals(helper->manager);
    assert_int_equal(totals.members, 2);
    assert_int_equal(totals.opens, 1);
    assert_int_equal(totals.holds, 0);
    assert_int_equal(totals.subscribers, 0);
}

/* Before Hello nothing else is said, by whatever role. */
static void test_before_hello(void **state) {
    struct helper *helper = helper_start(NULL);
    set_up(helper);
    for (size_t i = 0; i < request_count; i++)
        for (int role = V; role <= O; role++) {
            struct client *client = helper_connect_silent(helper, role);
            if (strcmp(requests[i].name, "hello") == 0)
                continue;
            print_message("# %s by %s\n", requests[i].name, role_letter(role));
            send_text(client, requests[i].text, NULL, 0);
            assert_refused(client_receive(client), CODE(PROTOCOL), EPROTO);
            assert_hung_up(client);
        }
    assert_int_equal(client_totals(helper->manager).members, 2);
}

/* From who may ask it the same is accepted: nothing else is wrong with it. */
static void test_right_role(void **state) {
    const struct request *request = *state;
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR), role = *request->roles == 'v' ? V : M;
    bool is_hello = strcmp(request->name, "hello") == 0;
    set_up(helper);
    struct client *client =
        is_hello ? helper_connect_silent(helper, role) : helper_connect(helper, role, "right role");
    send_text(client, request->text, &disk, strcmp(request->name, "add_fds") == 0);
    if (!is_close(request->text)) {
        Reply *reply = client_receive(client);
        assert_non_null(reply);
        assert_int_not_equal(reply->body_case, REPLY(ERROR));
    }
    client_barrier(client);
}

/* ------------------------------------------------------------- completeness */

#define MAX_MESSAGES 32

/* Every message that can be in a request. */
struct messages {
    const ProtobufCMessageDescriptor *types[MAX_MESSAGES];
    size_t count;
};

static void collect(struct messages *messages, const ProtobufCMessageDescriptor *type) {
    for (size_t i = 0; i < messages->count; i++)
        if (messages->types[i] == type)
            return;
    assert_true(messages->count < MAX_MESSAGES);
    messages->types[messages->count++] = type;
    for (unsigned i = 0; i < type->n_fields; i++)
        if (type->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
            collect(messages, type->fields[i].descriptor);
}

static bool is_body(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field) {
    return type == &fdset__v1__request__descriptor && field->type == PROTOBUF_C_TYPE_MESSAGE;
}

/* What can be wrong with a field of its type. That a request is missing is that
 * a packet has none: see hostile.c. */
static bool applies(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field,
                    enum aspect aspect) {
    bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;
    bool message = field->type == PROTOBUF_C_TYPE_MESSAGE;

    switch (aspect) {
    case MISSING:
        return !is_body(type, field);
    case RANGE:
        return !message;
    case LONG:
        return repeated || (field->type == PROTOBUF_C_TYPE_STRING);
    case STATE:
        return is_body(type, field);
    default:
        return true;
    }
}

static size_t count_rows(const char *field, enum aspect aspect) {
    size_t count = 0;
    for (size_t i = 0; i < row_count; i++)
        count += strcmp(rows[i].field, field) == 0 && rows[i].aspect == aspect;
    return count;
}

static void test_every_field_has_its_rows(void **state) {
    struct messages messages = {.count = 0};
    int lacking = 0;
    collect(&messages, &fdset__v1__request__descriptor);
    for (size_t i = 0; i < messages.count; i++) {
        const ProtobufCMessageDescriptor *type = messages.types[i];
        for (unsigned j = 0; j < type->n_fields; j++) {
            char field[128];
            snprintf(field, sizeof(field), "%s.%s", type->short_name, type->fields[j].name);
            for (enum aspect aspect = MISSING; aspect < ASPECTS; aspect++)
                if (applies(type, &type->fields[j], aspect) && count_rows(field, aspect) == 0) {
                    print_error("no row in wrong-input-rows.c: %s %s\n", field,
                                aspect_names[aspect]);
                    lacking++;
                }
        }
    }
    assert_int_equal(lacking, 0);
}

static void test_every_request_has_its_roles(void **state) {
    const ProtobufCMessageDescriptor *type = &fdset__v1__request__descriptor;
    size_t bodies = 0;
    for (unsigned i = 0; i < type->n_fields; i++) {
        if (!is_body(type, &type->fields[i]))
            continue;
        bodies++;
        if (!find_request(type->fields[i].name))
            fail_msg("no request in wrong-input-rows.c: %s", type->fields[i].name);
    }
    assert_int_equal(bodies, request_count);
}

static const ProtobufCFieldDescriptor *find_field(const struct messages *messages,
                                                  const char *name) {
    const char *dot = strchr(name, '.');
    assert_non_null(dot);
    for (size_t i = 0; i < messages->count; i++)
        if (strlen(messages->types[i]->short_name) == (size_t)(dot - name) &&
            strncmp(messages->types[i]->short_name, name, (size_t)(dot - name)) == 0)
            return protobuf_c_message_descriptor_get_field_by_name(messages->types[i], dot + 1);
    return NULL;
}

static bool does_it(const struct row *row, const ProtobufCFieldDescriptor *field) {
    struct occurrence occurrence = text_occurrence(field);
    switch (row->aspect) {
    case MISSING:
        return occurrence.fewest == 0;
    case TWICE:
        return occurrence.most >= 2;
    default:
        return occurrence.most >= 1;
    }
}

static void test_every_row_does_what_it_says(void **state) {
    static uint8_t bytes[TEXT_MAX_BYTES];
    struct messages messages = {.count = 0};
    collect(&messages, &fdset__v1__request__descriptor);
    for (size_t i = 0; i < row_count; i++) {
        const ProtobufCFieldDescriptor *field = find_field(&messages, rows[i].field);
        if (!field)
            fail_msg("no field: %s", rows[i].field);
        text_encode(rows[i].request, &fdset__v1__request__descriptor, words, bytes);
        if (!does_it(&rows[i], field))
            fail_msg("not %s %s: %s", rows[i].field, aspect_names[rows[i].aspect], rows[i].request);
        assert_true(rows[i].code || rows[i].shows || is_close(rows[i].request));
    }
}

/* ------------------------------------------------------------------ the tests */

#define MOST_TESTS 512

static struct CMUnitTest tests[MOST_TESTS];

static size_t add_test(size_t count, const char *name, CMUnitTestFunction function,
                       const void *state) {
    assert_true(count < MOST_TESTS);
    tests[count] = (struct CMUnitTest){
        .name = name,
        .test_func = function,
        .setup_func = harness_begin,
        .teardown_func = harness_end,
        .initial_state = (void *)state,
    };
    return count + 1;
}

int main(void) {
    static char names[MOST_TESTS][96];
    size_t count = 0;

    count = add_test(count, "every field has its rows", test_every_field_has_its_rows, NULL);
    count = add_test(count, "every request has its roles", test_every_request_has_its_roles, NULL);
    count = add_test(count, "every row does what it says", test_every_row_does_what_it_says, NULL);
    count = add_test(count, "wrong role", test_wrong_role, NULL);
    count = add_test(count, "before hello", test_before_hello, NULL);
    for (size_t i = 0; i < request_count; i++)
        count = add_test(count, requests[i].text, test_right_role, &requests[i]);
    for (size_t i = 0; i < row_count; i++) {
        snprintf(names[i], sizeof(names[i]), "%s %s, row %zu", rows[i].field,
                 aspect_names[rows[i].aspect], i);
        count = add_test(count, names[i], test_row, &rows[i]);
    }
    return _cmocka_run_group_tests("wrong input", tests, count, NULL, NULL);
}
