/* SPDX-License-Identifier: MIT */
/* The entries of query-qmp-schema for the commands and events that QEMU does not have. */
#include "fdset-json.h"

/* Types have names of their own, since QEMU's have other numbers in each build. */
#define COMMAND(name, argument, result)                                                      \
    "{\"name\": \"" name "\", \"meta-type\": \"command\", \"arg-type\": \"x-fdset-" argument \
    "\", \"ret-type\": \"" result "\"}, "
#define EVENT(name, argument) \
    "{\"name\": \"" name "\", \"meta-type\": \"event\", \"arg-type\": \"x-fdset-" argument "\"}, "
#define OBJECT(name, members) \
    "{\"name\": \"x-fdset-" name "\", \"meta-type\": \"object\", \"members\": [" members "]}"
#define MEMBER(name, type)   "{\"name\": \"" name "\", \"type\": \"" type "\"}"
#define OPTIONAL(name, type) "{\"name\": \"" name "\", \"default\": null, \"type\": \"" type "\"}"

#define LEASE MEMBER("fdset-id", "int") ", " MEMBER("fd", "int") ", " MEMBER("lease", "int")
#define WHO   MEMBER("connection", "int") ", " MEMBER("pid", "int") ", " MEMBER("client", "str")
#define HOW   MEMBER("mode", "str") ", " MEMBER("direct", "bool")
#define LOST  OPTIONAL("lost", "int")
#define OPEN_FAILED       \
    MEMBER("path", "str") \
    ", " OPTIONAL("fdset-id", "int") ", " HOW ", " MEMBER("reason", "str") ", " LOST ", " WHO

const char schema_text[] = COMMAND("x-fdset-query-leases", "query-lease", "[x-fdset-lease]") OBJECT(
    "query-lease",
    "") ", "
        "{\"name\": \"[x-fdset-lease]\", \"meta-type\": \"array\", \"element-type\": "
        "\"x-fdset-lease\"}, " OBJECT(
            "lease", LEASE
            ", " HOW ", " MEMBER("age-ms", "int") ", " WHO) ", " COMMAND("x-fdset-events", "enable",
                                                                         "x-fdset-enabled")
            OBJECT("enable", MEMBER("enable", "bool")) ", " OBJECT("enabled", "") ", " EVENT(
                "FDSET_WANTED",
                "wanted") OBJECT("wanted", OPEN_FAILED
                                 ", " MEMBER("wait-ms", "int")) ", " EVENT("FDSET_DENIED", "denied")
                OBJECT("denied", OPEN_FAILED) ", " EVENT("FDSET_CLOSED", "closed")
                    OBJECT("closed", LEASE ", " LOST ", " WHO) ", " EVENT("FDSET_STRAY", "stray")
                        OBJECT("stray", MEMBER("what", "str") ", " MEMBER("count", "int"));
