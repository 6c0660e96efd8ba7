/* SPDX-License-Identifier: MIT */
/* Namespaces of our own, and in them no file. */
#pragma once

#include "stage.h"

stage_run namespaces_stage, root_stage;
