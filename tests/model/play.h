/* SPDX-License-Identifier: MIT */
/* A history: steps that clients take, each told to the real helper and to the
 * reference, which must agree on all that comes of it.
 *
 * A step is three numbers. What it does follows from them and from what there is
 * when its turn comes, so that any part of a history is a history: that is how one
 * that fails is made small. */
#pragma once

#include "harness.h"
#include "listing.h"
#include "reference.h"

struct step {
    uint32_t act, who, dice;
};

/* Who is who. All others are connected and hang up as the dice fall. */
enum {
    CLIENT_BIRTH_VMM = 0,
    CLIENT_BIRTH_MANAGER = 1,
    CLIENT_AUDITOR = 12, /* looks, and does nothing else */
    CLIENT_DOOMED = 13,  /* a process that is killed */
};

#define PLAY_EVENTS 1024
#define PLAY_ORDERS 4096

struct play {
    struct reference ref;
    struct world world;
    struct helper *helper;
    struct client *clients[REF_CLIENTS];
    struct ref_event events[REF_CLIENTS][PLAY_EVENTS]; /* that came in this step */
    uint64_t sequences[REF_CLIENTS][PLAY_EVENTS];
    int event_counts[REF_CLIENTS];
    uint64_t lost[REF_CLIENTS]; /* of which it was told in this step */
    int lease_fds[PLAY_ORDERS]; /* ours, by the lease's order */
    uint64_t state;             /* of the dice */
    bool out_of_order;          /* sets may come and go several times in this step */
    bool slow;                  /* some step took seconds: there may be more events */
    bool locks;                 /* some lock was ever taken */
    int steps;
    bool trace;
};

/* Plays steps on a helper of their own, with limits that follow from `seed`. A
 * difference ends the process with a status that is not 0. */
void play_history(uint64_t seed, const struct step *steps, size_t count, bool trace);

/* A check has failed: removes what the history made. */
void play_abandon(void);

/* ------------------------------------------------------------- acts.c */

const char *act_name(uint32_t act);
uint32_t act_find(const char *name); /* UINT32_MAX: none */

/* Chooses one, each as often as is good. */
uint32_t act_choose(uint32_t number);
void act_do(struct play *play, const struct step *step);

/* Waits until the helper has seen what has no reply, or not yet. */
void act_barrier(struct play *play, int client);

/* Further acts. */
void act_add(struct play *play, int client);
void act_open(struct play *play, int client);
void act_wait(struct play *play, int client);
void act_wait_shortly(struct play *play, int client);
void act_open_many(struct play *play, int client);
void act_look(struct play *play, int client);
void act_pipeline(struct play *play, int client);
void act_die(struct play *play, int client);

/* Send a request and tell the reference; the reply, if there will be one, to this
 * serial is yet to be watched for. */
uint32_t begin_hold(struct play *play, int client);
uint32_t begin_unhold(struct play *play, int client);
void begin_close(struct play *play, int client);

/* ---------------------------------------------------------- choices.c */

extern const char too_long_name[];

/* What the dice make of a path, of an open, and of a set to add with its members. */
void choose_path(struct play *play, char *path, size_t size);

struct intent {
    char path[300];
    int flags;
};
void choose_open(struct play *play, int client, struct intent *intent);

struct addition_plan {
    struct new_set sets[3];
    struct new_member members[12];
    struct ref_offer offers[12];
    size_t count, member_count;
};

/* `among_others`: to be sent with further requests behind it. */
void choose_addition(struct play *play, struct addition_plan *plan, bool among_others);

/* The dice: the next number below `sides`, the same for the same step. */
uint32_t roll(struct play *play, uint32_t sides);
bool chance(struct play *play, uint32_t percent);

/* With --trace only. */
void say(struct play *play, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ------------------------------------------------------------ watch.c */

/* Reads until the reply to `serial` has come. */
void watch_reply(struct play *play, int client, uint32_t serial);

/* Reads what has come to anybody. */
void watch_all(struct play *play);

/* Everything that was expected has come, and nothing else. */
void watch_check(struct play *play);

/* The step's outcome is complete: both sides agree on it. */
void play_finish(struct play *play);
void play_close_lease(struct play *play, uint32_t order);
