/* SPDX-License-Identifier: MIT */
/* Who may ask what: version, roles, and that nobody gets in without a Hello. */
#include "harness.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static Reply *hello_with(struct client *client, uint32_t version, uint64_t features) {
    Fdset__V1__Hello hello = FDSET__V1__HELLO__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    hello.version = version;
    hello.features = features;
    request.body_case = FDSET__V1__REQUEST__BODY_HELLO;
    request.hello = &hello;
    return client_ask(client, &request);
}

static void test_reply(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *vmm = helper_connect_silent(helper, ROLE(VMM));
    Reply *reply = client_hello(vmm, "vm7");
    assert_int_equal(reply->hello->version, 1);
    assert_int_equal(reply->hello->features, 1 << FDSET__V1__FEATURE__FEATURE_LOOK |
                                                 1 << FDSET__V1__FEATURE__FEATURE_ENDPOINTS);
    assert_string_equal(reply->hello->endpoint, "vmm2"); /* the first is from birth */
    assert_int_equal(reply->hello->role, ROLE(VMM));
    assert_true(strlen(reply->hello->helper) > 0);

    Fdset__V1__Limits *limits = reply->hello->limits;
    assert_non_null(limits);
    assert_true(limits->sets > 0);
    assert_true(limits->members > 0);
    assert_true(limits->leases > 0);
    assert_true(limits->leases_per_vmm > 0);
    assert_true(limits->connections > 0);
    assert_true(limits->waiting > 0);
    assert_int_equal(limits->packet_bytes, FDSET_MAX_PACKET_BYTES);
    assert_int_equal(limits->packet_descriptors, FDSET_MAX_DESCRIPTORS);
}

static void test_later_client_gets_our_version(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *client = helper_connect_silent(helper, ROLE(MANAGER));
    Reply *reply = hello_with(client, 4000000000u, UINT64_MAX);
    assert_int_equal(reply->body_case, REPLY(HELLO));
    assert_int_equal(reply->hello->version, 1);
    assert_int_equal(reply->hello->features, 1 << FDSET__V1__FEATURE__FEATURE_LOOK |
                                                 1 << FDSET__V1__FEATURE__FEATURE_CLOSE_ANSWER |
                                                 1 << FDSET__V1__FEATURE__FEATURE_ENDPOINTS);
    assert_int_equal(reply->hello->role, ROLE(MANAGER));
}

static void test_version_zero_is_none(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *client = helper_connect_silent(helper, ROLE(OBSERVER));
    assert_refused(hello_with(client, 0, 0), CODE(PROTOCOL), EPROTO);
    assert_hung_up(client);
}

static void test_request_before_hello(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *client = helper_connect_silent(helper, ROLE(MANAGER));
    struct opened opened = client_open_set(client, 1, O_RDWR);
    assert_int_equal(opened.code, CODE(PROTOCOL));
    assert_hung_up(client);
}

static void test_hello_twice(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *client = helper_connect(helper, ROLE(VMM), "again");
    assert_refused(hello_with(client, 1, 0), CODE(PROTOCOL), EPROTO);
    assert_hung_up(client);
}

static void test_requests_need_not_wait_for_the_reply(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    client_add_one(helper->manager, 1, disk);

    struct client *vmm = helper_connect_silent(helper, ROLE(VMM));
    Fdset__V1__Hello hello = FDSET__V1__HELLO__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    hello.version = 1;
    request.body_case = FDSET__V1__REQUEST__BODY_HELLO;
    request.hello = &hello;
    uint32_t first = client_send(vmm, &request, NULL, 0);
    uint32_t second = client_send_open(vmm, "/dev/fdset/1", O_RDWR);
    assert_int_equal(client_answer(vmm, first)->body_case, REPLY(HELLO));
    assert_serves(client_opened(vmm, second).fd, disk, O_RDWR);
}

/* What each kind of request is called, and how to make the simplest of it. */
enum { OPEN, OPEN_MANY, ADD, REMOVE, QUERY, REQUEST_KINDS };

