/* SPDX-License-Identifier: MIT */
/* A monitor on standard input and output. */
#pragma once

/* A socket in the place of standard input and output: a process copies between
 * them until the socket's end. */
int pump_start(void);
