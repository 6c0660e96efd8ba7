/* SPDX-License-Identifier: MIT */
/* What a process may do because of who it is. */
#pragma once

#include "stage.h"

stage_run capabilities_stage, ids_stage, undumpable_stage, no_new_privs_stage, mdwe_stage;
