/* SPDX-License-Identifier: MIT */
/* Writes entries of the journal, and finds it again after it was restarted. */
#include "output/event.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/say.h"
#include "common/sockets.h"

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
