/* SPDX-License-Identifier: MIT */
/* Landlock and the empty root can each stand in for the other. */
#pragma once

#include "stage.h"

stage_run landlock_stage;

/* The kernel's Landlock ABI, or -errno where there is none. */
int landlock_abi(void);
