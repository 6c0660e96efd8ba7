/* SPDX-License-Identifier: MIT */
/* The leak oracle: a test must leave this process with exactly the descriptors
 * that it found, by number and by what is behind them. */
#pragma once

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* For setup and teardown of one test. The second fails where anything differs,
 * and closes what is left over so that the next test is judged by itself. */
int oracle_remember(void **state);
int oracle_compare(void **state);

#define oracle_test(function) \
    cmocka_unit_test_setup_teardown(function, oracle_remember, oracle_compare)

/* How many descriptors this process has open. */
int oracle_count(void);
