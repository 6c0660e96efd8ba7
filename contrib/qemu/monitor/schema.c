/* SPDX-License-Identifier: MIT */
/* The entries of query-qmp-schema for the commands that QEMU does not have, or not so. */
#include "fdset-commands.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Members that several objects have. In a list, '?' stands before the type of a member that
 * may be absent. */
#define LEASE       "fdset-id:int fd:int lease:int "
#define WHO         "connection:int pid:int client:str "
#define HOW         "mode:str direct:bool "
#define OPEN_FAILED "path:str fdset-id:?int " HOW "reason:str lost:?int " WHO

/* Types have names of their own, since QEMU's have other numbers in each build. */
static const struct {
    const char *command, *kind, *name;
    const char *first, *second; /* types of argument and result; an element's; members */
} schema[] = {
    {"add-fd", "command", "add-fd", "x-fdset-add", "x-fdset-added"},
    {"add-fd", "object", "x-fdset-add", "fdset-id:?int opaque:?str", NULL},
    {"add-fd", "object", "x-fdset-added", "fdset-id:int fd:int", NULL},

    {"remove-fd", "command", "remove-fd", "x-fdset-remove", "x-fdset-removed"},
    {"remove-fd", "object", "x-fdset-remove", "fdset-id:int fd:?int", NULL},
    {"remove-fd", "object", "x-fdset-removed", "", NULL},

    {"query-fdsets", "command", "query-fdsets", "x-fdset-query", "[x-fdset-set]"},
    {"query-fdsets", "object", "x-fdset-query", "", NULL},
    {"query-fdsets", "array", "[x-fdset-set]", "x-fdset-set", NULL},
    {"query-fdsets", "object", "x-fdset-set", "fdset-id:int fds:[x-fdset-member]", NULL},
    {"query-fdsets", "array", "[x-fdset-member]", "x-fdset-member", NULL},
    {"query-fdsets", "object", "x-fdset-member", "fd:int opaque:?str", NULL},

    {"x-fdset-query-leases", "command", "x-fdset-query-leases", "x-fdset-query-lease",
     "[x-fdset-lease]"},
    {"x-fdset-query-leases", "object", "x-fdset-query-lease", "", NULL},
    {"x-fdset-query-leases", "array", "[x-fdset-lease]", "x-fdset-lease", NULL},
    {"x-fdset-query-leases", "object", "x-fdset-lease", LEASE HOW "age-ms:int " WHO, NULL},

    {"x-fdset-events", "command", "x-fdset-events", "x-fdset-enable", "x-fdset-enabled"},
    {"x-fdset-events", "object", "x-fdset-enable", "enable:bool", NULL},
    {"x-fdset-events", "object", "x-fdset-enabled", "", NULL},
    {"x-fdset-events", "event", "FDSET_WANTED", "x-fdset-wanted", NULL},
    {"x-fdset-events", "object", "x-fdset-wanted", OPEN_FAILED "wait-ms:int", NULL},
    {"x-fdset-events", "event", "FDSET_DENIED", "x-fdset-denied", NULL},
    {"x-fdset-events", "object", "x-fdset-denied", OPEN_FAILED, NULL},
    {"x-fdset-events", "event", "FDSET_CLOSED", "x-fdset-closed", NULL},
    {"x-fdset-events", "object", "x-fdset-closed", LEASE "lost:?int " WHO, NULL},
};

/* NULL where memory ran out, as with all of jansson's. */
static json_t *members_json(const char *list) {
    json_t *members = json_array();

    for (list += strspn(list, " "); *list; list += strspn(list, " ")) {
        int length = (int)strcspn(list, ":");
        const char *type = list + length + 1;
        json_t *member = json_pack("{s:s%}", "name", list, length);
        if (*type == '?' && type++)
            json_object_set_new(member, "default", json_null());
        list = type + strcspn(type, " ");
        json_object_set_new(member, "type", json_stringn(type, (size_t)(list - type)));
        json_array_append_new(members, member);
    }
    return members;
}

static json_t *entry_json(size_t i) {
    json_t *entry = json_pack("{s:s, s:s}", "name", schema[i].name, "meta-type", schema[i].kind);
    char kind = schema[i].kind[0];

    if (kind == 'o')
        json_object_set_new(entry, "members", members_json(schema[i].first));
    else
        json_object_set_new(entry, kind == 'a' ? "element-type" : "arg-type",
                            json_string(schema[i].first));
    if (schema[i].second)
        json_object_set_new(entry, "ret-type", json_string(schema[i].second));
    return entry;
}

void schema_append(const char *command, struct text *to) {
    const char *separator = "";

    for (size_t i = 0; i < sizeof(schema) / sizeof(*schema); i++) {
        if (strcmp(schema[i].command, command) != 0)
            continue;
        json_t *entry = entry_json(i);
        char *text = json_dumps(entry, 0);
        to->failed |= !text;
        text_append_string(to, separator);
        text_append_string(to, text ? text : "");
        separator = ", ";
        free(text);
        json_decref(entry);
    }
}
