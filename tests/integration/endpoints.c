/* SPDX-License-Identifier: MIT */
/* Several virtual machines on one helper: sets that are reserved for one of them are not there
 * for the others, and a manage socket that is bound to one sees nothing else. */
#include "events.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DISK "/dev/fdset/1"

/* Beside the harness's own sockets: a VMM's of a name, and a manager's and an observer's that
 * are bound to it. */
static struct helper *start(void) {
    static char vmm[160], manage[160], observe[160];
    snprintf(vmm, sizeof(vmm), "%s,name=vm1", file_path("vm1.sock"));
    snprintf(manage, sizeof(manage), "%s,for=vm1", file_path("vm1-manage.sock"));
    snprintf(observe, sizeof(observe), "%s,for=vm1", file_path("vm1-observe.sock"));
    return helper_start(
        (const char *[]){"--vmm", vmm, "--manage", manage, "--observe", observe, NULL});
}

static struct client *connect_to(struct helper *helper, const char *name, int role) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct client *client = client_new(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    client->next = helper->clients;
    helper->clients = client;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", file_path(name));
    assert_int_equal(connect(client->socket, (struct sockaddr *)&address, sizeof(address)), 0);
    Reply *reply = client_hello(client, name);
    assert_int_equal(reply->hello->role, role);
    assert_string_equal(reply->hello->endpoint, "vm1");
    return client;
}

static Reply *add(struct client *manager, int set, const char *name, const char *reserved, int fd) {
    struct new_member member = {.fd = fd};
    struct new_set new_set = {.set = set,
                              .lifetime = LIFETIME(KEEP),
                              .members = &member,
                              .count = 1,
                              .name = name,
                              .reserved_for = reserved};
    return client_add(manager, &new_set, 1);
}

static void remove_all(struct client *manager) {
    QueryReply *all = client_query(manager, SET_ALL, NULL);
    int sets[16], count = 0;
    for (size_t i = 0; i < all->n_sets; i++)
        sets[count++] = all->sets[i]->set;
    while (count > 0)
        client_remove(manager, sets[--count], 0);
}

/* ---------------------------------------------------------------- reserved sets */

/* Answered as if there were no such set, to the letter. */
static void test_a_reserved_set_is_not_there_for_others(void **state) {
    struct helper *helper = start();
    struct client *vm1 = connect_to(helper, "vm1.sock", ROLE(VMM));
    struct opened none = client_open(helper->vmm, DISK, O_RDWR);
    char text[512];
    snprintf(text, sizeof(text), "%s", none.text);
    assert_int_equal(none.code, CODE(NO_SET));

    int disk = file_open("disk", O_RDWR);
    assert_int_equal(add(helper->manager, 1, "disk0", "vm1", disk)->body_case, REPLY(ADDED));
    struct opened opened = client_open(helper->vmm, DISK, O_RDWR);
    assert_int_equal(opened.code, CODE(NO_SET));
    assert_int_equal(opened.error, ENOENT);
    assert_string_equal(opened.text, text);
    assert_int_equal(client_open(helper->vmm, "/dev/fdset/disk0", O_RDWR).code, CODE(NO_SET));
    assert_refused(client_look(helper->vmm, DISK), CODE(NO_SET), ENOENT);
    assert_refused(client_hold(helper->vmm, DISK), CODE(NO_SET), ENOENT);
    assert_int_equal(client_unhold(helper->vmm, DISK)->body_case, REPLY(DONE));

    assert_serves(client_open(vm1, "/dev/fdset/disk0", O_RDWR).fd, disk, O_RDWR);
    assert_int_equal(client_open(helper->vmm, DISK, O_RDWR).code, CODE(NO_SET));
    assert_int_equal(client_look(vm1, DISK)->body_case, REPLY(LOOKED));
    assert_int_equal(client_hold(vm1, DISK)->body_case, REPLY(DONE));
    client_hang_up(vm1);
    client_wait_idle(helper->manager);
    remove_all(helper->manager);
}

