/* SPDX-License-Identifier: MIT */
/* The sandbox for a program beside the helper, which has descriptors to work with and needs
 * nothing by name: no capability, no file, no trace, no process, and the system calls that its
 * own table of rules allows. Its user and namespaces stay.
 *
 * Two halves, for the same reason as the helper's: threads are started between them. */
#pragma once

#include "confine.h"

struct sock_filter;

/* Both return 0 or -errno, with the stage that failed last in the report. */
int companion_enter(struct confine_report *report);
int companion_seal(const struct sock_filter *filter, size_t length, struct confine_report *report);
