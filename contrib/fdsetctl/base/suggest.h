/* SPDX-License-Identifier: MIT */
/* What somebody may have meant who wrote something that there is not. */
#pragma once

/* One of `verbs`, which ends with NULL, or NULL. */
const char *verb_suggest(const char *word, const char *const *verbs);

/* One of the options that `help` names, with its two dashes, or NULL. The caller's to
 * free. */
char *option_suggest(const char *word, const char *help);