/* Nor does an open that waits for the number get it, though it came first. */
static void test_who_waits_for_a_set_of_anothers_goes_on_waiting(void **state) {
    struct helper *helper = start();
    struct client *vm1 = connect_to(helper, "vm1.sock", ROLE(VMM));
    int reserved = file_open("disk", O_RDWR), all = file_open("log", O_RDWR);
    uint32_t stranger = client_begin_open(helper->vmm, DISK, O_RDWR, WAIT_FOREVER_MS);
    uint32_t own = client_begin_open(vm1, DISK, O_RDWR, WAIT_FOREVER_MS);
    assert_int_equal(add(helper->manager, 1, NULL, "vm1", reserved)->body_case, REPLY(ADDED));
    struct opened opened = client_opened(vm1, own);
    assert_serves(opened.fd, reserved, O_RDWR);
    assert_int_equal(client_totals(helper->manager).waiting, 1);
    client_close(vm1, &opened);
    client_barrier(vm1);
    client_remove(helper->manager, 1, 0);
    client_wait_settled(helper->manager);
    client_add_one(helper->manager, 1, all);
    assert_serves(client_opened(helper->vmm, stranger).fd, all, O_RDWR);
}

static void test_what_a_manager_says_of_it(void **state) {
    struct helper *helper = start();
    int disk = file_open("disk", O_RDWR);
    Reply *refused = add(helper->manager, 1, NULL, "vm 1", disk);
    assert_refused(refused, CODE(ARGUMENT), EINVAL);
    assert_non_null(strstr(refused->error->text, "'vmm', 'vmm2', 'vm1'")); /* that there are */
    assert_int_equal(add(helper->manager, 1, NULL, "vm1", disk)->body_case, REPLY(ADDED));
    assert_string_equal(client_find_set(helper->manager, 1)->reserved_for, "vm1");

    /* It stays so, whatever is added; and another is an error. */
    assert_int_equal(add(helper->manager, 1, NULL, "", disk)->body_case, REPLY(ADDED));
    assert_int_equal(add(helper->manager, 1, NULL, "vm1", disk)->body_case, REPLY(ADDED));
    assert_string_equal(client_find_set(helper->manager, 1)->reserved_for, "vm1");
    assert_refused(add(helper->manager, 1, NULL, "vmm", disk), CODE(ARGUMENT), EINVAL);
    assert_int_equal(add(helper->manager, 2, NULL, "", disk)->body_case, REPLY(ADDED));
    assert_refused(add(helper->manager, 2, NULL, "vm1", disk), CODE(ARGUMENT), EINVAL);
    assert_string_equal(client_find_set(helper->manager, 2)->reserved_for, "");
    remove_all(helper->manager);
}

/* Without the feature, an older helper would put the set there for all. */
static void test_it_has_to_be_agreed_on(void **state) {
    struct helper *helper = start();
    struct client *old = helper_connect_silent(helper, ROLE(MANAGER));
    Fdset__V1__Hello hello = FDSET__V1__HELLO__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    hello.version = 1;
    request.body_case = FDSET__V1__REQUEST__BODY_HELLO;
    request.hello = &hello;
    assert_int_equal(client_ask(old, &request)->hello->features, 0);
    assert_refused(add(old, 1, NULL, "vm1", file_open("disk", O_RDWR)), CODE(ARGUMENT), EINVAL);
}

/* ---------------------------------------------------------- who is told what */

static void test_events_and_listings_name_the_endpoint(void **state) {
    struct helper *helper = start();
    struct subscriber events = subscriber_begin(helper, NULL, ALL_KINDS);
    struct client *vm1 = connect_to(helper, "vm1.sock", ROLE(VMM));
    assert_string_equal(event_expect(&events, EVENT(VMM_CONNECTED))->endpoint, "vm1");
    add(helper->manager, 1, NULL, "vm1", file_open("disk", O_RDWR));
    assert_string_equal(event_expect(&events, EVENT(ADDED))->reserved_for, "vm1");
    assert_int_equal(client_open(vm1, DISK, O_RDWR).code, 0);
    Event *opened = event_expect(&events, EVENT(OPENED));
    assert_string_equal(opened->endpoint, "vm1");
    assert_string_equal(opened->reserved_for, "vm1");
    client_begin_open(vm1, "/dev/fdset/9", O_RDWR, WAIT_FOREVER_MS);
    assert_string_equal(event_expect(&events, EVENT(WANTED))->endpoint, "vm1");

    QueryReply *all = client_query(helper->manager, SET_ALL, NULL);
    assert_string_equal(all->sets[0]->members[0]->leases[0]->endpoint, "vm1");
    assert_string_equal(all->waiting[0]->endpoint, "vm1");
    client_hang_up(vm1);
    client_wait_idle(helper->manager);
    remove_all(helper->manager);
}

static QueryReply *ask_endpoints(struct client *client) {
    Request request = FDSET__V1__REQUEST__INIT;
    Fdset__V1__Query query = FDSET__V1__QUERY__INIT;
    query.endpoints = true;
    request.body_case = FDSET__V1__REQUEST__BODY_QUERY;
    request.query = &query;
    return client_ask(client, &request)->query;
}

