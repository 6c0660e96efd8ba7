/* SPDX-License-Identifier: MIT */
/* The scripted session, step by step: see session.h. */
#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_HELD 16

static int disk, disk_for_reading, other_disk, space, null, unlinked, memory;

bool session_locks_may_stay;

static struct {
    struct client *manager, *vmm, *second, *observer;
    int held[MAX_HELD];
    int held_count;
    uint64_t sequence; /* of the last event, 0 before the first */
    int gone;          /* VMMs, as was heard */
    struct outcome outcome;
} now;

void session_prepare(void) {
    char removed[128];

    disk = file_open("disk", O_RDWR);
    disk_for_reading = file_open("disk", O_RDONLY);
    other_disk = file_open("other", O_RDWR);
    unlinked = file_open("removed", O_RDWR);
    snprintf(removed, sizeof(removed), "%s", file_path("removed"));
    assert_int_equal(unlink(removed), 0);
    null = harness_keep(open("/dev/null", O_RDWR | O_CLOEXEC));
    memory = harness_keep(memfd_create("memory", MFD_CLOEXEC));
    /* Of a file system that the helper does not know: all is done on a thread. */
    space = harness_keep(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
}

/* ------------------------------------------------------------- what went wrong */

static bool ended(const char *step) {
    now.outcome.fate = FATE_ENDED;
    now.outcome.step = step;
    return false;
}

static bool refused(const char *step, const Fdset__V1__Error *error) {
    now.outcome.fate = FATE_REFUSED;
    now.outcome.step = step;
    snprintf(now.outcome.text, sizeof(now.outcome.text), "%d: %s", (int)error->code, error->text);
    return false;
}

/* Nothing that is told is lost, told twice or late. */
static void hear(const Fdset__V1__Events *events) {
    assert_int_equal(events->lost, 0);
    for (size_t i = 0; i < events->n_events; i++) {
        const Event *event = events->events[i];
        if (now.sequence > 0)
            assert_int_equal(event->sequence, now.sequence + 1);
        now.sequence = event->sequence;
        now.gone += (int)event->kind == EVENT(VMM_GONE);
    }
}

/* The next that is no event, or NULL where the helper has hung up. */
static Reply *receive(struct client *client) {
    for (;;) {
        Reply *reply = client_receive(client);
        if (!reply || reply->body_case != REPLY(EVENTS))
            return reply;
        assert_ptr_equal(client, now.observer);
        hear(reply->events);
    }
}

/* The reply must be the one to `serial`, and of this kind. */
static bool expect(const char *step, struct client *client, uint32_t serial, int body) {
    Reply *reply = receive(client);
    if (!reply)
        return ended(step);
    if (reply->serial == 0 && reply->body_case == REPLY(ERROR))
        return ended(step); /* before it was read */
    if (reply->serial != serial)
        fail_msg("%s: reply %u instead of %u", step, reply->serial, serial);
    if ((int)reply->body_case == REPLY(ERROR))
        return refused(step, reply->error);
    if ((int)reply->body_case != body)
        fail_msg("%s: a reply of kind %d", step, (int)reply->body_case);
    return true;
}

/* The reply must be this refusal. */
static bool expect_refusal(const char *step, struct client *client, uint32_t serial, int code) {
    Reply *reply = receive(client);
    if (!reply)
        return ended(step);
    assert_int_equal(reply->serial, serial);
    if (reply->body_case != REPLY(ERROR))
        fail_msg("%s: was not refused", step);
    return (int)reply->error->code == code || refused(step, reply->error);
}

/* -------------------------------------------------------------------- requests */

static bool say_hello(const char *step, struct client *client, const char *owner) {
    Fdset__V1__Hello hello = FDSET__V1__HELLO__INIT;
    Request request = FDSET__V1__REQUEST__INIT;

    hello.version = 1;
    hello.features = UINT64_C(1) << FDSET__V1__FEATURE__FEATURE_LOOK;
    hello.name = (char *)step;
    hello.owner = (char *)owner;
    request.body_case = FDSET__V1__REQUEST__BODY_HELLO;
    request.hello = &hello;
    return expect(step, client, client_send(client, &request, NULL, 0), REPLY(HELLO));
}

static bool connect_as(struct client **client, struct helper *helper, int role, const char *name) {
    *client = helper_connect_silent(helper, role);
    (*client)->may_end = true;
    return say_hello(name, *client, role == ROLE(MANAGER) ? "session" : "");
}

static bool add(const char *step, const struct new_set *sets, size_t count) {
    return expect(step, now.manager, client_send_add(now.manager, sets, count), REPLY(ADDED));
}

static bool remove_set(const char *step, int set) {
    Fdset__V1__RemoveFd remove = FDSET__V1__REMOVE_FD__INIT;
    Request request = FDSET__V1__REQUEST__INIT;

    remove.set = set;
    request.body_case = FDSET__V1__REQUEST__BODY_REMOVE_FD;
    request.remove_fd = &remove;
    return expect(step, now.manager, client_send(now.manager, &request, NULL, 0), REPLY(REMOVED));
}

static bool hold(const char *step, const char *path, bool begin) {
    Fdset__V1__Hold hold = FDSET__V1__HOLD__INIT;
    Fdset__V1__Unhold unhold = FDSET__V1__UNHOLD__INIT;
    Request request = FDSET__V1__REQUEST__INIT;

    hold.path = unhold.path = (char *)path;
    request.body_case = begin ? FDSET__V1__REQUEST__BODY_HOLD : FDSET__V1__REQUEST__BODY_UNHOLD;
    if (begin)
        request.hold = &hold;
    else
        request.unhold = &unhold;
    return expect(step, now.vmm, client_send(now.vmm, &request, NULL, 0), REPLY(DONE));
}

static bool look(const char *step, const char *path) {
    Fdset__V1__Look look = FDSET__V1__LOOK__INIT;
    Request request = FDSET__V1__REQUEST__INIT;

    look.path = (char *)path;
    request.body_case = FDSET__V1__REQUEST__BODY_LOOK;
    request.look = &look;
    return expect(step, now.vmm, client_send(now.vmm, &request, NULL, 0), REPLY(LOOKED));
}

static bool ask_query(const char *step, struct client *client) {
    Fdset__V1__Query query = FDSET__V1__QUERY__INIT;
    Request request = FDSET__V1__REQUEST__INIT;

    request.body_case = FDSET__V1__REQUEST__BODY_QUERY;
    request.query = &query;
    return expect(step, client, client_send(client, &request, NULL, 0), REPLY(QUERY));
}

/* What came is of this file and has these flags. Held until the session's end. */
static int take(struct client *client, size_t index, int original, int flags) {
    int fd = packet_descriptors_take(&client->descriptors, index);
    assert_true(now.held_count < MAX_HELD);
    now.held[now.held_count++] = fd;
    struct stat got, wanted;
    assert_int_equal(fstat(fd, &got), 0);
    assert_int_equal(fstat(original, &wanted), 0);
    assert_int_equal(got.st_dev, wanted.st_dev);
    assert_int_equal(got.st_ino, wanted.st_ino);
    assert_int_equal(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK | O_APPEND), flags);
    return fd;
}

