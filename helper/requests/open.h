/* SPDX-License-Identifier: MIT */
/* What a VMM asks: Open, OpenMany, Close, Hold, Unhold. */
#pragma once

#include "requests/handler.h"

serve_function serve_open, serve_open_many, serve_close, serve_hold, serve_unhold;
