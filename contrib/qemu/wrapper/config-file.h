/* SPDX-License-Identifier: MIT */
/* -readconfig: files that say words of a command line. */
#pragma once

#include <stdbool.h>

#include "command-line.h"

/* What -readconfig files say of monitors, chardevs and descriptors becomes words of the
 * command line; paths of sets in them are diverted. Returns whether there are any. */
bool config_files_read(struct command_line *line);
