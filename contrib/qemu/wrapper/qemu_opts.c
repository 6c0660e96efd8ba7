/* SPDX-License-Identifier: MIT */
/* Reads and writes QEMU's key=value,key=value. */
#include "qemu_opts.h"

#include <string.h>

#include "common/memory.h"
#include "common/say.h"

/* Copies up to a comma that is not doubled. `*text` is then behind it, or NULL. */
static char *value_read(const char **text) {
    const char *from = *text;
    char *value = xcalloc(strlen(from) + 1, 1), *to = value;

    for (; *from && !(from[0] == ',' && from[1] != ','); from++) {
        if (*from == ',')
            from++;
        *to++ = *from;
    }
    *text = *from ? from + 1 : NULL;
    return value;
}

static void pair_parse(struct pairs *pairs, const char **text, const char *first) {
    size_t length = strcspn(*text, "=,");

    if ((*text)[length] == '=') {
        const char *key = xasprintf("%.*s", (int)length, *text);
        *text += length + 1;
        pairs_add(pairs, key, value_read(text));
        return;
    }
    char *word = value_read(text);
    if (first)
        pairs_add(pairs, first, word);
    else if (strncmp(word, "no", 2) == 0)
        pairs_add(pairs, word + 2, "off");
    else if (word[0])
        pairs_add(pairs, word, "on");
}

void pairs_parse(struct pairs *pairs, const char *text, const char *first) {
    pairs->count = 0;
    while (text && *text) {
        pair_parse(pairs, &text, first);
        first = NULL;
    }
}

const char *pairs_get(const struct pairs *pairs, const char *key) {
    for (size_t i = pairs->count; i-- > 0;)
        if (strcmp(pairs->items[i].key, key) == 0)
            return pairs->items[i].value;
    return NULL;
}

bool pairs_is_on(const struct pairs *pairs, const char *key) {
    static const char *const words[] = {"on", "yes", "true", "y"};
    const char *value = pairs_get(pairs, key);

    for (size_t i = 0; value && i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(value, words[i]) == 0)
            return true;
    return false;
}

void pairs_drop(struct pairs *pairs, const char *key) {
    size_t kept = 0;

    for (size_t i = 0; i < pairs->count; i++)
        if (strcmp(pairs->items[i].key, key) != 0)
            pairs->items[kept++] = pairs->items[i];
    pairs->count = kept;
}

void pairs_add(struct pairs *pairs, const char *key, const char *value) {
    if (pairs->count == MAX_PAIRS)
        die("more than %d parameters in one option", MAX_PAIRS);
    pairs->items[pairs->count++] = (struct pair){xstrdup(key), xstrdup(value)};
}

static void value_write(FILE *to, const char *value) {
    for (; *value; value++)
        fprintf(to, *value == ',' ? ",%c" : "%c", *value);
}

char *pairs_text(const struct pairs *pairs, const char *first) {
    struct text_stream text;

    text_stream_begin(&text);
    for (size_t i = 0; i < pairs->count; i++) {
        const struct pair *pair = &pairs->items[i];
        if (i > 0)
            fputc(',', text.stream);
        if (i > 0 || !first || strcmp(pair->key, first) != 0)
            fprintf(text.stream, "%s=", pair->key);
        value_write(text.stream, pair->value);
    }
    return text_stream_end(&text);
}
