#include <stdio.h>
#include <string.h>

#include "event.h"
#include "json.h"
#include "words.h"

/* As fdset.proto's EventKind, which tells what each has. */
static const struct kind {
    const char *name;
    bool has_flags;
} kinds[] = {
    [FDSET_EVENT_ADDED] = {"added", true},   [FDSET_EVENT_REMOVED] = {"removed"},
    [FDSET_EVENT_OPENED] = {"opened", true}, [FDSET_EVENT_CLOSED] = {"closed"},
    [FDSET_EVENT_DENIED] = {"denied", true}, [FDSET_EVENT_WANTED] = {"wanted", true},
    [FDSET_EVENT_SET_GONE] = {"set-gone"},   [FDSET_EVENT_VMM_CONNECTED] = {"vmm-connected"},
    [FDSET_EVENT_VMM_GONE] = {"vmm-gone"},   [FDSET_EVENT_SETTLE_STUCK] = {"settle-stuck"},
};
#define KIND_COUNT (sizeof kinds / sizeof *kinds)

/* Of a kind that is newer than this program there is no more to say. */
static const struct kind *kind_of(const struct fdset_event *event) {
    static const struct kind unknown = {"unknown"};
    size_t index = event->kind;

    return index >= FDSET_EVENT_ADDED && index < KIND_COUNT ? &kinds[index] : &unknown;
}

static bool kind_parse(const char *name, size_t length, uint32_t *bits) {
    for (size_t i = FDSET_EVENT_ADDED; i < KIND_COUNT; i++) {
        if (strlen(kinds[i].name) != length || strncmp(kinds[i].name, name, length))
            continue;
        *bits |= FDSET_EVENT_BIT(i);
        return true;
    }
    return false;
}

bool kinds_parse(const char *text, uint32_t *bits) {
    for (;; text++) {
        size_t length = strcspn(text, ",");
        if (!kind_parse(text, length, bits))
            return false;
        text += length;
        if (!*text)
            return true;
    }
}

uint32_t kinds_all(void) {
    uint32_t bits = 0;

    for (size_t i = FDSET_EVENT_ADDED; i < KIND_COUNT; i++)
        bits |= FDSET_EVENT_BIT(i);
    return bits;
}

const char *kinds_text(void) {
    static struct words words;

    words.text[0] = '\0';
    for (size_t i = FDSET_EVENT_ADDED; i < KIND_COUNT; i++)
        words_append(&words, kinds[i].name);
    return words.text;
}

/* What the virtual machine chose must not reach the terminal as it is. */
static void plain_print(const char *text) {
    for (; *text; text++)
        putchar(*text >= ' ' && *text <= '~' ? *text : '?');
}

static void open_print(const struct fdset_event *event) {
    struct words words = flags_words(event->flags);

    printf(" %s%s%s", mode_word(event->flags), words.text[0] ? "," : "", words.text);
}

void event_print(const struct fdset_event *event) {
    const struct kind *kind = kind_of(event);

    if (event->lost)
        printf("lost %llu events\n", (unsigned long long)event->lost);
    fputs(kind->name, stdout);
    if (event->set >= 0)
        printf(" set %d", event->set);
    if (event->member)
        printf(" member %u", event->member);
    if (event->lease)
        printf(" lease %u", event->lease);
    if (event->path[0]) {
        putchar(' ');
        plain_print(event->path);
    }
    if (kind->has_flags)
        open_print(event);
    if (event->code)
        printf(" because of %s", code_word(event->code));
    if (event->wait_ms)
        printf(" for %ums", event->wait_ms);
    if (event->connection) {
        fputs(" by ", stdout);
        plain_print(event->name);
        printf(" (pid %d, connection %u)", (int)event->pid, event->connection);
    }
    putchar('\n');
}

static json_t *number_json(uint64_t number, bool is_there) {
    return is_there ? json_integer((json_int_t)number) : json_null();
}

json_t *event_json(const struct fdset_event *event) {
    const struct kind *kind = kind_of(event);
    bool who = event->connection;

    return json_pack("{s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                     "event", kind->name, "sequence", (json_int_t)event->sequence, "lost",
                     (json_int_t)event->lost, "set", number_json(event->set, event->set >= 0),
                     "member", number_json(event->member, event->member), "lease",
                     number_json(event->lease, event->lease), "path",
                     json_text(event->path[0] ? event->path : NULL), "mode",
                     json_text(kind->has_flags ? mode_word(event->flags) : NULL), "flags",
                     kind->has_flags ? flags_json(event->flags) : json_null(), "code",
                     json_text(event->code ? code_word(event->code) : NULL), "wait_ms",
                     number_json(event->wait_ms, event->kind == FDSET_EVENT_WANTED), "connection",
                     number_json(event->connection, who), "pid", number_json(event->pid, who),
                     "name", json_text(who ? event->name : NULL));
}