/* The outcome of an open: the lease, or 0. */
static uint32_t opened(const char *step, struct client *client, uint32_t serial, int original,
                       int flags) {
    Reply *reply = receive(client);
    if (!reply)
        return ended(step);
    assert_int_equal(reply->serial, serial);
    if (reply->body_case == REPLY(ERROR))
        return refused(step, reply->error);
    assert_int_equal(reply->body_case, REPLY(OPENED));
    uint64_t lease = reply->opened->lease;
    take(client, 0, original, flags);
    return lease;
}

static uint32_t open_one(const char *step, struct client *client, const char *path, int original,
                         int flags) {
    return opened(step, client, client_send_open(client, path, flags), original, flags);
}

/* One-way: whether it came shows with what follows. */
static void close_one(struct client *client, uint64_t lease) {
    client_close_leases(client, &lease, 1);
}

static int lock(int fd, int type, off_t byte) {
    struct flock lock = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? errno : 0;
}

static void held_close(void) {
    while (now.held_count > 0)
        close(now.held[--now.held_count]);
}

/* ----------------------------------------------------------------- the script */

static bool connect_all(struct helper *helper) {
    Fdset__V1__Subscribe subscribe = FDSET__V1__SUBSCRIBE__INIT;
    Request request = FDSET__V1__REQUEST__INIT;

    subscribe.all = true;
    request.body_case = FDSET__V1__REQUEST__BODY_SUBSCRIBE;
    request.subscribe = &subscribe;
    return connect_as(&now.observer, helper, ROLE(OBSERVER), "the observer's hello") &&
           expect("subscribe", now.observer, client_send(now.observer, &request, NULL, 0),
                  REPLY(DONE)) &&
           connect_as(&now.manager, helper, ROLE(MANAGER), "the manager's hello") &&
           connect_as(&now.vmm, helper, ROLE(VMM), "the VMM's hello") &&
           connect_as(&now.second, helper, ROLE(VMM), "the second VMM's hello");
}

