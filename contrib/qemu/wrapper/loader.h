/* SPDX-License-Identifier: MIT */
/* Whether the emulator can have a library preloaded. */
#pragma once

/* Why the dynamic linker would not preload a library into this program: "is ..."; NULL
 * where nothing is known that hinders it. */
const char *library_hindrance(const char *path);
