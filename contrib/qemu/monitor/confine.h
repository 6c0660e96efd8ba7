/* SPDX-License-Identifier: MIT */
/* The relay's sandbox. It reads the JSON of both sides, of which one is an emulator that may be
 * in the hands of its guest, and is a manager at the helper: it is confined as the helper is. */
#pragma once

/* For the rest of this process's life, nothing but what rules.c lists, by what is open now. Also
 * starts what closes aside. To be called when all sockets are there, and before anybody is told
 * so. 0, or -errno with a message on standard error. */
int relay_confine(void);
