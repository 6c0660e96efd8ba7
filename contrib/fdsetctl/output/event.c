/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/plain.h"
#include "base/verb.h"
#include "base/words.h"
#include "output/event.h"
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

/* A text that is written bit by bit. */
struct writer {
    FILE *stream;
    char *text;
    size_t size;
};

static void writer_begin(struct writer *writer) {
    writer->stream = open_memstream(&writer->text, &writer->size);
    if (!writer->stream)
        refused("fdsetctl", "out of memory");
}

static char *writer_end(struct writer *writer) {
    if (fclose(writer->stream))
        refused("fdsetctl", "out of memory");
    return writer->text;
}

char *event_text(const struct fdset_event *event) {
    const struct kind *kind = kind_of(event);
    struct writer writer;

    writer_begin(&writer);
    fputs(kind->name, writer.stream);
    if (event->set >= 0)
        fprintf(writer.stream, " set %d", event->set);
    if (event->member)
        fprintf(writer.stream, " member %u", event->member);
    if (event->lease)
        fprintf(writer.stream, " lease %u", event->lease);
    if (event->path[0])
        fprintf(writer.stream, " %s", event->path);
    if (kind->has_flags)
        fprintf(writer.stream, " %s%s%s", mode_word(event->flags),
                flags_words(event->flags).text[0] ? "," : "", flags_words(event->flags).text);
    if (event->code)
        fprintf(writer.stream, " because of %s", code_word(event->code));
    if (event->wait_ms)
        fprintf(writer.stream, " for %ums", event->wait_ms);
    if (event->connection)
        fprintf(writer.stream, " by %s (pid %s, connection %u)", event->name,
                pid_text(event->pid).text, event->connection);
    return writer_end(&writer);
}

/* ------------------------------------------------------------------ fields */

static bool number_write(FILE *stream, uint64_t number, bool is_there) {
    return is_there && fprintf(stream, "%llu", (unsigned long long)number) > 0;
}

static bool text_write(FILE *stream, const char *text) {
    return text && *text && fputs(text, stream) >= 0;
}

static bool time_write(FILE *stream, const struct told *told) {
    return text_write(stream, time_text(told->event->time_ms).text);
}

static bool kind_write(FILE *stream, const struct told *told) {
    return text_write(stream, kind_of(told->event)->name);
}

static bool set_write(FILE *stream, const struct told *told) {
    return number_write(stream, told->event->set, told->event->set >= 0);
}

static bool set_name_write(FILE *stream, const struct told *told) {
    return text_write(stream, told->set_name);
}

static bool member_write(FILE *stream, const struct told *told) {
    return number_write(stream, told->event->member, told->event->member);
}

static bool lease_write(FILE *stream, const struct told *told) {
    return number_write(stream, told->event->lease, told->event->lease);
}

static bool path_write(FILE *stream, const struct told *told) {
    return text_write(stream, told->event->path);
}

static bool mode_write(FILE *stream, const struct told *told) {
    return kind_of(told->event)->has_flags && text_write(stream, mode_word(told->event->flags));
}

static bool flags_write(FILE *stream, const struct told *told) {
    return kind_of(told->event)->has_flags &&
           text_write(stream, flags_words(told->event->flags).text);
}

static bool code_write(FILE *stream, const struct told *told) {
    return told->event->code && text_write(stream, code_word(told->event->code));
}

static bool wait_write(FILE *stream, const struct told *told) {
    return number_write(stream, told->event->wait_ms, told->event->wait_ms);
}

static bool name_write(FILE *stream, const struct told *told) {
    return text_write(stream, told->event->name);
}

static bool pid_write(FILE *stream, const struct told *told) {
    return number_write(stream, told->event->pid, told->event->pid > 0);
}

static bool connection_write(FILE *stream, const struct told *told) {
    return number_write(stream, told->event->connection, told->event->connection);
}

static bool sequence_write(FILE *stream, const struct told *told) {
    return number_write(stream, told->event->sequence, true);
}

static bool lost_write(FILE *stream, const struct told *told) {
    return number_write(stream, told->event->lost, told->event->lost);
}

static bool vm_write(FILE *stream, const struct told *told) {
    return text_write(stream, told->vm);
}

static bool text_field_write(FILE *stream, const struct told *told) {
    char *text = event_text(told->event);
    bool written = text_write(stream, text);
    free(text);
    return written;
}