static bool add_sets(void) {
    const struct new_member disks[] = {{.fd = disk, .opaque = "for writing"},
                                       {.fd = disk_for_reading}};
    const struct new_member spaces[] = {{.fd = space}}, nulls[] = {{.fd = null}},
                            files[] = {{.fd = unlinked}}, memories[] = {{.fd = memory}};
    const struct new_set sets[] = {
        {1, LIFETIME(KEEP), disks, 2},
        {2, LIFETIME(CONNECTION), spaces, 1},
        {3, LIFETIME(IDLE), nulls, 1, .idle_ms = NEVER_MS},
        {4, LIFETIME(ONCE), files, 1, .name = "named"},
    };
    const struct new_set last = {5, LIFETIME(CONNECTION), memories, 1, .grace_ms = 1};
    const struct new_set wrong = {1, LIFETIME(UNSPECIFIED), nulls, 1};

    return add("add four sets", sets, 4) && add("add one set", &last, 1) &&
           expect_refusal("add another file", now.manager, client_send_add(now.manager, &wrong, 1),
                          CODE(OTHER_FILE));
}

/* Locks and flags that one leaves behind are gone for the next. */
static bool open_and_reopen(void) {
    uint32_t first = open_one("open", now.vmm, "/dev/fdset/1", disk, O_RDWR | O_NONBLOCK);
    if (!first)
        return false;
    assert_int_equal(lock(now.held[now.held_count - 1], F_WRLCK, 100), 0);
    uint32_t serial = client_send_open(now.second, "/dev/fdset/1", O_RDWR);
    if (!expect_refusal("open what another has", now.second, serial, CODE(BUSY)))
        return false;
    serial = client_send_patient_open(now.second, "/dev/fdset/1", O_RDWR, WAIT_FOREVER_MS);
    held_close();
    close_one(now.vmm, first);
    uint32_t next = opened("open that waits for a close", now.second, serial, disk, O_RDWR);
    if (!next)
        return false;
    uint32_t reading = open_one("open to read", now.vmm, "/dev/fdset/1", disk, O_RDONLY);
    if (!reading)
        return false;
    int error = lock(now.held[now.held_count - 1], F_RDLCK, 100);
    if (error && !session_locks_may_stay)
        fail_msg("the first one's lock is still there: %s", strerror(error));
    close_one(now.second, next);
    close_one(now.vmm, reading);
    held_close();
    return true;
}

static bool open_many(void) {
    Fdset__V1__Open open[3], *pointers[] = {&open[0], &open[1], &open[2]};
    Fdset__V1__OpenMany many = FDSET__V1__OPEN_MANY__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    static char *const paths[] = {(char *)"/dev/fdset/2", (char *)"/dev/fdset/3",
                                  (char *)"/dev/fdset/named"};
    const int flags[] = {O_RDONLY | O_NONBLOCK, O_RDWR, O_RDWR | O_APPEND};
    const int originals[] = {space, null, unlinked};

    for (int i = 0; i < 3; i++) {
        fdset__v1__open__init(&open[i]);
        open[i].path = paths[i];
        open[i].flags = (uint32_t)flags[i];
    }
    many.opens = pointers;
    many.n_opens = 3;
    request.body_case = FDSET__V1__REQUEST__BODY_OPEN_MANY;
    request.open_many = &many;
    uint32_t serial = client_send(now.vmm, &request, NULL, 0);
    Reply *reply = client_receive(now.vmm);
    if (!reply)
        return ended("open many");
    assert_int_equal(reply->serial, serial);
    assert_int_equal(reply->body_case, REPLY(OPENED_MANY));
    size_t taken = 0;
    for (size_t i = 0; i < 3; i++) {
        Fdset__V1__OpenedMany__Result *result = reply->opened_many->results[i];
        if (result->outcome_case == FDSET__V1__OPENED_MANY__RESULT__OUTCOME_ERROR)
            return refused("open many", result->error);
        take(now.vmm, taken++, originals[i], flags[i]);
    }
    uint64_t leases[] = {reply->opened_many->results[0]->opened->lease,
                         reply->opened_many->results[1]->opened->lease};
    held_close();
    client_close_leases(now.vmm, leases, 2);
    return true; /* the third goes with the connection */
}

