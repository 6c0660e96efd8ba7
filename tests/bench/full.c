/* SPDX-License-Identifier: MIT */
/* Makes each kind of request at a helper in which others have much or nothing, for check-budget:
 *
 *     bench-full full|empty
 *
 * Prints a line for each kind, with how often it is made. What is counted of it lies between two
 * marks, each an Unhold of no set. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fdset.pb-c.h"
#include "packet.h"

#define TIMES 20

/* Set 1 is large if the tables are full, set 2 is shared by all, set 3 fills a page of Query. */
#define LARGE       1
#define SHARED      2
#define PAGE        3
#define PAGE_SIZE   200
#define COMING      4
#define OTHER_SETS  500
#define MOST_WAITS  256
#define MOST_LEASES 16384
#define MOST_PEERS  64

typedef Fdset__V1__Request Request;
typedef Fdset__V1__Reply Reply;

static char directory[] = "/tmp/fdset-full-XXXXXX";
static pid_t helper;
static bool full;

/* ------------------------------------------------------------------ packets */

static uint8_t bytes[FDSET_MAX_PACKET_BYTES];
static struct packet_descriptors received;

static void send_request(int socket, Request *request, const int *fds, uint32_t count) {
    static uint32_t serial;

    if (request->body_case != FDSET__V1__REQUEST__BODY_CLOSE)
        request->serial = ++serial;
    request->descriptors = count;
    int length = packet_encode(&request->base, bytes);
    if (length < 0 || packet_send(socket, bytes, (size_t)length, fds, count, 0) < 0)
        err(1, "send");
}

/* NULL: the helper has hung up. */
static Reply *receive(int socket) {
    static struct packet_arena arena;
    struct packet_info info;

    if (packet_receive(socket, bytes, &received, 0, &info) < 0 || info.hangup)
        return NULL;
    packet_descriptors_close(&received);
    packet_arena_init(&arena);
    return (Reply *)packet_decode(&fdset__v1__reply__descriptor, bytes, info.length, &arena);
}

static Reply *ask(int socket, Request *request, const int *fds, uint32_t count) {
    send_request(socket, request, fds, count);
    Reply *reply = receive(socket);
    if (!reply)
        errx(1, "the helper has hung up");
    return reply;
}

#define REQUEST(kind, name, message)                                      \
    {                                                                     \
        .base = PROTOBUF_C_MESSAGE_INIT(&fdset__v1__request__descriptor), \
        .body_case = FDSET__V1__REQUEST__BODY_##kind, .name = (message)   \
    }

/* ------------------------------------------------------------------ the peers */

/* -1 where the helper has no room for one more. */
static int join(const char *where, const char *owner) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int end = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    Fdset__V1__Hello hello = FDSET__V1__HELLO__INIT;

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", directory, where);
    if (connect(end, (struct sockaddr *)&address, sizeof(address)) < 0)
        err(1, "%s", address.sun_path);
    hello.version = 1;
    hello.features = 1 << FDSET__V1__FEATURE__FEATURE_LOOK;
    hello.name = (char *)"bench";
    hello.owner = (char *)owner;
    Request request = REQUEST(HELLO, hello, &hello);
    send_request(end, &request, NULL, 0);
    const Reply *reply = receive(end);
    if (reply && reply->body_case == FDSET__V1__REPLY__BODY_HELLO)
        return end;
    close(end);
    return -1;
}

static int join_surely(const char *where) {
    int end = join(where, "");

    if (end < 0)
        errx(1, "no room at %s", where);
    return end;
}

static const char *path_of(int set) {
    static char path[32];

    snprintf(path, sizeof(path), "/dev/fdset/%d", set);
    return path;
}

static uint64_t open_one(int vmm, int set, int flags) {
    Fdset__V1__Open open = FDSET__V1__OPEN__INIT;

    open.path = (char *)path_of(set);
    open.flags = (uint32_t)flags;
    Request request = REQUEST(OPEN, open, &open);
    const Reply *reply = ask(vmm, &request, NULL, 0);
    return reply->body_case == FDSET__V1__REPLY__BODY_OPENED ? reply->opened->lease : 0;
}