static const struct field {
    const char *column, *journal;
    bool (*write)(FILE *stream, const struct told *told); /* false: it has none */
} fields[] = {
    {"TIME", "FDSET_TIME", time_write},
    {"EVENT", "FDSET_EVENT", kind_write},
    {"SET", "FDSET_SET", set_write},
    {"SET-NAME", "FDSET_SET_NAME", set_name_write},
    {"MEMBER", "FDSET_MEMBER", member_write},
    {"LEASE", "FDSET_LEASE", lease_write},
    {"PATH", "FDSET_PATH", path_write},
    {"MODE", "FDSET_MODE", mode_write},
    {"FLAGS", "FDSET_FLAGS", flags_write},
    {"CODE", "FDSET_CODE", code_write},
    {"WAIT-MS", "FDSET_WAIT_MS", wait_write},
    {"PID", "FDSET_VMM_PID", pid_write},
    {"NAME", "FDSET_VMM_NAME", name_write},
    {"CONNECTION", "FDSET_VMM_CONNECTION", connection_write},
    {"SEQUENCE", "FDSET_SEQUENCE", sequence_write},
    {"LOST", "FDSET_LOST", lost_write},
    {"VM", "FDSET_VM", vm_write},
    {"TEXT", "MESSAGE", text_field_write},
};
#define FIELD_COUNT (sizeof fields / sizeof *fields)

static const struct field *field_find(const char *column, size_t length) {
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (strlen(fields[i].column) == length && !strncasecmp(fields[i].column, column, length))
            return &fields[i];
    return NULL;
}

/* Calls `each`, if any, for the columns; false where one is none. */
static bool columns_read(const char *columns, const struct told *told,
                         void (*each)(const struct field *field, const struct told *told)) {
    for (;; columns++) {
        size_t length = strcspn(columns, ",");
        const struct field *field = field_find(columns, length);
        if (!field)
            return false;
        if (each)
            each(field, told);
        columns += length;
        if (!*columns)
            return true;
        if (each)
            putchar('\t');
    }
}

bool event_columns_valid(const char *columns) {
    return columns_read(columns, NULL, NULL);
}

const char *event_columns(void) {
    static struct words words;

    words.text[0] = '\0';
    for (size_t i = 0; i < FIELD_COUNT; i++)
        words_append(&words, fields[i].column);
    return words.text;
}

static char *field_text(const struct field *field, const struct told *told) {
    struct writer writer;

    writer_begin(&writer);
    bool is_there = field->write(writer.stream, told);
    char *text = writer_end(&writer);
    if (is_there)
        return text;
    free(text);
    return NULL;
}

static void column_print(const struct field *field, const struct told *told) {
    char *text = field_text(field, told), *plain = plain_text(text ? text : "-");

    fputs(plain, stdout);
    free(plain);
    free(text);
}

void event_print(const struct told *told, const char *columns) {
    if (told->event->lost)
        printf("lost %llu events\n", (unsigned long long)told->event->lost);
    columns_read(columns, told, column_print);
    putchar('\n');
}

void event_fields(const struct told *told, void (*each)(const char *name, const char *value)) {
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        char *text = field_text(&fields[i], told);
        if (text)
            each(fields[i].journal, text);
        free(text);
    }
}

static json_t *number_json(uint64_t number, bool is_there) {
    return is_there ? json_integer((json_int_t)number) : json_null();
}

json_t *event_json(const struct told *told) {
    const struct fdset_event *event = told->event;
    const struct kind *kind = kind_of(event);
    bool who = event->connection;

    struct time_words time = time_text(event->time_ms);

    return json_pack(
        "{s:o, s:o, s:o, s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
        "time", json_text(time.text[0] ? time.text : NULL), "vm", json_text(told->vm), "set_name",
        json_text(told->set_name), "event", kind->name, "sequence", (json_int_t)event->sequence,
        "lost", (json_int_t)event->lost, "set", number_json(event->set, event->set >= 0), "member",
        number_json(event->member, event->member), "lease", number_json(event->lease, event->lease),
        "path", json_text(event->path[0] ? event->path : NULL), "mode",
        json_text(kind->has_flags ? mode_word(event->flags) : NULL), "flags",
        kind->has_flags ? flags_json(event->flags) : json_null(), "code",
        json_text(event->code ? code_word(event->code) : NULL), "wait_ms",
        number_json(event->wait_ms, event->kind == FDSET_EVENT_WANTED), "connection",
        number_json(event->connection, who), "pid", number_json(event->pid, who && event->pid > 0),
        "name", json_text(who ? event->name : NULL));
}