static Reply *ask_for(struct client *client, int kind, int file, bool allowed) {
    Fdset__V1__Open open = FDSET__V1__OPEN__INIT, *opens[] = {&open};
    Fdset__V1__OpenMany many = FDSET__V1__OPEN_MANY__INIT;
    Fdset__V1__Query query = FDSET__V1__QUERY__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    struct new_member member = {.fd = file};
    struct new_set set = {1, 0, &member, 1};
    char path[] = "/dev/fdset/1";

    open.path = path;
    open.flags = O_RDWR;
    many.opens = opens;
    many.n_opens = 1;
    switch (kind) {
    case ADD:
        /* Where the kernel can, it lets others send no descriptor at all. */
        return client_add(client, &set, allowed);
    case REMOVE:
        return client_remove(client, 1, 0);
    case OPEN:
        request.body_case = FDSET__V1__REQUEST__BODY_OPEN;
        request.open = &open;
        return client_ask(client, &request);
    case OPEN_MANY:
        request.body_case = FDSET__V1__REQUEST__BODY_OPEN_MANY;
        request.open_many = &many;
        return client_ask(client, &request);
    default:
        request.body_case = FDSET__V1__REQUEST__BODY_QUERY;
        request.query = &query;
        return client_ask(client, &request);
    }
}

/* The table of fdset.proto, row by row. */
static void test_roles(void **state) {
    static const struct {
        int kind;
        bool vmm, manager, observer;
    } rows[] = {
        {ADD, false, true, false},  {OPEN, true, false, false},   {OPEN_MANY, true, false, false},
        {QUERY, false, true, true}, {REMOVE, false, true, false},
    };
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    struct client *observer = helper_connect(helper, ROLE(OBSERVER), "watching");
    struct client *clients[] = {helper->vmm, observer, helper->manager};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool allowed[] = {rows[i].vmm, rows[i].observer, rows[i].manager};
        for (int who = 0; who < 3; who++) {
            Reply *reply = ask_for(clients[who], rows[i].kind, disk, allowed[who]);
            if (allowed[who])
                assert_int_not_equal(reply->body_case, REPLY(ERROR));
            else
                assert_refused(reply, CODE(ROLE), EPERM);
        }
    }
}

static void test_close_has_no_reply(void **state) {
    struct helper *helper = helper_start(NULL);
    uint64_t lease = 1;
    client_close_leases(helper->vmm, &lease, 1);
    client_barrier(helper->vmm);
}

static void test_close_by_a_manager(void **state) {
    struct helper *helper = helper_start(NULL);
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
    client_close_leases(helper->manager, &opened.lease, 1);
    /* Whatever it is told, the connection and the lease live on. */
    Reply *reply = client_receive(helper->manager);
    assert_refused(reply, CODE(ROLE), EPERM);
    assert_int_equal(client_totals(helper->manager).leases, 1);
}

static void test_long_name_is_cut(void **state) {
    char name[301];
    struct helper *helper = helper_start(NULL);
    memset(name, 'n', 300);
    name[300] = '\0';
    struct client *vmm = helper_connect(helper, ROLE(VMM), name);
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    client_open_set(vmm, 1, O_RDWR);
    QueryReply *page = client_query(helper->manager, 1, NULL);
    Fdset__V1__LeaseInfo *lease = page->sets[0]->members[0]->leases[0];
    assert_int_equal(strlen(lease->name), 63);
    assert_memory_equal(lease->name, name, 63);
}

static void test_control_characters_in_a_name(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *vmm = helper_connect(helper, ROLE(VMM), "vm\n\x1b[31m1");
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    client_open_set(vmm, 1, O_RDWR);
    QueryReply *page = client_query(helper->manager, 1, NULL);
    for (char *at = page->sets[0]->members[0]->leases[0]->name; *at; at++)
        assert_true((unsigned char)*at >= ' ');
}

/* ------------------------------------------------------------- process ids */

/* What is shown of the process that has set 1 open. */
static int shown_pid(struct helper *helper) {
    return client_query(helper->manager, 1, NULL)->sets[0]->members[0]->leases[0]->pid;
}

static void add_exclusive(struct helper *helper) {
    struct new_member disk = {.fd = file_open("disk", O_RDWR), .sharing = SHARING(EXCLUSIVE)};
    client_add_set(helper->manager, 1, LIFETIME(KEEP), &disk, 1);
}

static void test_the_kernels_word_goes_before_the_peers(void **state) {
    struct helper *helper = helper_start(NULL);
    add_exclusive(helper);
    client_says_pid = 4711;
    struct client *vmm = helper_connect(helper, ROLE(VMM), "by path");
    client_says_pid = 0;
    client_open_set(vmm, 1, O_RDWR);
    assert_int_equal(shown_pid(helper), getpid());
}

