/* The sentence behind fdset_error_text(): one for each thread, the last
 * failure's. Everything that fails says why before it returns. */
#pragma once

/* Keeps the sentence and returns -error. "%m" in the format is `error` in
 * words. An `error` that is no errno value counts as EPROTO. */
int fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
