/* SPDX-License-Identifier: MIT */
/* The end of the helper, played by the test: see fake-helper.h. */
#include "fake-helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct fake fake;
uint64_t fake_features;

static uint8_t bytes[FDSET_MAX_PACKET_BYTES];
static struct packet_arena arena;
static struct packet_descriptors descriptors;

/* ------------------------------------------------------------------ packets */

static bool receive(Request **request) {
    struct packet_info info;
    int error = packet_receive(fake.socket, bytes, &descriptors, 0, &info);

    if (error == -ECONNRESET) /* it has hung up, and had not read all that came before */
        return false;
    assert_int_equal(error, 0);
    if (info.hangup)
        return false;
    assert_false(info.truncated);
    packet_arena_init(&arena);
    *request =
        (Request *)packet_decode(&fdset__v1__request__descriptor, bytes, info.length, &arena);
    assert_non_null(*request);
    assert_int_equal((*request)->descriptors, descriptors.count);
    return true;
}

Request *fake_receive(int body) {
    Request *request;
    if (!receive(&request))
        fail_msg("the library hung up");
    if (body != ANY_REQUEST)
        assert_int_equal(request->body_case, body);
    return request;
}

struct packet_descriptors *fake_descriptors(void) {
    return &descriptors;
}

void fake_receive_hangup(void) {
    Request *request;
    if (receive(&request))
        fail_msg("the library sent a request %d", request->body_case);
}

void fake_send(Reply *reply, uint32_t announced, const int *fds, size_t count) {
    reply->descriptors = announced;
    int length = packet_encode(&reply->base, bytes);
    assert_true(length > 0);
    assert_int_equal(packet_send(fake.socket, bytes, (size_t)length, fds, count, 0), 0);
}

void fake_reply(Reply *reply, const int *fds, size_t count) {
    fake_send(reply, (uint32_t)count, fds, count);
}

void fake_send_bytes(const void *content, size_t length) {
    assert_int_equal(packet_send(fake.socket, content, length, NULL, 0, 0), 0);
}

void fake_opened(uint32_t serial, uint64_t lease, bool truncate, int fd) {
    Reply reply = FDSET__V1__REPLY__INIT;
    Fdset__V1__Opened opened = FDSET__V1__OPENED__INIT;
    reply.serial = serial;
    reply.body_case = REPLY_IS(OPENED);
    reply.opened = &opened;
    opened.lease = lease;
    opened.truncate = truncate;
    fake_reply(&reply, &fd, 1);
}

void fake_error(uint32_t serial, int error, const char *text) {
    Reply reply = FDSET__V1__REPLY__INIT;
    Fdset__V1__Error body = FDSET__V1__ERROR__INIT;
    reply.serial = serial;
    reply.body_case = REPLY_IS(ERROR);
    reply.error = &body;
    body.error_number = error;
    body.text = (char *)text;
    fake_reply(&reply, NULL, 0);
}

void fake_done(uint32_t serial) {
    Reply reply = FDSET__V1__REPLY__INIT;
    Fdset__V1__Done done = FDSET__V1__DONE__INIT;
    reply.serial = serial;
    reply.body_case = REPLY_IS(DONE);
    reply.done = &done;
    fake_reply(&reply, NULL, 0);
}

void fake_hello(uint32_t serial, uint32_t version, Fdset__V1__Role role) {
    Reply reply = FDSET__V1__REPLY__INIT;
    Fdset__V1__HelloReply hello = FDSET__V1__HELLO_REPLY__INIT;
    reply.serial = serial;
    reply.body_case = REPLY_IS(HELLO);
    reply.hello = &hello;
    hello.version = version;
    hello.features = fake_features;
    hello.role = role;
    hello.helper = (char *)"fake";
    fake_reply(&reply, NULL, 0);
}

/* -------------------------------------------------------------------- calls */

static void *finish(struct call *call, int result) {
    call->result = result;
    strncpy(call->text, fdset_error_text(), sizeof(call->text) - 1);
    return NULL;
}

static void start(struct call *call, void *(*run)(void *)) {
    assert_int_equal(pthread_create(&call->thread, NULL, run, call), 0);
}

static void *run_open(void *data) {
    struct call *call = data;
    return finish(call, fdset_open(fake.vmm, call->path, call->flags));
}

void call_open(struct call *call, const char *path, int flags) {
    *call = (struct call){.path = path, .flags = flags};
    start(call, run_open);
}

static void *run_open_many(void *data) {
    struct call *call = data;
    return finish(call, fdset_open_many(fake.vmm, call->requests, call->count));
}

void call_open_many(struct call *call, struct fdset_open_request *requests, size_t count) {
    *call = (struct call){.requests = requests, .count = count};
    start(call, run_open_many);
}

static void *run_close_wait(void *data) {
    struct call *call = data;
    return finish(call, fdset_close_wait(fake.vmm, call->fd));
}

