/* SPDX-License-Identifier: MIT */
/* A small interpreter of what seccomp filters are made of, so that the filters
 * of all architectures can be tried on any machine. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

/* Returns the filter's action (SECCOMP_RET_...). Aborts on a program that the
 * kernel would not take. */
uint32_t bpf_run(const struct sock_filter *program, size_t length, const struct seccomp_data *data);
