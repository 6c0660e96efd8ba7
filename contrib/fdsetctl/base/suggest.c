/* SPDX-License-Identifier: MIT */
/* Guesses what was meant, by other tools' words and by how far two words are apart. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"

#define WORD_MAX 31

/* How many letters must be put in, taken out or changed; a lot where a word is long. */
static size_t distance(const char *one, const char *other, size_t other_length) {
    size_t row[WORD_MAX + 1], length = strlen(one);

    if (length > WORD_MAX || other_length > WORD_MAX)
        return 2 * WORD_MAX;
    for (size_t j = 0; j <= other_length; j++)
        row[j] = j;
    for (size_t i = 1; i <= length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= other_length; j++) {
            size_t change = diagonal + (one[i - 1] != other[j - 1]), least = row[j] + 1;
            diagonal = row[j];
            if (row[j - 1] + 1 < least)
                least = row[j - 1] + 1;
            row[j] = change < least ? change : least;
        }
    }
    return row[other_length];
}

/* Two letters in a long word, one in a short one. */
static size_t tolerance(const char *word) {
    return strlen(word) > 4 ? 2 : 1;
}

struct synonym {
    const char *word, *ours;
};

static const char *synonym_find(const struct synonym *synonyms, const char *word) {
    for (; synonyms->word; synonyms++)
        if (strcmp(synonyms->word, word) == 0)
            return synonyms->ours;
    return NULL;
}

const char *verb_suggest(const char *word, const char *const *verbs) {
    static const struct synonym synonyms[] = {
        {"ls", "list"},           {"query", "list"},
        {"sets", "list"},         {"ps", "list"},
        {"rm", "remove"},         {"del", "remove"},
        {"delete", "remove"},     {"close", "remove"},
        {"add-fd", "add"},        {"open", "add"},
        {"new", "add"},           {"create", "add"},
        {"get", "show"},          {"describe", "show"},
        {"remove-fd", "remove"},  {"events", "watch"},
        {"monitor", "watch"},     {"tail", "watch"},
        {"log", "watch"},         {"metrics", "stats"},
        {"query-fdsets", "list"}, {"version", "info"},
        {"limits", "info"},       {"status", "info"},
        {"lsof", "who"},          {"fuser", "who"},
        {"holders", "who"},       {NULL},
    };
    const char *found = synonym_find(synonyms, word);

    for (size_t i = 0; !found && verbs[i]; i++)
        if (*word && strncmp(verbs[i], word, strlen(word)) == 0)
            found = verbs[i];
    for (size_t i = 0; !found && verbs[i]; i++)
        if (distance(word, verbs[i], strlen(verbs[i])) <= tolerance(word))
            found = verbs[i];
    return found;
}

char *option_suggest(const char *word, const char *help) {
    static const struct synonym synonyms[] = {
        {"rw", "--read-write"},
        {"readwrite", "--read-write"},
        {"write", "--read-write"},
        {"ro", "--read-only"},
        {"readonly", "--read-only"},
        {"wo", "--write-only"},
        {"writeonly", "--write-only"},
        {"label", "--opaque"},
        {"id", "--set"},
        {"nocache", "--direct"},
        {"columns", "--output"},
        {"format", "--output"},
        {"no-header", "--no-headings"},
        {"noheadings", "--no-headings"},
        {"count-events", "--count"},
        {NULL},
    };
    char name[WORD_MAX + 1], *found = NULL;
    size_t least = tolerance(word) + 1;
    const char *ours;

    snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
    ours = synonym_find(synonyms, name);
    if (ours && strstr(help, ours))
        return strdup(ours);
    for (const char *next = help; (next = strstr(next, "--")); next += 2) {
        size_t length = strspn(next + 2, "abcdefghijklmnopqrstuvwxyz-");
        size_t away = length ? distance(name, next + 2, length) : least;
        if (away >= least)
            continue;
        least = away;
        free(found);
        found = strndup(next, length + 2);
    }
    return found;
}
