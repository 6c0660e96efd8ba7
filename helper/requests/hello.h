/* SPDX-License-Identifier: MIT */
/* Hello: who is at the other end, and what both sides know. */
#pragma once

#include "requests/handler.h"

#define PROTOCOL_VERSION 1

serve_function serve_hello;
