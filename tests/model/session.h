/* SPDX-License-Identifier: MIT */
/* A session by libfdset, of a VMM and a manager in one process, that can be cut short
 * by a SIGKILL to anybody at any of its points. */
#pragma once

#include "harness.h"

#include <fdset/manager.h>
#include <fdset/vmm.h>

#define OWNER "keeper"

struct aim {
    int left; /* points until the end; 0 or below: there is none */
    pid_t victim;
    int passed; /* ever */
};
extern struct aim aim;
void aim_at(pid_t victim, int left);

struct session {
    struct fdset_vmm *vmm;
    struct fdset_manager *manager;
    char vmm_path[128], manager_path[128];
    int disk, other; /* what is added */
    int fds[16];     /* that were opened, and not closed */
    int count;
    int submitted, outcomes;
    bool reconnects;
    int downs, ups;
};
extern struct session session;

/* Opens the files; begins, without a connection; ends what there is. */
void make_files(void);
void session_begin(struct helper *helper, bool reconnects);
void session_end(void);

/* What is done, one after the other: 0 or -errno, at which play() ends. */
typedef int (*deed)(void);
extern const deed all_deeds[], vmm_deeds[], manager_deeds[];
int play(const deed *deeds);

/* How many points they have. */
int count_points(const deed *deeds);

int connect_manager(void);
int connect_vmm(void);
int add_first(void);
int subscribe(void);
int query(void);
int open_disk(void);
int open_many(void);
int hold(void);
int submit(void);
int dispatch(void);
int close_one(void);
