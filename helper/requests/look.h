/* SPDX-License-Identifier: MIT */
/* What a VMM asks without opening: Look. */
#pragma once

#include "requests/handler.h"

serve_function serve_look;
