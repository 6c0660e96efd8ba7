/* SPDX-License-Identifier: MIT */
/* What an event says, field by field: in a line for people, in columns, in the journal and as
 * JSON. */
#include "output/event.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/plain.h"
#include "base/words.h"
#include "common/memory.h"
#include "common/say.h"
#include "common/sockets.h"
#include "output/json.h"

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
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

/* Of a kind that is newer than this program there is no more to say. */
static const struct kind *kind_of(const struct fdset_event *event) {
    static const struct kind unknown = {"unknown"};
    size_t index = event->kind;

    return index >= FDSET_EVENT_ADDED && index < KIND_COUNT ? &kinds[index] : &unknown;
}

bool kinds_parse(const char *text, uint32_t *bits) {
    FOR_WORDS(word, text) {
        size_t kind = FDSET_EVENT_ADDED, length = strcspn(word, ",");
        while (kind < KIND_COUNT &&
               (strlen(kinds[kind].name) != length || strncmp(kinds[kind].name, word, length) != 0))
            kind++;
        if (kind == KIND_COUNT)
            return false;
        *bits |= FDSET_EVENT_BIT(kind);
    }
    return true;
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

/* What happened, in one line, as it was told. */
static char *event_text(const struct fdset_event *event) {
    const struct kind *kind = kind_of(event);
    struct text_stream text;

    text_stream_begin(&text);
    fputs(kind->name, text.stream);
    if (event->set >= 0)
        fprintf(text.stream, " set %d", event->set);
    if (event->member)
        fprintf(text.stream, " member %u", event->member);
    if (event->lease)
        fprintf(text.stream, " lease %llu", (unsigned long long)event->lease);
    if (event->path[0])
        fprintf(text.stream, " %s", event->path);
    if (kind->has_flags)
        fprintf(text.stream, " %s%s%s", mode_word(event->flags),
                flags_words(event->flags).text[0] ? "," : "", flags_words(event->flags).text);
    if (event->code)
        fprintf(text.stream, " because of %s", code_word(event->code));
    if (event->wait_ms)
        fprintf(text.stream, " for %ums", event->wait_ms);
    if (event->connection)
        fprintf(text.stream, " by %s (pid %s, connection %llu)", event->name,
                pid_text(event->pid).text, (unsigned long long)event->connection);
    if (event->held_by_lease)
        fprintf(text.stream, ", held by %s (pid %s) of %s", event->held_by_name,
                pid_text(event->held_by_pid).text, event->held_by_endpoint);
    if (event->reserved_for[0])
        fprintf(text.stream, ", for %s", event->reserved_for);
    return text_stream_end(&text);
}

/* ------------------------------------------------------------------ fields */

/* What a field is called as a column, in the journal and in JSON, where NULL is left out; and
 * its value: a number, or else a text, which is empty or NULL where there is none. */
struct field {
    const char *column, *journal, *json;
    const char *text;
    uint64_t number;
    bool is_number;
    bool is_for_programs; /* JSON has the number in any case */
    bool is_flags;        /* JSON has a list */
};

#define FIELD_COUNT 24

/* All of one event, with the texts that they point to. */
struct fields {
    struct words time, flags;
    char *line;
    struct field all[FIELD_COUNT];
};

#define NUMBER(value, is_there) NULL, value, is_there

static void fields_make(struct fields *fields, const struct told *told) {
    const struct fdset_event *event = told->event;
    const struct kind *kind = kind_of(event);

    fields->time = time_text(event->time_ms);
    fields->flags = flags_words(kind->has_flags ? event->flags : 0);
    fields->line = event_text(event);
    const struct field all[FIELD_COUNT] = {
        {"TIME", "FDSET_TIME", "time", fields->time.text},
        {"EVENT", "FDSET_EVENT", "event", kind->name},
        {"SET", "FDSET_SET", "set", NUMBER(event->set, event->set >= 0)},
        {"SET-NAME", "FDSET_SET_NAME", "set_name", told->set_name},
        {"MEMBER", "FDSET_MEMBER", "member", NUMBER(event->member, event->member)},
        {"LEASE", "FDSET_LEASE", "lease", NUMBER(event->lease, event->lease)},
        {"PATH", "FDSET_PATH", "path", event->path},
        {"MODE", "FDSET_MODE", "mode", kind->has_flags ? mode_word(event->flags) : NULL},
        {"FLAGS", "FDSET_FLAGS", "flags", fields->flags.text, .is_flags = kind->has_flags},
        {"CODE", "FDSET_CODE", "code", event->code ? code_word(event->code) : NULL},
        {"WAIT-MS", "FDSET_WAIT_MS", "wait_ms", NUMBER(event->wait_ms, event->wait_ms),
         .is_for_programs = event->kind == FDSET_EVENT_WANTED},
        {"PID", "FDSET_VMM_PID", "pid", NUMBER(event->pid, event->pid > 0)},
        {"NAME", "FDSET_VMM_NAME", "name", event->name},
        {"CONNECTION", "FDSET_VMM_CONNECTION", "connection",
         NUMBER(event->connection, event->connection)},
        {"ENDPOINT", "FDSET_ENDPOINT", "endpoint", event->endpoint},
        {"FOR", "FDSET_FOR", "reserved_for", event->reserved_for},
        {"HELD-LEASE", "FDSET_HELD_LEASE", "held_lease",
         NUMBER(event->held_by_lease, event->held_by_lease)},
        {"HELD-PID", "FDSET_HELD_PID", "held_pid",
         NUMBER(event->held_by_pid, event->held_by_pid > 0)},
        {"HELD-NAME", "FDSET_HELD_NAME", "held_name", event->held_by_name},
        {"HELD-ENDPOINT", "FDSET_HELD_ENDPOINT", "held_endpoint", event->held_by_endpoint},
        {"SEQUENCE", "FDSET_SEQUENCE", "sequence", NUMBER(event->sequence, true)},
        {"LOST", "FDSET_LOST", "lost", NUMBER(event->lost, event->lost), .is_for_programs = true},
        {"VM", "FDSET_VM", "vm", told->vm},
        {"TEXT", "MESSAGE", NULL, fields->line},
    };
    memcpy(fields->all, all, sizeof(all));
}

/* The value as a text, to be freed, or NULL. */
static char *field_text(const struct field *field) {
    if (field->is_number)
        return xasprintf("%llu", (unsigned long long)field->number);
    return field->text && *field->text ? xstrdup(field->text) : NULL;
}

/* NULL where there is none. */
static const struct field *field_find(const struct fields *fields, const char *word) {
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (word_is(fields->all[i].column, word))
            return &fields->all[i];
    return NULL;
}

/* Of no event: for their names. */
static void fields_of_none(struct fields *fields) {
    static const struct fdset_event nothing;

    fields_make(fields, &(struct told){.event = &nothing});
    free(fields->line);
}

bool event_columns_valid(const char *columns) {
    struct fields fields;

    fields_of_none(&fields);
    FOR_WORDS(word, columns)
    if (!field_find(&fields, word))
        return false;
    return true;
}

const char *event_columns(void) {
    static struct words words;
    struct fields fields;

    fields_of_none(&fields);
    words.text[0] = '\0';
    for (size_t i = 0; i < FIELD_COUNT; i++)
        words_append(&words, fields.all[i].column);
    return words.text;
}

static void column_print(const struct field *field) {
    char *text = field_text(field), *plain = plain_text(text ? text : "-");

    fputs(plain, stdout);
    free(plain);
    free(text);
}

void event_print(const struct told *told, const char *columns) {
    struct fields fields;

    fields_make(&fields, told);
    if (told->event->lost)
        printf("lost %llu events\n", (unsigned long long)told->event->lost);
    FOR_WORDS(word, columns) {
        column_print(field_find(&fields, word));
        putchar(word_next(word) ? '\t' : '\n');
    }
    free(fields.line);
}

void event_fields(const struct told *told, void (*each)(const char *name, const char *value)) {
    struct fields fields;

    fields_make(&fields, told);
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        char *text = field_text(&fields.all[i]);
        if (text)
            each(fields.all[i].journal, text);
        free(text);
    }
    free(fields.line);
}

