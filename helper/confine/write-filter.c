/* SPDX-License-Identifier: MIT */
/* write-filter enforce|log [ARCHITECTURE]
 *
 * Writes the filter as what filter.c is made of: initializers of struct
 * sock_filter. Of what the rules compare with, only two addresses are not known
 * yet; where they stand, it writes names for filter.c to fill in. */
#include <err.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>

#include "filter.h"

/* The halves of two addresses as no rule would have them. */
static const struct place {
    uint32_t stand_in;
    const char *name;
    enum filter_test test; /* of rules that compare with it */
} places[] = {
    {0x1dea0001, "LOW(plan->empty_path)", FILTER_EMPTY_PATH},
    {0x1dea0002, "HIGH(plan->empty_path)", FILTER_EMPTY_PATH},
    {0x1dea0003, "LOW(plan->unlock_all)", FILTER_UNLOCK_ALL},
    {0x1dea0004, "HIGH(plan->unlock_all)", FILTER_UNLOCK_ALL},
};

#define PLACES (sizeof(places) / sizeof(places[0]))

static void *address_of(const struct place *low, const struct place *high) {
    return (void *)(uintptr_t)((uint64_t)high->stand_in << 32 | low->stand_in);
}

static unsigned found[PLACES];

static void write_instruction(const struct sock_filter *instruction) {
    printf("{%#x, %u, %u, ", instruction->code, instruction->jt, instruction->jf);
    for (size_t i = 0; i < PLACES; i++)
        if (instruction->k == places[i].stand_in) {
            found[i]++;
            printf("%s},\n", places[i].name);
            return;
        }
    printf("%#x},\n", instruction->k);
}

static unsigned count_rules(enum filter_test test) {
    unsigned count = 0;

    for (size_t i = 0; i < filter_rule_count; i++)
        for (size_t k = 0; k < FILTER_MAX_ARGUMENTS; k++)
            count += filter_rules[i].arguments[k].test == test;
    return count;
}

/* Each place is compared with by one instruction of its rule and by no other. */
static void check_places(void) {
    for (size_t i = 0; i < PLACES; i++)
        if (found[i] != count_rules(places[i].test))
            errx(1, "%u instructions for %s", found[i], places[i].name);
}

int main(int argc, char **argv) {
    if (argc < 2)
        errx(2, "usage: write-filter enforce|log [ARCHITECTURE]");
    const struct confine_plan plan = {
        .mode = strcmp(argv[1], "log") == 0 ? CONFINE_LOG : CONFINE_ENFORCE,
        .empty_path = address_of(&places[0], &places[1]),
        .unlock_all = address_of(&places[2], &places[3]),
    };
    uint32_t architecture = argc > 2 ? seccomp_arch_resolve_name(argv[2]) : seccomp_arch_native();
    if (architecture == 0)
        errx(1, "libseccomp does not know the architecture %s", argv[2]);
    struct sock_filter instruction;
    FILE *program = tmpfile();

    if (!program)
        err(1, "a temporary file");
    int result = filter_export(&plan, architecture, fileno(program));
    if (result < 0)
        errx(1, "libseccomp: %s; it needs 2.5 or later", strerror(-result));
    rewind(program);
    while (fread(&instruction, sizeof(instruction), 1, program) == 1)
        write_instruction(&instruction);
    fclose(program);
    check_places();
    return 0;
}
