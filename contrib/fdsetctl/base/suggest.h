/* SPDX-License-Identifier: MIT */
/* What somebody may have meant who wrote something that there is not. */
#pragma once

/* One of our commands, or NULL. */
const char *command_suggest(const char *word);

/* One of the options that `help` names, with its two dashes, or NULL. The caller's to
 * free. */
char *option_suggest(const char *word, const char *help);