static void close_one(int vmm, uint64_t lease) {
    Fdset__V1__Close closing = FDSET__V1__CLOSE__INIT;

    closing.leases = &lease;
    closing.n_leases = 1;
    Request request = REQUEST(CLOSE, close, &closing);
    send_request(vmm, &request, NULL, 0);
}

/* Returns how many it has got; `leases` is theirs. */
static size_t open_many(int vmm, int set, size_t count, uint64_t *leases) {
    static Fdset__V1__Open open;
    Fdset__V1__Open *opens[FDSET_MAX_OPENS];
    Fdset__V1__OpenMany many = FDSET__V1__OPEN_MANY__INIT;
    size_t got = 0;

    fdset__v1__open__init(&open);
    open.path = (char *)path_of(set);
    open.flags = O_RDWR;
    for (size_t i = 0; i < count; i++)
        opens[i] = &open;
    many.opens = opens;
    many.n_opens = count;
    Request request = REQUEST(OPEN_MANY, open_many, &many);
    const Reply *reply = ask(vmm, &request, NULL, 0);
    for (size_t i = 0; i < count; i++) {
        const Fdset__V1__OpenedMany__Result *result = reply->opened_many->results[i];
        if (result->outcome_case == FDSET__V1__OPENED_MANY__RESULT__OUTCOME_OPENED)
            leases[got++] = result->opened->lease;
    }
    return got;
}

static void wait_for(int vmm, const char *path, int flags) {
    Fdset__V1__Open open = FDSET__V1__OPEN__INIT;

    open.path = (char *)path;
    open.flags = (uint32_t)flags;
    open.wait_ms = 3600000;
    Request request = REQUEST(OPEN, open, &open);
    send_request(vmm, &request, NULL, 0);
}

/* Returns the last one's id. */
static uint32_t add(int manager, int set, size_t count, bool shared) {
    static Fdset__V1__NewMember member;
    Fdset__V1__NewMember *members[FDSET_MAX_DESCRIPTORS];
    Fdset__V1__NewMembers adding = FDSET__V1__NEW_MEMBERS__INIT, *sets[] = {&adding};
    Fdset__V1__AddFds all = FDSET__V1__ADD_FDS__INIT;
    static int disk = -1;
    int fds[FDSET_MAX_DESCRIPTORS];

    if (disk < 0)
        disk = memfd_create("disk", MFD_CLOEXEC);
    fdset__v1__new_member__init(&member);
    member.label_case = FDSET__V1__NEW_MEMBER__LABEL_OPAQUE;
    member.opaque = (char *)"a label";
    member.sharing = shared ? FDSET__V1__SHARING__SHARING_SHARED : 0;
    for (size_t i = 0; i < count; i++) {
        members[i] = &member;
        fds[i] = disk;
    }
    adding.which_case = FDSET__V1__NEW_MEMBERS__WHICH_SET;
    adding.set = set;
    adding.lifetime = FDSET__V1__LIFETIME__LIFETIME_KEEP;
    adding.members = members;
    adding.n_members = count;
    all.sets = sets;
    all.n_sets = 1;
    Request request = REQUEST(ADD_FDS, add_fds, &all);
    const Reply *reply = ask(manager, &request, fds, (uint32_t)count);
    return reply->body_case == FDSET__V1__REPLY__BODY_ADDED ? reply->added->sets[0]->members[0] : 0;
}

static void remove_one(int manager, int set, uint32_t member) {
    Fdset__V1__RemoveFd removing = FDSET__V1__REMOVE_FD__INIT;

    removing.set = set;
    removing.which_case = FDSET__V1__REMOVE_FD__WHICH_MEMBER;
    removing.member = member;
    removing.patience_case = FDSET__V1__REMOVE_FD__PATIENCE_WAIT_MS;
    Request request = REQUEST(REMOVE_FD, remove_fd, &removing);
    ask(manager, &request, NULL, 0);
}

