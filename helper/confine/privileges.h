/* SPDX-License-Identifier: MIT */
/* What a process may do because of who it is, and to files by Landlock. */
#pragma once

#include "stage.h"

stage_run capabilities_stage, ids_stage, undumpable_stage, no_new_privs_stage, mdwe_stage;

/* Landlock and the empty root can each stand in for the other. */
stage_run landlock_stage;

/* The kernel's Landlock ABI, or -errno where there is none. */
int landlock_abi(void);
