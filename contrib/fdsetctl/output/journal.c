/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/verb.h"
#include "output/journal.h"

static const char *program, *journal_path;
static int journal = -1;
static FILE *entry; /* that is being written */

static void journal_connect(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(journal_path) >= sizeof address.sun_path)
        refused(program, "--journal: a socket's path cannot be longer than %zu bytes",
                sizeof address.sun_path - 1);
    strcpy(address.sun_path, journal_path);
    if (journal >= 0)
        close(journal);
    journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (journal < 0)
        refused(program, "cannot make a socket: %s", strerror(errno));
    if (connect(journal, (const struct sockaddr *)&address, sizeof address) < 0)
        refused(program, "cannot connect to the journal at %s: %s", journal_path, strerror(errno));
}

void journal_open(const char *name, const char *path) {
    program = name;
    journal_path = path;
    journal_connect();
}

/* Where a value has the end of a line in it, its length says where it ends. */
static void field_add(const char *name, const char *value) {
    uint64_t length = htole64(strlen(value));

    if (!strchr(value, '\n')) {
        fprintf(entry, "%s=%s\n", name, value);
        return;
    }
    fprintf(entry, "%s\n", name);
    fwrite(&length, sizeof length, 1, entry);
    fprintf(entry, "%s\n", value);
}

/* syslog(3)'s: 4 for a warning, 6 for information. */
static const char *priority(const struct fdset_event *event) {
    return event->kind == FDSET_EVENT_SETTLE_STUCK || event->lost ? "4" : "6";
}

void journal_send(const struct told *told) {
    char *text = NULL;
    size_t size;

    entry = open_memstream(&text, &size);
    if (!entry)
        refused(program, "out of memory");
    field_add("SYSLOG_IDENTIFIER", "fdset-watch");
    field_add("PRIORITY", priority(told->event));
    event_fields(told, field_add);
    if (fclose(entry))
        refused(program, "out of memory");
    /* A journal that was restarted has another socket there. */
    if (send(journal, text, size, MSG_NOSIGNAL) < 0) {
        journal_connect();
        if (send(journal, text, size, MSG_NOSIGNAL) < 0)
            refused(program, "the journal at %s refuses an entry: %s", journal_path,
                    strerror(errno));
    }
    free(text);
}
