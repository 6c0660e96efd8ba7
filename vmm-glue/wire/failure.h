/* SPDX-License-Identifier: MIT */
/* The sentence behind fdset_error_text(): one for each thread, the last
 * failure's. Everything that fails says why before it returns. */
#pragma once

/* Keeps the sentence and returns -error. "%m" in the format is `error` in
 * words. An `error` that is no errno value counts as EPROTO. */
int fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Room for the helper's longest sentence and one around it; what is longer is cut off. */
#define FAILURE_BYTES 768

/* For who does something else between a failure and the return: keeps the sentence, and
 * puts it back. */
void failure_keep(char kept[FAILURE_BYTES]);
void failure_restore(const char kept[FAILURE_BYTES]);
