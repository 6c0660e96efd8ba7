/* SPDX-License-Identifier: MIT */
/* The helper's end of a connection, played by the test: libfdset is called in
 * threads of their own, and the test decides what they are answered, when, and
 * in which order. No check is made but in the test's thread, where a failed one
 * ends the test. */
#pragma once

#include "oracle.h"

#include <fdset/manager.h>
#include <fdset/vmm.h>
#include <pthread.h>
#include <stdbool.h>

#include "fdset.pb-c.h"
#include "packet.h"

typedef Fdset__V1__Request Request;
typedef Fdset__V1__Reply Reply;

#define REQUEST_IS(name) FDSET__V1__REQUEST__BODY_##name
#define REPLY_IS(name)   FDSET__V1__REPLY__BODY_##name
#define ROLE(name)       FDSET__V1__ROLE__ROLE_##name

/* The role that the library asks for decides which object comes of it. One
 * fake helper at a time. */
struct fake {
    int socket;
    struct fdset_vmm *vmm;
    struct fdset_manager *manager;
};

/* Everything but the handshake goes through this one. */
extern struct fake fake;

/* What the helper's Hello says that it knows beyond version 1. */
extern uint64_t fake_features;

/* Attaches a VMM or a manager, and answers its Hello. */
void fake_begin_vmm(void);
void fake_begin_manager(void);

/* Frees what was attached, and expects that nothing but a hang-up is left to read. */
void fake_end(void);

/* Closes the helper's end. */
void fake_die(void);

/* The next request, which must be of this kind. It lives until the next call. */
#define ANY_REQUEST (-1)
Request *fake_receive(int body);

/* Descriptors that came with it; the test closes them. */
struct packet_descriptors *fake_descriptors(void);

/* Whatever is next to read must be the hang-up. */
void fake_receive_hangup(void);

/* Borrow the descriptors. fake_send() says that `announced` descriptors come. */
void fake_send(Reply *reply, uint32_t announced, const int *fds, size_t count);
void fake_reply(Reply *reply, const int *fds, size_t count);
void fake_send_bytes(const void *bytes, size_t length);
void fake_opened(uint32_t serial, uint64_t lease, bool truncate, int fd);
void fake_error(uint32_t serial, int error, const char *text);
void fake_done(uint32_t serial);
void fake_hello(uint32_t serial, uint32_t version, Fdset__V1__Role role);

/* ------------------------------------------------------- calls in progress */

/* A call of libfdset's in a thread of its own. */
struct call {
    pthread_t thread;
    const char *path;
    int flags;
    struct fdset_open_request *requests;
    struct fdset_add *adds;
    size_t count;
    int set;
    uint32_t member;
    int socket;
    int fd;
    struct fdset_listing *listing;
    struct fdset_look_result looked;
    int result;
    char text[512]; /* fdset_error_text() of that thread */
};

void call_open(struct call *call, const char *path, int flags);
void call_open_many(struct call *call, struct fdset_open_request *requests, size_t count);
void call_close_wait(struct call *call, int fd);
void call_dispatch(struct call *call);
void call_add(struct call *call, struct fdset_add *adds, size_t count);
void call_look(struct call *call, const char *path);
void call_remove(struct call *call, int set, uint32_t member);
void call_query(struct call *call, int set);
void call_attach_vmm(struct call *call);
void call_attach_manager(struct call *call);

/* Waits for the call's end and returns its result. */
int call_end(struct call *call);

/* ------------------------------------------------------------- short forms */

/* A descriptor of /dev/null. */
int null_open(int flags);

/* An open from request to result, answered with a descriptor of its own. */
int open_lease(uint64_t lease);

/* The next packet must be a Close of just this lease. */
void expect_close(uint64_t lease);

bool is_open(int fd);

/* Is there something for who polls this descriptor? And waits until there is. */
bool poll_says(int fd);
void poll_for_ever(int fd);

/* From now on this process can have `count` more descriptors, until make_room(). */
void leave_room_for(unsigned count);
void make_room(void);