static json_t *field_json(const struct field *field, const struct told *told) {
    if (field->is_flags)
        return flags_json(told->event->flags);
    if (field->is_number || field->is_for_programs)
        return json_integer((json_int_t)field->number);
    return json_text(field->text && *field->text ? field->text : NULL);
}

json_t *event_json(const struct told *told) {
    json_t *object = json_object();
    struct fields fields;

    fields_make(&fields, told);
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (fields.all[i].json)
            json_object_set_new(object, fields.all[i].json, field_json(&fields.all[i], told));
    free(fields.line);
    return object;
}

/* ---------------------------------------------------------------- the journal */

static const char *journal_path;
static int journal = -1;
static struct text_stream entry; /* that is being written */

void journal_open(const char *path) {
    journal_path = path;
    if (journal >= 0)
        close(journal);
    journal = socket_connect(path, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (journal == -ENAMETOOLONG)
        die("--journal: a socket's path cannot be longer than 107 bytes");
    if (journal < 0)
        die("cannot connect to the journal at %s: %s", path, strerror(-journal));
}

/* Where a value has the end of a line in it, its length says where it ends. */
static void field_add(const char *name, const char *value) {
    uint64_t length = htole64(strlen(value));

    if (!strchr(value, '\n')) {
        fprintf(entry.stream, "%s=%s\n", name, value);
        return;
    }
    fprintf(entry.stream, "%s\n", name);
    fwrite(&length, sizeof(length), 1, entry.stream);
    fprintf(entry.stream, "%s\n", value);
}

/* syslog(3)'s: 4 for a warning, 6 for information. */
static const char *priority(const struct fdset_event *event) {
    return event->kind == FDSET_EVENT_SETTLE_STUCK || event->lost ? "4" : "6";
}

void journal_send(const struct told *told) {
    text_stream_begin(&entry);
    field_add("SYSLOG_IDENTIFIER", "fdset-watch");
    field_add("PRIORITY", priority(told->event));
    event_fields(told, field_add);
    char *text = text_stream_end(&entry);
    /* A journal that was restarted has another socket there. */
    if (send(journal, text, entry.size, MSG_NOSIGNAL) < 0) {
        journal_open(journal_path);
        if (send(journal, text, entry.size, MSG_NOSIGNAL) < 0)
            die("the journal at %s refuses an entry: %s", journal_path, strerror(errno));
    }
    free(text);
}
