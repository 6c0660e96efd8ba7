/* SPDX-License-Identifier: MIT */
/* An interpreter of seccomp filters: see bpf.h. */
#include "bpf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void refuse(const char *what, size_t at) {
    fprintf(stderr, "instruction %zu: %s\n", at, what);
    abort();
}

static uint32_t load(const struct seccomp_data *data, uint32_t offset, size_t at) {
    uint32_t word;

    if (offset % 4 != 0 || offset > sizeof(*data) - 4)
        refuse("loads from outside", at);
    memcpy(&word, (const char *)data + offset, sizeof(word));
    return word;
}

uint32_t bpf_run(const struct sock_filter *program, size_t length,
                 const struct seccomp_data *data) {
    uint32_t accumulator = 0;

    for (size_t at = 0; at < length; at++) {
        const struct sock_filter *step = &program[at];
        switch (step->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            accumulator = load(data, step->k, at);
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            accumulator &= step->k;
            break;
        case BPF_JMP | BPF_JA:
            at += step->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            at += accumulator == step->k ? step->jt : step->jf;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            at += accumulator >= step->k ? step->jt : step->jf;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            at += accumulator > step->k ? step->jt : step->jf;
            break;
        case BPF_RET | BPF_K:
            return step->k;
        default:
            refuse("unknown", at);
        }
    }
    refuse("runs off the end", length);
    return 0;
}
