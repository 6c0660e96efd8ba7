/* SPDX-License-Identifier: MIT */
/* What descriptors there are, and how much more there may be. */
#pragma once

#include "stage.h"

stage_run descriptors_stage, limits_stage;
