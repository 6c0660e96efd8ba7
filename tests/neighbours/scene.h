/* SPDX-License-Identifier: MIT */
/* A helper with a victim and those who attack it. The victim is the VMM that the helper has
 * inherited, helper->vmm; attackers come by the path of the VMM socket, and are one virtual
 * machine with as many connections as they like.
 *
 * The verdict is by counts: so many opens and closes of the victim are answered, rightly,
 * while the attack goes on, which the attack itself counts. No clock is looked at; what is
 * never answered fails the test when the client has no more patience. */
#pragma once

#include "child.h"
#include "harness.h"

#include <stdatomic.h>
#include <stdbool.h>

struct attacker;

/* The victim's own set; and everybody's, which is shared and for reading. */
#define VICTIMS 1
#define SHARED  2

/* Opens and closes of the victim beside an attack: short, and with FDSET_TEST_LONG. */
#define ROUNDS      200
#define LONG_ROUNDS 20000

/* Starts the helper with both sets; `options` as for helper_start(). */
struct helper *scene_start(const char *const *options);

/* The same, and the victim has a socket of its own, by which it can come once more. `limit` is
 * one other than usual, or NULL. */
struct helper *scene_start_with_path(const char *limit);
void victim_expect_let_in(struct helper *helper);

/* The descriptors of both sets as they were added. */
int scene_disk(void), scene_log(void);

/* Whether this run is at full length. */
bool scene_is_long(void);

/* The victim opens and closes its disk, and it is its disk that it gets. */
void victim_expect_served(struct helper *helper);

/* The same, as often as the run's length has it. */
void victim_expect_served_often(struct helper *helper);

/* An attacker's connection, or NULL where the helper turns it away, which it may. The
 * connection counts as one that the helper may end. */
struct client *attacker_connect(struct helper *helper);

/* Connects and says nothing; NULL where nobody more can connect at the moment. */
struct client *helper_try_connect(struct helper *helper, int role);

/* Says Hello. Returns whether the helper has it in. */
bool attacker_greet(struct client *attacker);

/* Whether the helper has hung up on it. */
bool attacker_is_gone(const struct client *attacker);

/* Asks for `opens` of the shared set in one packet, and reads nothing. */
void attacker_ask(struct client *attacker, size_t opens);

/* Returns when the helper has done what it will do of all that was asked. */
void attack_settles(struct helper *helper);

/* Stops the helper's process, so that all that is sent meanwhile lies before it at once; and
 * lets it go on. */
void helper_pause(struct helper *helper);
void helper_go_on(struct helper *helper);

/* ------------------------------------------------- attacks that are processes */

/* One attack, by `count` processes, each of which calls `act` again and again. */
struct attack {
    const char *name;
    int role, count;
    void (*act)(struct attacker *attacker);
    void (*prepare)(struct helper *helper); /* what has to be there; or NULL */
};

/* One of these processes, as it sees itself. */
struct attacker {
    struct helper *helper;
    struct client *client; /* connected; the attack may hang it up, or find it hung up on */
    atomic_ulong *served;  /* to be counted up for each answer, or whatever shows that it goes on */
    unsigned long round;
};

/* Prepares and begins it, and returns when each of them has been served. */
void attack_begin(struct helper *helper, const struct attack *attack);

/* How often all of them were served. */
unsigned long attack_served(void);

/* The victim is served so often, and until the attackers were served as often as there are
 * attackers meanwhile: else it is no attack. */
void attack_beside_victim(struct helper *helper);

void attack_end(struct helper *helper);

/* For `act`: connects anew where the connection has ended. */
void attacker_come_back(struct attacker *attacker);