/* Reads until the helper has come to the end of all that it was sent. */
static void drain(int end) {
    Fdset__V1__Look look = FDSET__V1__LOOK__INIT;

    look.path = (char *)path_of(SHARED);
    Request request = REQUEST(LOOK, look, &look);
    send_request(end, &request, NULL, 0);
    for (const Reply *reply; (reply = receive(end)) && reply->serial != request.serial;)
        continue;
}

/* ------------------------------------------------------------------ the scene */

static void start(void) {
    char ready[16], paths[4][64];
    int ends[2];

    if (!mkdtemp(directory) || pipe(ends) < 0)
        err(1, "%s", directory);
    snprintf(ready, sizeof(ready), "%d", ends[1]);
    for (int i = 0; i < 4; i++)
        snprintf(paths[i], sizeof(paths[i]), "%s/%c", directory, "abvm"[i]);
    helper = fork();
    if (helper == 0) {
        execlp(getenv("FDSET_HELPER"), "fdset-helper", "--vmm", paths[0], "--vmm", paths[1],
               "--vmm", paths[2], "--manage", paths[3], "--ready-fd", ready, "--quiet", NULL);
        err(1, "exec");
    }
    close(ends[1]);
    if (read(ends[0], ready, 1) != 1)
        errx(1, "the helper does not start");
}

static void take_leases(const char *where) {
    uint64_t leases[FDSET_MAX_OPENS];
    int vmm = join_surely(where);

    for (int i = 0; i < MOST_LEASES / FDSET_MAX_OPENS &&
                    open_many(vmm, SHARED, FDSET_MAX_OPENS, leases) == FDSET_MAX_OPENS;
         i++)
        continue;
}

/* As much of everything as others than the one who is measured can have. */
static void fill(int manager) {
    for (int set = 100; set < 100 + OTHER_SETS; set++)
        add(manager, set, 1, false);
    while (add(manager, LARGE, 100, false))
        continue;
    for (int i = 0; i < 2; i++) {
        const char *where = i ? "b" : "a";
        char path[32];
        take_leases(where);
        int vmm = join_surely(where);
        for (int j = 0; j < MOST_WAITS; j++) {
            snprintf(path, sizeof(path), "/dev/fdset/%s%d", j % 2 ? "1" : "disk", j / 2);
            wait_for(vmm, j % 2 ? path_of(LARGE) : path, O_WRONLY);
        }
        drain(vmm);
        for (int j = 0; j < MOST_PEERS && join(where, "") >= 0; j++)
            continue;
    }
}

/* ------------------------------------------------------------------ what is counted */

static int vmm, manager;

static void do_open_close(void) {
    close_one(vmm, open_one(vmm, LARGE, O_RDWR));
}

static void do_refused(void) {
    open_one(vmm, LARGE, O_RDONLY);
}

static void do_shared(void) {
    close_one(vmm, open_one(vmm, SHARED, O_RDWR));
}

static void do_open_many(void) {
    uint64_t leases[50];
    size_t count = open_many(vmm, SHARED, 50, leases);

    for (size_t i = 0; i < count; i++)
        close_one(vmm, leases[i]);
}

/* Waits for a set, which comes. */
static void do_wait(void) {
    const Reply *reply;

    wait_for(vmm, path_of(COMING), O_RDWR);
    uint32_t member = add(manager, COMING, 1, false);
    if (!(reply = receive(vmm)) || reply->body_case != FDSET__V1__REPLY__BODY_OPENED)
        errx(1, "an open that waits was not served");
    close_one(vmm, reply->opened->lease);
    remove_one(manager, COMING, member);
}

static void do_look(void) {
    Fdset__V1__Look look = FDSET__V1__LOOK__INIT;

    look.path = (char *)path_of(LARGE);
    Request request = REQUEST(LOOK, look, &look);
    ask(vmm, &request, NULL, 0);
}

