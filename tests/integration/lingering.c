/* SPDX-License-Identifier: MIT */
/* What a manager sends or leaves takes its time to close: refused descriptors, packets that were
 * never read. Others are served meanwhile. tests/neighbours has what VMMs send. */
#include "harness.h"
#include "linger.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int disk;

static struct helper *start(const char *const *options) {
    struct helper *helper = helper_start(options);
    disk = file_open("disk", O_RDWR);
    client_add_one(helper->manager, 1, disk);
    client_wait_settled(helper->manager);
    return helper;
}

/* A VMM's opens and closes, and another manager's adds and removals. */
static void expect_others_served(struct helper *helper) {
    for (int i = 0; i < 5; i++) {
        struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
        assert_serves(opened.fd, disk, O_RDWR);
        client_close(helper->vmm, &opened);
        client_add_one(helper->manager, 2, disk);
        assert_int_equal(client_remove(helper->manager, 2, 0)->body_case, REPLY(REMOVED));
    }
    linger_expect_all();
}

/* Nothing has come, and nothing will until somebody is let go. */
static void expect_no_answer(struct client *client) {
    struct pollfd state = {.fd = client->socket, .events = POLLIN};
    assert_int_equal(poll(&state, 1, 0), 0);
}

static uint32_t send_query(struct client *client) {
    Fdset__V1__Query query = FDSET__V1__QUERY__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    request.body_case = FDSET__V1__REQUEST__BODY_QUERY;
    request.query = &query;
    return client_send(client, &request, NULL, 0);
}

/* While it stands still nobody can close a copy of what is sent before we have closed ours, and
 * leave the last one to us. */
static void stand_still(struct helper *helper) {
    int status;
    kill(helper->pid, SIGSTOP);
    assert_int_equal(waitpid(helper->pid, &status, WUNTRACED), helper->pid);
}

/* Adds of one set that announce one descriptor and bring as many as there can be, of which the
 * first may linger. */
static uint32_t send_refused(struct helper *helper, struct client *client, int first) {
    Fdset__V1__AddFds add = FDSET__V1__ADD_FDS__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    int fds[FDSET_MAX_DESCRIPTORS];
    int other = first >= 0 ? first : socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    request.body_case = FDSET__V1__REQUEST__BODY_ADD_FDS;
    request.add_fds = &add;
    for (int i = 0; i < FDSET_MAX_DESCRIPTORS; i++)
        fds[i] = other;
    stand_still(helper);
    uint32_t serial = client_send_announcing(client, &request, 1, fds, FDSET_MAX_DESCRIPTORS);
    close(other);
    kill(helper->pid, SIGCONT);
    return serial;
}

/* The helper reads no more of it, as it does not read itself; and has a lingering socket to
 * read, of which there is no other copy. */
static struct client *one_that_does_not_read(struct helper *helper) {
    struct client *client = helper_connect(helper, ROLE(MANAGER), "does not read");
    Fdset__V1__Query query = FDSET__V1__QUERY__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    uint8_t bytes[FDSET_MAX_PACKET_BYTES];
    int fd = linger_socket(), more = 1 << 20;

    request.serial = 3;
    request.body_case = FDSET__V1__REQUEST__BODY_QUERY;
    request.query = &query;
    client_flood(client, bytes, (size_t)packet_encode(&request.base, bytes));
    client_barrier(helper->manager);
    setsockopt(client->socket, SOL_SOCKET, SO_SNDBUF, &more, sizeof(more));
    assert_int_equal(packet_send(client->socket, bytes, 1, &fd, 1, MSG_DONTWAIT), 0);
    close(fd);
    return client;
}

static void test_behind_what_is_never_read(void **state) {
    struct helper *helper = start(NULL);
    uint32_t connections = client_totals(helper->manager).connections;
    client_hang_up(one_that_does_not_read(helper));
    expect_others_served(helper);
    assert_int_equal(client_totals(helper->manager).connections, connections + 1);
    linger_let_all_go();
    wait_until(client_totals(helper->manager).connections == connections);
}

