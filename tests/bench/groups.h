/* SPDX-License-Identifier: MIT */
/* What the benchmark consists of. Each group measures and reports; none returns if
 * something does not work. */
#pragma once

#include "report.h"

/* How many rounds, where so many are usual: --effort. */
size_t rounds_of_group(size_t rounds);

void bench_basic(struct report *report);  /* open, close, open_many, pipelined */
void bench_steps(struct report *report);  /* the kernel's part of an open, with: */
void bench_calls(struct report *report);  /* each of its system calls */
void bench_crowds(struct report *report); /* with many members; s6-fdholderd */
void bench_load(struct report *report);   /* several clients, events, a flood */
void bench_start(struct report *report);  /* to ready, beside /bin/true */
void bench_memory(struct report *report); /* idle, a member, a lease */
