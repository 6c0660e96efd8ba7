/* SPDX-License-Identifier: MIT */
/* A client process that is killed in the middle of what it was about. How much of
 * that the helper has served is found out from what Query says after. */
#include "play.h"
#include "reference-shares.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_DEEDS 4

struct life {
    int role;
    char owner[8];
    size_t count, replies; /* requests sent; replies read before the end */
    struct addition_plan additions[MAX_DEEDS];
    struct intent opens[MAX_DEEDS];
    bool holds[MAX_DEEDS];
    uint32_t wait_ms[MAX_DEEDS];
};

static void choose_life(struct play *play, struct life *life) {
    *life = (struct life){.role = chance(play, 50) ? ROLE(VMM) : ROLE(MANAGER)};
    strcpy(life->owner, chance(play, 30) ? "alpha" : "");
    life->count = roll(play, MAX_DEEDS + 1);
    life->replies = roll(play, MAX_DEEDS + 1);
    for (size_t i = 0; i < life->count; i++) {
        if (life->role == ROLE(MANAGER))
            choose_addition(play, &life->additions[i], true);
        else
            choose_open(play, CLIENT_DOOMED, &life->opens[i]);
        life->holds[i] = chance(play, 20);
        life->wait_ms[i] = chance(play, 20) ? WAIT_FOREVER_MS : 0;
    }
    if (life->replies > life->count)
        life->replies = life->count;
}

static void send_deed(struct client *client, const struct life *life, size_t i) {
    Fdset__V1__Hold hold = FDSET__V1__HOLD__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    if (life->role == ROLE(MANAGER)) {
        client_send_add(client, life->additions[i].sets, life->additions[i].count);
        return;
    }
    if (!life->holds[i]) {
        client_send_patient_open(client, life->opens[i].path, life->opens[i].flags,
                                 life->wait_ms[i]);
        return;
    }
    hold.path = (char *)life->opens[i].path;
    request.body_case = FDSET__V1__REQUEST__BODY_HOLD;
    request.hold = &hold;
    client_send(client, &request, NULL, 0);
}

/* Never returns. */
static void live(struct play *play, const struct life *life) {
    struct client *client = helper_connect_silent(play->helper, life->role);
    client_hello_as(client, "doomed", life->owner);
    for (size_t i = 0; i < life->count; i++)
        send_deed(client, life, i);
    for (size_t i = 0; i < life->replies && life->role == ROLE(MANAGER); i++)
        client_receive(client);
    raise(SIGKILL);
    abort();
}

/* The reference's account of a life of which the helper has served so much. */
static void tell_life(struct reference *ref, const struct life *life, size_t served, pid_t pid) {
    ref_connect(ref, CLIENT_DOOMED, life->role, pid, true);
    ref_hello(ref, CLIENT_DOOMED, 1, "doomed", life->owner);
    ref_served(ref);
    for (size_t i = 0; i < served; i++) {
        uint32_t serial = (uint32_t)i + 2;
        if (life->role == ROLE(MANAGER))
            ref_add(ref, CLIENT_DOOMED, serial, life->additions[i].sets, life->additions[i].count,
                    life->additions[i].offers);
        else if (life->holds[i])
            ref_hold(ref, CLIENT_DOOMED, serial, life->opens[i].path);
        else
            ref_open(ref, CLIENT_DOOMED, serial, life->opens[i].path, life->opens[i].flags,
                     life->wait_ms[i]);
        ref_served(ref);
    }
    ref_hang_up(ref, CLIENT_DOOMED);
    ref_served(ref);
    for (int i = 0; i < ref->reply_count; i++)
        ref->replies[i].came |= ref->replies[i].client == CLIENT_DOOMED;
    ref_time_passes(ref);
}

static bool is_taken(const struct reference *ref, int fd) {
    bool taken = false;
    for (int i = 0; i < ref->member_count; i++)
        taken |= ref->members[i].fd == fd;
    for (int i = 0; i < ref->gone_count; i++)
        taken |= ref->gone[i] == fd;
    return taken;
}

/* Takes the first account with which Query agrees. */
static void find_out(struct play *play, const struct life *life, pid_t pid) {
    static struct reference before;
    static struct text expected, got;
    struct question question = {.query = FDSET__V1__QUERY__INIT, .blind = true};
    before = play->ref;
    for (time_t began = time(NULL);; be_patient(began, "a killed client's end in Query")) {
        listing_ask(play->clients[CLIENT_AUDITOR], &question, &got);
        for (size_t served = 0; served <= life->count; served++) {
            play->ref = before;
            tell_life(&play->ref, life, served, pid);
            listing_expected(&play->ref, &question, &expected);
            if (strcmp(expected.bytes, got.bytes) != 0)
                continue;
            say(play, "killed with %zu of %zu served\n", served, life->count);
            return;
        }
        play->slow |= time(NULL) > began + 2;
    }
}

void act_die(struct play *play, int client) {
    static struct life life;
    int status;
    choose_life(play, &life);
    play->ref.requester = -1;
    play->out_of_order = true;
    /* Nobody is killed who is turned away: that is act_connect()'s. */
    if (ref_may_connect(&play->ref, life.role)) {
        fflush(stdout);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            live(play, &life);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        find_out(play, &life, pid);
    }
    for (size_t i = 0; i < life.count; i++)
        for (size_t j = 0; j < life.additions[i].member_count; j++)
            if (!is_taken(&play->ref, life.additions[i].offers[j].fd))
                harness_close(life.additions[i].offers[j].fd);
}