static void do_hold(void) {
    Fdset__V1__Hold hold = FDSET__V1__HOLD__INIT;

    hold.path = (char *)path_of(LARGE);
    Request request = REQUEST(HOLD, hold, &hold);
    ask(vmm, &request, NULL, 0);
}

static void do_subscribe(void) {
    Fdset__V1__Subscribe subscribe = FDSET__V1__SUBSCRIBE__INIT;
    int end = join_surely("m");

    Request request = REQUEST(SUBSCRIBE, subscribe, &subscribe);
    ask(end, &request, NULL, 0);
    close(end);
}

static void do_add_remove(void) {
    remove_one(manager, PAGE, add(manager, PAGE, 1, false));
}

static void do_add_remove_large(void) {
    remove_one(manager, LARGE, add(manager, LARGE, 1, false));
}

static void do_add_below(void) {
    static int set = 99;

    remove_one(manager, set, add(manager, set, 1, false));
    set--;
}

static void query(const Fdset__V1__Query *query) {
    Request request = REQUEST(QUERY, query, (Fdset__V1__Query *)query);
    ask(manager, &request, NULL, 0);
}

static void do_query_page(void) {
    Fdset__V1__Query page = FDSET__V1__QUERY__INIT;

    page.which_case = FDSET__V1__QUERY__WHICH_SET;
    page.set = full ? LARGE : PAGE;
    query(&page);
}

static void do_query_none(void) {
    Fdset__V1__Query none = FDSET__V1__QUERY__INIT;

    none.label_case = FDSET__V1__QUERY__LABEL_OPAQUE;
    none.opaque = (char *)"no label";
    query(&none);
}

static void do_hello(void) {
    close(join_surely("v"));
}

static void do_hello_manager(void) {
    close(join("m", "label"));
}

static void do_end(void) {
    int one = join_surely("v");

    open_one(one, LARGE, O_RDWR);
    close(one);
}

static void mark(void) {
    Fdset__V1__Unhold unhold = FDSET__V1__UNHOLD__INIT;

    unhold.path = (char *)"/dev/fdset/mark";
    Request request = REQUEST(UNHOLD, unhold, &unhold);
    ask(vmm, &request, NULL, 0);
}

/* All that this process has sent is dealt with, and what follows from it too. */
static void settle_down(void) {
    do_open_close();
    do_open_close();
    usleep(20000);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*act)(void);
    } kinds[] = {{"open-close", do_open_close},
                 {"refused", do_refused},
                 {"shared", do_shared},
                 {"open-many", do_open_many},
                 {"wait", do_wait},
                 {"look", do_look},
                 {"hold", do_hold},
                 {"subscribe", do_subscribe},
                 {"add-remove", do_add_remove},
                 {"add-remove-large", do_add_remove_large},
                 {"add-below", do_add_below},
                 {"query-page", do_query_page},
                 {"query-none", do_query_none},
                 {"hello", do_hello},
                 {"hello-manager", do_hello_manager},
                 {"end", do_end}};

    if (argc != 2)
        errx(2, "usage: bench-full full|empty");
    full = strcmp(argv[1], "full") == 0;
    start();
    manager = join_surely("m");
    vmm = join_surely("v");
    add(manager, LARGE, 1, false);
    add(manager, SHARED, 1, true);
    add(manager, PAGE, PAGE_SIZE, false);
    if (full)
        fill(manager);
    remove_one(manager, LARGE, add(manager, LARGE, 1, false)); /* there is room for it */
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        kinds[i].act(); /* once before, as what is first is different */
        settle_down();
        mark();
        for (int j = 0; j < TIMES; j++)
            kinds[i].act();
        settle_down();
        mark();
        printf("%s %d\n", kinds[i].name, TIMES);
    }
    kill(helper, SIGTERM);
    waitpid(helper, NULL, 0);
    for (int i = 0; i < 4; i++) {
        char path[64];
        snprintf(path, sizeof(path), "%s/%c", directory, "abvm"[i]);
        unlink(path);
    }
    rmdir(directory);
    return 0;
}
