/* SPDX-License-Identifier: MIT */
/* Sockets whose last close waits, for longer than any test has patience for, or until they are
 * let go: what a hostile peer sends so that somebody else closes it. */
#pragma once

/* A TCP connection with SO_LINGER of which nothing more can be sent. The caller closes it, or
 * who has the last copy. */
int linger_socket(void);

/* Asserts that what was closed of them is still being closed. */
void linger_expect_all(void);

/* Lets those go that were made so long ago: 0 for the first that is still there. */
void linger_let_go(int which);
void linger_let_all_go(void);
