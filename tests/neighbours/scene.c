/* SPDX-License-Identifier: MIT */
/* A helper with a victim and those who attack it: see scene.h. */
#include "scene.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define MOST_CHILDREN 64

static int disk, log_file;
static char victims_path[sizeof(((struct sockaddr_un *)0)->sun_path)];

static struct {
    const struct attack *attack;
    struct child children[MOST_CHILDREN];
    int count;
    uint32_t connections; /* before it began */
    atomic_ulong *served; /* of each child; shared with them */
} under_way;

struct helper *scene_start(const char *const *options) {
    struct helper *helper = helper_start(options);
    disk = file_open("disk", O_RDWR);
    log_file = file_open("log", O_RDONLY);
    client_add_one(helper->manager, VICTIMS, disk);
    struct new_member anyones = {.fd = log_file, .sharing = SHARING(SHARED)};
    client_add_set(helper->manager, SHARED, 0, &anyones, 1);
    client_wait_settled(helper->manager);
    return helper;
}

struct helper *scene_start_with_path(const char *limit) {
    snprintf(victims_path, sizeof(victims_path), "%s", file_path("victim.sock"));
    return scene_start(
        (const char *[]){"--vmm", victims_path, limit ? "--limit" : NULL, limit, NULL});
}

int scene_disk(void) {
    return disk;
}

int scene_log(void) {
    return log_file;
}

bool scene_is_long(void) {
    const char *wanted = getenv("FDSET_TEST_LONG");
    return wanted && *wanted;
}

/* ------------------------------------------------------------------ the victim */

void victim_expect_served(struct helper *helper) {
    struct opened opened = client_open_set(helper->vmm, VICTIMS, O_RDWR);
    assert_serves(opened.fd, disk, O_RDWR);
    client_close(helper->vmm, &opened);
}

void victim_expect_served_often(struct helper *helper) {
    int rounds = scene_is_long() ? LONG_ROUNDS : ROUNDS;
    for (int i = 0; i < rounds; i++)
        victim_expect_served(helper);
}

/* Added to the helper's clients; NULL where it would have to wait. */
static struct client *connect_at_once(struct helper *helper, const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct client *client = client_new(fd);

    client->next = helper->clients;
    helper->clients = client;
    strcpy(address.sun_path, path);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        helper_forget(helper, client);
        return NULL;
    }
    fcntl(fd, F_SETFL, O_RDWR);
    return client;
}

struct client *helper_try_connect(struct helper *helper, int role) {
    return connect_at_once(helper, helper_socket_path(role));
}

void victim_expect_let_in(struct helper *helper) {
    struct client *victim = connect_at_once(helper, victims_path);

    assert_non_null(victim);
    client_hello(victim, "victim");
    struct opened opened = client_open_set(victim, SHARED, O_RDONLY);
    assert_serves(opened.fd, log_file, O_RDONLY);
    client_close(victim, &opened);
    helper_forget(helper, victim);
}

/* ---------------------------------------------------------------- the attackers */

bool attacker_greet(struct client *attacker) {
    Fdset__V1__Hello hello = FDSET__V1__HELLO__INIT;
    Request request = FDSET__V1__REQUEST__INIT;

    hello.version = 1;
    hello.name = (char *)"attacker";
    request.body_case = FDSET__V1__REQUEST__BODY_HELLO;
    request.hello = &hello;
    client_send(attacker, &request, NULL, 0);
    Reply *reply = client_receive(attacker);
    return reply && reply->body_case == REPLY(HELLO);
}

struct client *attacker_connect(struct helper *helper) {
    struct client *attacker = helper_connect_silent(helper, ROLE(VMM));

    attacker->may_end = true;
    if (attacker_greet(attacker))
        return attacker;
    helper_forget(helper, attacker);
    return NULL;
}

bool attacker_is_gone(const struct client *attacker) {
    struct pollfd state = {.fd = attacker->socket, .events = POLLIN};
    return poll(&state, 1, 0) == 1 && state.revents & (POLLHUP | POLLERR);
}

void attacker_ask(struct client *attacker, size_t opens) {
    uint8_t packet[FDSET_MAX_PACKET_BYTES];
    size_t length = pack_open_many(packet, ++attacker->serial, opens);
    int result = packet_send(attacker->socket, packet, length, NULL, 0, MSG_DONTWAIT);
    /* Full, or hung up on: then it has got as far as it gets. */
    assert_true(result == 0 || result == -EAGAIN || result == -EPIPE || result == -ECONNRESET);
}

#define QUIET_TURNS 10

void attack_settles(struct helper *helper) {
    Totals before, now = client_totals(helper->manager);
    do {
        before = now;
        for (int i = 0; i < QUIET_TURNS; i++)
            now = client_totals(helper->manager);
    } while (now.opens != before.opens || now.denied != before.denied ||
             now.closes != before.closes || now.connections != before.connections);
}

void helper_pause(struct helper *helper) {
    int status;

    kill(helper->pid, SIGSTOP);
    assert_int_equal(waitpid(helper->pid, &status, WUNTRACED), helper->pid);
    assert_true(WIFSTOPPED(status));
}

void helper_go_on(struct helper *helper) {
    kill(helper->pid, SIGCONT);
}

/* ------------------------------------------------- attacks that are processes */

void attacker_come_back(struct attacker *attacker) {
    struct client *next;

    if (attacker->client)
        helper_forget(attacker->helper, attacker->client);
    attacker->client = NULL;
    while (!attacker->client) {
        next = helper_connect_silent(attacker->helper, under_way.attack->role);
        next->may_end = true;
        if (attacker_greet(next))
            attacker->client = next;
        else
            helper_forget(attacker->helper, next);
    }
}

static void run_attacker(struct child_side *side) {
    struct attacker attacker = {
        .helper = side->data, .client = side->client, .served = &under_way.served[under_way.count]};

    attacker.client->may_end = true;
    for (;; attacker.round++)
        under_way.attack->act(&attacker);
}

unsigned long attack_served(void) {
    unsigned long sum = 0;
    for (int i = 0; i < under_way.count; i++)
        sum += under_way.served[i];
    return sum;
}

void attack_begin(struct helper *helper, const struct attack *attack) {
    assert_true(attack->count <= MOST_CHILDREN);
    if (!under_way.served)
        under_way.served = mmap(NULL, MOST_CHILDREN * sizeof(*under_way.served),
                                PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(under_way.served, MAP_FAILED);
    if (attack->prepare)
        attack->prepare(helper);
    under_way.attack = attack;
    under_way.connections = client_totals(helper->manager).connections;
    for (under_way.count = 0; under_way.count < attack->count; under_way.count++) {
        under_way.served[under_way.count] = 0;
        under_way.children[under_way.count] =
            child_start(helper, attack->role, attack->name, run_attacker, helper);
    }
    for (int i = 0; i < attack->count; i++)
        wait_until(under_way.served[i] > 0);
}

void attack_beside_victim(struct helper *helper) {
    int rounds = scene_is_long() ? LONG_ROUNDS : ROUNDS;
    unsigned long least = attack_served() + (unsigned long)under_way.count;
    time_t began = time(NULL);

    for (int i = 0; i < rounds || attack_served() < least; i++) {
        victim_expect_served(helper);
        if (i > rounds)
            be_patient(began, "the attackers are served as well");
    }
}

void attack_end(struct helper *helper) {
    for (int i = 0; i < under_way.count; i++)
        child_kill(&under_way.children[i]);
    under_way.count = 0;
    wait_until(client_totals(helper->manager).connections == under_way.connections);
}
