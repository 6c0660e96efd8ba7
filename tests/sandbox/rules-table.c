/* SPDX-License-Identifier: MIT */
/* Prints the table of rules as Markdown, for documentation that cannot go stale. */
#include <stdio.h>

#include "confine/filter.h"

int main(void) {
    printf("%zu calls by %zu rules:\n\n", filter_call_count(), filter_rule_count);
    printf("| call | only with | why |\n|---|---|---|\n");
    for (size_t i = 0; i < filter_rule_count; i++) {
        const struct filter_rule *rule = &filter_rules[i];

        printf("| `%s` |", rule->call);
        for (size_t j = 0; j < FILTER_MAX_ARGUMENTS && rule->arguments[j].test; j++) {
            /* A bar would end the cell, even in code. */
            printf("%s`", j ? ", " : " ");
            for (const char *text = rule->arguments[j].text; *text; text++)
                printf(*text == '|' ? "\\|" : "%c", *text);
            printf("`");
        }
        printf(" | %s |\n", rule->reason);
    }
    printf("\n");
    return 0;
}
