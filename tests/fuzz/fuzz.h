/* SPDX-License-Identifier: MIT */
/* What all fuzz targets share. A target is a file with LLVMFuzzerTestOneInput:
 * libFuzzer and AFL++ bring a main() of their own, and where neither is there,
 * replay.c runs the corpus as a test. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold whatever the input is. */
#define CHECK(condition)                                                                   \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                       \
        }                                                                                  \
    } while (0)

/* The input, taken from its start. Past its end there are zeros. */
struct input {
    const uint8_t *data;
    size_t left;
};

static inline uint8_t input_byte(struct input *input) {
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->data++;
}

static inline uint32_t input_below(struct input *input, uint32_t limit) {
    return input_byte(input) % limit;
}

/* How many descriptors this process has open. */
int fuzz_count_descriptors(void);
