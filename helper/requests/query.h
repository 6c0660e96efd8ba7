/* SPDX-License-Identifier: MIT */
/* What managers and observers ask: Query, Subscribe. */
#pragma once

#include "requests/handler.h"

serve_function serve_query, serve_subscribe;
