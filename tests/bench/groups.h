/* What the benchmark consists of. Each group measures and reports; none returns if
 * something does not work. */
#pragma once

#include "report.h"

/* How many rounds, where so many are usual: --effort. */
size_t rounds_of_group(size_t rounds);

void bench_basic(struct report *report);  /* open, close, open_many, pipelined */
void bench_crowds(struct report *report); /* with many members; s6-fdholderd */