/* Of a pair of sockets the kernel only knows who made it: a manager, or a process that
 * has forked since. */
static void check_handed_over(int said, int shown) {
    char number[16];
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    snprintf(number, sizeof(number), "%d", ends[1]);
    struct helper *helper =
        helper_start_with((const char *[]){"--vmm-fd", number, NULL}, (int[]){ends[1], -1});
    close(ends[1]);
    struct client *vmm = client_new(ends[0]);
    client_says_pid = said;
    client_hello(vmm, "handed over");
    client_says_pid = 0;
    add_exclusive(helper);
    client_open_set(vmm, 1, O_RDWR);
    assert_int_equal(shown_pid(helper), shown);
    client_free(vmm);
    client_wait_idle(helper->manager);
    client_remove(helper->manager, 1, 0);
    client_wait_settled(helper->manager);
    helper->descriptors = helper_descriptors(helper); /* without that socket */
}

static void test_a_socket_that_was_handed_over(void **state) {
    check_handed_over(4711, 4711);
}

static void test_a_socket_of_one_that_says_nothing(void **state) {
    check_handed_over(0, getpid());
}

static void test_a_socket_of_one_that_says_nonsense(void **state) {
    check_handed_over(-4711, getpid());
}

/* Whoever connects has to say who it is; a socket that the helper got from who started it may
 * wait until it is used. */
static void test_who_says_nothing_is_hung_up_on(void **state) {
    char number[16];
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    snprintf(number, sizeof(number), "%d", ends[1]);
    struct helper *helper =
        helper_start_with((const char *[]){"--limit", "hello-seconds=1", "--vmm-fd", number, NULL},
                          (int[]){ends[1], -1});
    close(ends[1]);
    struct client *late = client_new(ends[0]);
    struct client *talks = helper_connect(helper, ROLE(MANAGER), "talks");
    for (int role = ROLE(VMM); role <= ROLE(OBSERVER); role++)
        assert_hung_up(helper_connect_silent(helper, role));
    assert_int_equal(client_totals(talks).connections, 4);
    assert_int_equal(client_hello(late, "late")->hello->role, ROLE(VMM));
    client_free(late);
    helper->descriptors--; /* without that socket */
}

/* The kernel has no number for a process outside of the helper's namespace. */
static void check_elsewhere(int said, const char *shown) {
    int ours = harness_keep(open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC));
    if (unshare(CLONE_NEWPID) < 0)
        skip(); /* it takes root */
    struct helper *helper = helper_start(NULL);
    assert_int_equal(setns(ours, CLONE_NEWPID), 0);
    add_exclusive(helper);
    client_says_pid = said;
    struct client *vmm = helper_connect(helper, ROLE(VMM), "elsewhere");
    client_says_pid = 0;
    client_open_set(vmm, 1, O_RDWR);
    assert_int_equal(shown_pid(helper), said);
    struct client *sibling = helper_connect(helper, ROLE(VMM), "sibling");
    struct opened refused = client_open_set(sibling, 1, O_RDWR);
    assert_int_equal(refused.code, CODE(BUSY));
    assert_non_null(strstr(refused.text, shown));
}

static void test_another_pid_namespace(void **state) {
    check_elsewhere(77, "elsewhere (pid 77)");
}

static void test_another_pid_namespace_of_one_that_says_nothing(void **state) {
    check_elsewhere(0, "elsewhere (process id not known)");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_reply),
        helper_test(test_later_client_gets_our_version),
        helper_test(test_version_zero_is_none),
        helper_test(test_request_before_hello),
        helper_test(test_hello_twice),
        helper_test(test_requests_need_not_wait_for_the_reply),
        helper_test(test_roles),
        helper_test(test_close_has_no_reply),
        helper_test(test_close_by_a_manager),
        helper_test(test_long_name_is_cut),
        helper_test(test_control_characters_in_a_name),
        helper_test(test_the_kernels_word_goes_before_the_peers),
        helper_test(test_a_socket_that_was_handed_over),
        helper_test(test_a_socket_of_one_that_says_nothing),
        helper_test(test_a_socket_of_one_that_says_nonsense),
        helper_test(test_who_says_nothing_is_hung_up_on),
        helper_test(test_another_pid_namespace),
        helper_test(test_another_pid_namespace_of_one_that_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
