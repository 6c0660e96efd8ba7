/* SPDX-License-Identifier: MIT */
/* What a process may do because of who it is, and to files by Landlock. */
#pragma once

#include "stage.h"

stage_run capabilities_stage, ids_stage, undumpable_stage, no_new_privs_stage, mdwe_stage;

/* Landlock and the empty root can each stand in for the other. */
stage_run landlock_stage;

/* The kernel's Landlock ABI, or -errno where there is none. */
int landlock_abi(void);

/* What is known of Landlock: the kernels that have more of it have it under a higher number. */
#define LANDLOCK_NEWEST_ABI 11

/* How many kinds of access an ABI can forbid; each kind is a bit, and they are the lowest. */
struct landlock_rights {
    unsigned files, ports, scopes;
    const char *text;
};

/* Of a newer ABI than the newest: what is known. */
const struct landlock_rights *landlock_rights(int abi);