/* Asked again at once: it has to be settled first. */
static bool reopen_on_a_thread(void) {
    for (int i = 0; i < 2; i++) {
        uint64_t lease = open_one("reopen", now.vmm, "/dev/fdset/2", space, O_RDONLY);
        if (!lease)
            return false;
        held_close();
        close_one(now.vmm, lease);
    }
    return true;
}

/* Its time is over: nobody asks then, and nobody else comes. */
static bool wait_in_vain(void) {
    uint32_t serial = client_send_patient_open(now.second, "/dev/fdset/77", O_RDWR, 1);
    return expect_refusal("open that waits in vain", now.second, serial, CODE(NO_SET));
}

static bool wait_hold_and_replace(void) {
    const struct new_member reading[] = {{.fd = disk_for_reading}}, others[] = {{.fd = other_disk}};
    const struct new_set sixth = {6, LIFETIME(CONNECTION), reading, 1};
    const struct new_set replacing = {5, LIFETIME(UNSPECIFIED), others, 1, .replace = true};
    uint32_t serial =
        client_send_patient_open(now.second, "/dev/fdset/6", O_RDONLY, WAIT_FOREVER_MS);

    if (!add("add what is waited for", &sixth, 1) ||
        !opened("open that waits for an add", now.second, serial, disk, O_RDONLY) ||
        !look("look", "/dev/fdset/3") || !hold("hold", "/dev/fdset/3", true) ||
        !open_one("open", now.vmm, "/dev/fdset/5", memory, O_RDWR))
        return false;
    return add("replace", &replacing, 1) &&
           open_one("open the new one", now.vmm, "/dev/fdset/5", other_disk, O_RDWR) &&
           hold("unhold", "/dev/fdset/3", false) && remove_set("remove", 2) &&
           ask_query("the manager's query", now.manager) &&
           ask_query("the observer's query", now.observer);
}

/* Half of what the VMMs have is closed by hanging up. */
static bool hang_up_and_hear(void) {
    client_hang_up(now.manager);
    client_hang_up(now.vmm);
    client_hang_up(now.second);
    while (now.gone < 2) {
        Reply *reply = client_receive(now.observer);
        if (!reply)
            return ended("hear of all");
        assert_int_equal(reply->body_case, REPLY(EVENTS));
        hear(reply->events);
    }
    return true;
}

static bool run_script(struct helper *helper, void (*connected)(struct helper *helper)) {
    if (!connect_all(helper))
        return false;
    if (connected)
        connected(helper);
    return add_sets() && open_and_reopen() && open_many() && reopen_on_a_thread() &&
           wait_in_vain() && wait_hold_and_replace() && hang_up_and_hear();
}

struct outcome session_run(struct helper *helper, void (*connected)(struct helper *helper)) {
    struct client *const others[] = {helper->manager, helper->vmm};

    memset(&now, 0, sizeof(now));
    run_script(helper, connected);
    held_close();
    for (struct client **link = &helper->clients; *link;) {
        struct client *client = *link;
        if (client == others[0] || client == others[1]) {
            link = &client->next;
            continue;
        }
        *link = client->next;
        client_free(client);
    }
    return now.outcome;
}

static void remove_sets(struct client *manager) {
    QueryReply *page;

    while ((page = client_query(manager, SET_ALL, NULL))->n_sets > 0)
        client_remove(manager, page->sets[0]->set, 0);
}

void session_clean(struct helper *helper) {
    Totals totals;

    wait_until(client_totals(helper->manager).connections == 2);
    remove_sets(helper->manager);
    do
        totals = client_totals(helper->manager);
    while (totals.members + totals.settling > 0);
    assert_int_equal(totals.sets + totals.leases + totals.waiting + totals.holds, 0);
    assert_int_equal(totals.subscribers, 0);
    assert_int_equal(helper_descriptors(helper), helper->descriptors);
}

void session_unlock(void) {
    assert_int_equal(lock(disk, F_UNLCK, 100), 0);
    assert_int_equal(lock(disk_for_reading, F_UNLCK, 100), 0);
}

void session_expect_served(struct helper *helper) {
    client_add_one(helper->manager, 1, disk);
    for (int i = 0; i < 2; i++) {
        struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
        assert_serves(opened.fd, disk, O_RDWR);
        client_close(helper->vmm, &opened);
    }
    client_barrier(helper->vmm);
    session_clean(helper);
}