/* What comes with garbage is closed as what comes with a request, and the connection ends. */
static void test_with_garbage(void **state) {
    struct helper *helper = start(NULL);
    struct client *client = helper_connect(helper, ROLE(MANAGER), "garbage");
    int fd = linger_socket();
    stand_still(helper);
    client_send_bytes(client, "\xff", 1, &fd, 1);
    close(fd);
    kill(helper->pid, SIGCONT);
    expect_others_served(helper);
    assert_int_equal(client_receive(client)->error->code, CODE(PROTOCOL));
    assert_hung_up(client);
    linger_let_all_go();
    client_wait_settled(helper->manager);
}

/* Refused descriptors are being closed, as many as may be. Who brings more hears so at once,
 * but is not served before a thread has dropped them; others are. */
static void test_where_there_is_no_room_for_more(void **state) {
    const char *const options[] = {"--limit", "members=4", NULL};
    struct helper *helper = start(options);
    struct client *client = helper_connect(helper, ROLE(MANAGER), "much refused");
    uint32_t first = send_refused(helper, client, linger_socket());
    uint32_t second = send_refused(helper, client, -1);
    uint32_t third = send_refused(helper, client, linger_socket());
    uint32_t query = send_query(client);

    Reply *reply = client_answer(client, third);
    assert_refused(reply, CODE(DESCRIPTORS), EPROTO);
    assert_non_null(strstr(reply->error->text, "ask again"));
    expect_no_answer(client);
    linger_expect_all();
    for (int i = 0; i < 5; i++) {
        struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
        assert_serves(opened.fd, disk, O_RDWR);
        client_close(helper->vmm, &opened);
        client_barrier(helper->manager);
    }
    linger_let_go(1);
    assert_int_equal(client_answer(client, query)->body_case, REPLY(QUERY));
    linger_let_go(0);
    assert_refused(client_answer(client, first), CODE(DESCRIPTORS), EPROTO);
    assert_refused(client_answer(client, second), CODE(DESCRIPTORS), EPROTO);
    client_wait_settled(helper->manager);
}

/* The same of one that hangs up while a thread drops what it has brought. */
static void test_one_that_hangs_up_while_a_packet_is_dropped(void **state) {
    const char *const options[] = {"--limit", "members=4", NULL};
    struct helper *helper = start(options);
    uint32_t connections = client_totals(helper->manager).connections;
    struct client *client = helper_connect(helper, ROLE(MANAGER), "much refused");
    send_refused(helper, client, linger_socket());
    send_refused(helper, client, -1);
    assert_refused(client_answer(client, send_refused(helper, client, linger_socket())),
                   CODE(DESCRIPTORS), EPROTO);
    send_refused(helper, client, linger_socket());
    client_hang_up(client);
    for (int i = 0; i < 5; i++) {
        struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
        assert_serves(opened.fd, disk, O_RDWR);
        client_close(helper->vmm, &opened);
        client_barrier(helper->manager);
    }
    linger_expect_all();
    linger_let_all_go();
    wait_until(client_totals(helper->manager).connections == connections);
    client_wait_settled(helper->manager);
}

/* Its end does not wait for what one peer has left to it, nor do the others wait to hear. */
static void test_at_the_end(void **state) {
    struct helper *helper = start(NULL);
    one_that_does_not_read(helper)->may_end = true;
    for (struct client *client = helper->clients; client; client = client->next)
        client->may_end = true;
    kill(helper->pid, SIGTERM);
    assert_hung_up(helper->vmm);
    assert_hung_up(helper->manager);
    assert_int_equal(helper_wait(helper), 0);
    linger_let_all_go();
}

static int end(void **state) {
    linger_let_all_go();
    return harness_end(state);
}

#define linger_test(function) cmocka_unit_test_setup_teardown(function, harness_begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        linger_test(test_behind_what_is_never_read),
        linger_test(test_with_garbage),
        linger_test(test_where_there_is_no_room_for_more),
        linger_test(test_one_that_hangs_up_while_a_packet_is_dropped),
        linger_test(test_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