void call_close_wait(struct call *call, int fd) {
    *call = (struct call){.fd = fd};
    start(call, run_close_wait);
}

static void *run_dispatch(void *data) {
    struct call *call = data;
    return finish(call, fdset_vmm_dispatch(fake.vmm, -1));
}

void call_dispatch(struct call *call) {
    *call = (struct call){0};
    start(call, run_dispatch);
}

static void *run_add(void *data) {
    struct call *call = data;
    return finish(call, fdset_add_fds(fake.manager, call->adds, call->count));
}

void call_add(struct call *call, struct fdset_add *adds, size_t count) {
    *call = (struct call){.adds = adds, .count = count};
    start(call, run_add);
}

static void *run_look(void *data) {
    struct call *call = data;
    return finish(call, fdset_look(fake.vmm, call->path, &call->looked));
}

void call_look(struct call *call, const char *path) {
    *call = (struct call){.path = path};
    start(call, run_look);
}

static void *run_remove(void *data) {
    struct call *call = data;
    return finish(call, fdset_remove(fake.manager, call->set, call->member));
}

void call_remove(struct call *call, int set, uint32_t member) {
    *call = (struct call){.set = set, .member = member};
    start(call, run_remove);
}

static void *run_query(void *data) {
    struct call *call = data;
    return finish(call, fdset_query(fake.manager, call->set, &call->listing));
}

void call_query(struct call *call, int set) {
    *call = (struct call){.set = set};
    start(call, run_query);
}

static void *run_attach_vmm(void *data) {
    struct call *call = data;
    return finish(call, fdset_vmm_attach_fd(&fake.vmm, call->socket, "a name"));
}

static void *run_attach_manager(void *data) {
    struct call *call = data;
    return finish(call, fdset_manager_attach_fd(&fake.manager, call->socket, "a name"));
}

static void attach(struct call *call, void *(*run)(void *)) {
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    fake = (struct fake){.socket = ends[0]};
    *call = (struct call){.socket = ends[1]};
    start(call, run);
}

void call_attach_vmm(struct call *call) {
    attach(call, run_attach_vmm);
}

void call_attach_manager(struct call *call) {
    attach(call, run_attach_manager);
}

int call_end(struct call *call) {
    assert_int_equal(pthread_join(call->thread, NULL), 0);
    return call->result;
}

/* -------------------------------------------------------- beginning and end */

static void begin(struct call *call, Fdset__V1__Role role) {
    Request *request = fake_receive(REQUEST_IS(HELLO));
    assert_int_equal(request->hello->version, 1);
    assert_string_equal(request->hello->name, "a name");
    assert_int_equal(request->hello->pid, getpid());
    assert_int_not_equal(request->serial, 0);
    fake_hello(request->serial, 1, role);
    assert_int_equal(call_end(call), 0);
}

void fake_begin_vmm(void) {
    struct call call;
    call_attach_vmm(&call);
    begin(&call, ROLE(VMM));
}

void fake_begin_manager(void) {
    struct call call;
    call_attach_manager(&call);
    begin(&call, ROLE(MANAGER));
}

void fake_die(void) {
    close(fake.socket);
    fake.socket = -1;
}

void fake_end(void) {
    fdset_vmm_free(fake.vmm);
    fdset_manager_free(fake.manager);
    if (fake.socket >= 0) {
        fake_receive_hangup();
        fake_die();
    }
}

/* -------------------------------------------------------------- short forms */

int null_open(int flags) {
    int fd = open("/dev/null", flags | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

int open_lease(uint64_t lease) {
    struct call call;
    int null = null_open(O_RDWR);
    call_open(&call, "/dev/fdset/1", O_RDWR | O_CLOEXEC);
    fake_opened(fake_receive(REQUEST_IS(OPEN))->serial, lease, false, null);
    int fd = call_end(&call);
    close(null); /* not before: its number must not be the one that is given */
    assert_true(fd >= 0);
    return fd;
}

void expect_close(uint64_t lease) {
    Request *request = fake_receive(REQUEST_IS(CLOSE));
    assert_int_equal(request->close->n_leases, 1);
    assert_int_equal(request->close->leases[0], lease);
}

bool is_open(int fd) {
    return fcntl(fd, F_GETFD) >= 0;
}

bool poll_says(int fd) {
    struct pollfd pollfd = {fd, POLLIN, 0};
    assert_true(poll(&pollfd, 1, 0) >= 0);
    return pollfd.revents;
}

void poll_for_ever(int fd) {
    struct pollfd pollfd = {fd, POLLIN, 0};
    assert_int_equal(poll(&pollfd, 1, -1), 1);
}

static struct rlimit normal_limit;

void leave_room_for(unsigned count) {
    int lowest_free = dup(fake.socket);
    close(lowest_free);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &normal_limit), 0);
    struct rlimit low = {(rlim_t)lowest_free + count, normal_limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
}

void make_room(void) {
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &normal_limit), 0);
}
