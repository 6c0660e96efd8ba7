/* SPDX-License-Identifier: MIT */
#include "schema.h"

#include <string.h>

#define ENTRY(name, meta, rest) "{\"name\": \"" name "\", \"meta-type\": \"" meta "\", " rest "}"
#define COMMAND(name, argument, result) \
    ENTRY(name, "command", "\"arg-type\": \"" argument "\", \"ret-type\": \"" result "\"")
#define EVENT(name, argument) ENTRY(name, "event", "\"arg-type\": \"" argument "\"")
#define OBJECT(name, members) ENTRY(name, "object", "\"members\": [" members "]")
#define ARRAY(element)        ENTRY("[" element "]", "array", "\"element-type\": \"" element "\"")
#define MEMBER(name, type)    "{\"name\": \"" name "\", \"type\": \"" type "\"}"
#define OPTIONAL(name, type)  "{\"name\": \"" name "\", \"default\": null, \"type\": \"" type "\"}"

/* Members that several objects have. */
#define SET         MEMBER("fdset-id", "int")
#define SET_AND_FD  SET ", " MEMBER("fd", "int")
#define LEASE       SET_AND_FD ", " MEMBER("lease", "int")
#define WHO         MEMBER("connection", "int") ", " MEMBER("pid", "int") ", " MEMBER("client", "str")
#define LOST        OPTIONAL("lost", "int")
#define HOW         MEMBER("mode", "str") ", " MEMBER("direct", "bool")
#define OPEN_OF     MEMBER("path", "str") ", " OPTIONAL("fdset-id", "int")
#define OPEN_FAILED OPEN_OF ", " HOW ", " MEMBER("reason", "str") ", " LOST ", " WHO

/* Types have names of their own, since QEMU's have other numbers in each build. */
static const struct {
    const char *command, *entry;
} schema[] = {
    {"add-fd", COMMAND("add-fd", "x-fdset-add", "x-fdset-added")},
    {"add-fd", OBJECT("x-fdset-add", OPTIONAL("fdset-id", "int") ", " OPTIONAL("opaque", "str"))},
    {"add-fd", OBJECT("x-fdset-added", SET_AND_FD)},

    {"remove-fd", COMMAND("remove-fd", "x-fdset-remove", "x-fdset-removed")},
    {"remove-fd", OBJECT("x-fdset-remove", SET ", " OPTIONAL("fd", "int"))},
    {"remove-fd", OBJECT("x-fdset-removed", "")},

    {"query-fdsets", COMMAND("query-fdsets", "x-fdset-query", "[x-fdset-set]")},
    {"query-fdsets", OBJECT("x-fdset-query", "")},
    {"query-fdsets", ARRAY("x-fdset-set")},
    {"query-fdsets", OBJECT("x-fdset-set", SET ", " MEMBER("fds", "[x-fdset-member]"))},
    {"query-fdsets", ARRAY("x-fdset-member")},
    {"query-fdsets", OBJECT("x-fdset-member", MEMBER("fd", "int") ", " OPTIONAL("opaque", "str"))},

    {"x-fdset-query-leases",
     COMMAND("x-fdset-query-leases", "x-fdset-query-lease", "[x-fdset-lease]")},
    {"x-fdset-query-leases", OBJECT("x-fdset-query-lease", "")},
    {"x-fdset-query-leases", ARRAY("x-fdset-lease")},
    {"x-fdset-query-leases",
     OBJECT("x-fdset-lease", LEASE ", " HOW ", " MEMBER("age-ms", "int") ", " WHO)},

    {"x-fdset-events", COMMAND("x-fdset-events", "x-fdset-enable", "x-fdset-enabled")},
    {"x-fdset-events", OBJECT("x-fdset-enable", MEMBER("enable", "bool"))},
    {"x-fdset-events", OBJECT("x-fdset-enabled", "")},
    {"x-fdset-events", EVENT("FDSET_WANTED", "x-fdset-wanted")},
    {"x-fdset-events", OBJECT("x-fdset-wanted", OPEN_FAILED ", " MEMBER("wait-ms", "int"))},
    {"x-fdset-events", EVENT("FDSET_DENIED", "x-fdset-denied")},
    {"x-fdset-events", OBJECT("x-fdset-denied", OPEN_FAILED)},
    {"x-fdset-events", EVENT("FDSET_CLOSED", "x-fdset-closed")},
    {"x-fdset-events", OBJECT("x-fdset-closed", LEASE ", " LOST ", " WHO)},
};

void schema_append(const char *command, struct text *to) {
    const char *separator = "";

    for (size_t i = 0; i < sizeof schema / sizeof *schema; i++) {
        if (strcmp(schema[i].command, command) != 0)
            continue;
        text_append_string(to, separator);
        text_append_string(to, schema[i].entry);
        separator = ", ";
    }
}