static void test_what_each_endpoint_has(void **state) {
    struct helper *helper = start();
    struct client *vm1 = connect_to(helper, "vm1.sock", ROLE(VMM));
    add(helper->manager, 1, NULL, "vm1", file_open("disk", O_RDWR));
    client_open(vm1, DISK, O_RDWR);
    client_hold(vm1, DISK);
    client_begin_open(vm1, "/dev/fdset/9", O_RDWR, WAIT_FOREVER_MS);
    QueryReply *reply = ask_endpoints(helper->manager);
    assert_int_equal(reply->n_endpoints, 3);
    const Fdset__V1__EndpointInfo *info = reply->endpoints[2];
    assert_string_equal(info->name, "vm1");
    assert_int_equal(info->leases, 1);
    assert_int_equal(info->holds, 1);
    assert_int_equal(info->waiting, 1);
    assert_int_equal(info->connections, 1);
    assert_true(info->leases_kept > 0 && info->holds_kept > 0 && info->waiting_kept > 0);
    assert_int_equal(reply->endpoints[1]->connections, 0);
    client_hang_up(vm1);
    client_wait_idle(helper->manager);
    remove_all(helper->manager);
}

/* -------------------------------------------------------------- bound managers */

static void test_a_bound_manager_sees_its_own_sets_only(void **state) {
    struct helper *helper = start();
    struct client *manager = connect_to(helper, "vm1-manage.sock", ROLE(MANAGER));
    struct client *observer = connect_to(helper, "vm1-observe.sock", ROLE(OBSERVER));
    int disk = file_open("disk", O_RDWR), other = file_open("log", O_RDWR);
    add(helper->manager, 1, "all", "", disk);
    add(helper->manager, 2, "theirs", "vmm", other);

    /* What it adds is for its VM. */
    assert_int_equal(add(manager, 3, "own", "", disk)->body_case, REPLY(ADDED));
    assert_int_equal(add(manager, 4, NULL, "vm1", disk)->body_case, REPLY(ADDED));
    assert_string_equal(client_find_set(helper->manager, 3)->reserved_for, "vm1");
    assert_refused(add(manager, 5, NULL, "vmm", disk), CODE(ARGUMENT), EINVAL);

    struct client *looking[] = {manager, observer};
    for (int i = 0; i < 2; i++) {
        QueryReply *seen = client_query(looking[i], SET_ALL, NULL);
        assert_int_equal(seen->n_sets, 2);
        assert_int_equal(seen->sets[0]->set, 3);
        assert_int_equal(seen->totals->sets, 0);
        assert_int_equal(ask_endpoints(looking[i])->n_endpoints, 1);
    }
    Request request = FDSET__V1__REQUEST__INIT;
    Query query = FDSET__V1__QUERY__INIT;
    query.which_case = FDSET__V1__QUERY__WHICH_SET;
    query.set = 1;
    request.body_case = FDSET__V1__REQUEST__BODY_QUERY;
    request.query = &query;
    assert_refused(client_ask(manager, &request), CODE(NO_SET), ENOENT);

    /* What is not its own it can neither remove nor add to, and hears no more of it than that. */
    assert_refused(client_remove(manager, 1, 0), CODE(NO_SET), ENOENT);
    assert_refused(client_remove(manager, 2, 0), CODE(NO_SET), ENOENT);
    assert_refused(add(manager, 1, NULL, "", disk), CODE(NAME), EEXIST);
    Reply *refused = add(manager, SET_NEW, "theirs", "", disk);
    assert_refused(refused, CODE(NAME), EEXIST);
    assert_null(strstr(refused->error->text, "set 2"));
    assert_int_equal(client_remove(manager, 3, 0)->removed->members, 1);
    remove_all(helper->manager);
}

static void test_a_bound_manager_hears_of_its_own_vm_only(void **state) {
    struct helper *helper = start();
    struct client *observer = connect_to(helper, "vm1-observe.sock", ROLE(OBSERVER));
    struct subscriber events = {.client = observer};
    client_subscribe_to(observer, NULL, ALL_KINDS);
    int disk = file_open("disk", O_RDWR);
    add(helper->manager, 1, NULL, "", disk);
    assert_int_equal(client_open(helper->vmm, DISK, O_RDWR).code, 0);
    assert_int_equal(client_open(helper->vmm, "/dev/fdset/9", O_RDWR).code, CODE(NO_SET));
    struct client *vm1 = connect_to(helper, "vm1.sock", ROLE(VMM));
    event_expect(&events, EVENT(VMM_CONNECTED));

    /* Who holds what is not reserved for it is none of its business. */
    assert_int_equal(client_open(vm1, DISK, O_RDWR).code, CODE(BUSY));
    Event *denied = event_expect(&events, EVENT(DENIED));
    assert_int_equal(denied->code, CODE(BUSY));
    assert_null(denied->held_by);
    add(helper->manager, 2, NULL, "vm1", disk);
    assert_int_equal(event_expect(&events, EVENT(ADDED))->set, 2);
    client_hang_up(vm1);
    event_expect(&events, EVENT(VMM_GONE));
    client_hang_up(helper->vmm);
    assert_int_equal(helper_wait(helper), 0);
}

/* ------------------------------------------------------------ the command line */

static char output[4096];

static void expect_wrong(const char *const *arguments, const char *said) {
    assert_int_equal(helper_run(arguments, NULL, output, sizeof(output)), 2);
    if (!strstr(output, said))
        fail_msg("'%s' is not in: %s", said, output);
}

#define ARGUMENTS(...) ((const char *[]){__VA_ARGS__, NULL})

static void test_command_lines_that_make_no_sense(void **state) {
    expect_wrong(ARGUMENTS("--vmm", "a,name=x", "--manage", "m,for=y"),
                 "for=y: no VMM socket is called so, there are 'x': say --vmm PATH,name=y");
    expect_wrong(ARGUMENTS("--manage", "m,for=y"), "there are none");
    expect_wrong(ARGUMENTS("--vmm", "a,name=x,leases=5", "--vmm", "b,name=x,leases=6"),
                 "called 'x' are one VM, which has leases=5 or leases=6");
    expect_wrong(ARGUMENTS("--limit", "leases=10", "--vmm", "a,leases=11"),
                 "needs --limit leases=11");
    expect_wrong(ARGUMENTS("--vmm", "a,leases=1000000", "--vmm", "b,leases=1"),
                 "by leases=N needs 1000001 in all, and there may be 1000000");
    expect_wrong(ARGUMENTS("--vmm", "a/b,c"), "a comma is written twice");
}

/* A comma in a path, sockets that are one VM, and what is given to one by name. */
static void test_one_vm_of_two_sockets(void **state) {
    char first[160], second[160];
    snprintf(first, sizeof(first), "%s,name=vm,,1,leases=2", file_path("a,,b.sock"));
    snprintf(second, sizeof(second), "%s,name=vm,,1", file_path("second.sock"));
    struct helper *helper = helper_start((const char *[]){"--vmm", first, "--vmm", second, NULL});
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct client *clients[2];
    struct new_member member = {.fd = file_open("disk", O_RDWR), .sharing = SHARING(SHARED)};
    client_add_set(helper->manager, 1, LIFETIME(KEEP), &member, 1);
    for (int i = 0; i < 2; i++) {
        clients[i] = client_new(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
        snprintf(address.sun_path, sizeof(address.sun_path), "%s",
                 file_path(i ? "second.sock" : "a,b.sock"));
        assert_int_equal(connect(clients[i]->socket, (struct sockaddr *)&address, sizeof(address)),
                         0);
        assert_string_equal(client_hello(clients[i], "one of two")->hello->endpoint, "vm,1");
        assert_int_equal(client_open(clients[i], DISK, O_RDWR).code, 0);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(client_open(clients[i], DISK, O_RDWR).code, CODE(LIMIT));
    assert_int_equal(client_open(helper->vmm, DISK, O_RDWR).code, 0);
    for (int i = 0; i < 2; i++)
        client_free(clients[i]);
    client_hang_up(helper->vmm);
    assert_int_equal(helper_wait(helper), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_a_reserved_set_is_not_there_for_others),
        helper_test(test_who_waits_for_a_set_of_anothers_goes_on_waiting),
        helper_test(test_what_a_manager_says_of_it),
        helper_test(test_it_has_to_be_agreed_on),
        helper_test(test_events_and_listings_name_the_endpoint),
        helper_test(test_what_each_endpoint_has),
        helper_test(test_a_bound_manager_sees_its_own_sets_only),
        helper_test(test_a_bound_manager_hears_of_its_own_vm_only),
        helper_test(test_command_lines_that_make_no_sense),
        helper_test(test_one_vm_of_two_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
