#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every request of fdset.proto has all that a request needs, and what is missing is named
with the place where it goes.

Fuzzers (tests/fuzz/request.c) and the test of the roles (tests/python/requests.py) read
fdset.proto themselves, and so have every request that stands there."""

import re

import tree

PROTO = tree.read("proto/fdset.proto")
BODY = re.search(r"^message Request \{.*?oneof body \{(.*?)\}", PROTO, re.MULTILINE | re.DOTALL)[1]
# {field: message}
REQUESTS = {field: message for message, field in
            re.findall(r"^\s*(\w+) (\w+) = \d+;", BODY, re.MULTILINE)}


def all_of(folder, *endings):
    return "\n".join(tree.without_comments(tree.read(path)) for path in tree.files(*endings)
                     if path.startswith(folder))


def missing(pattern, text, what):
    """Those without; the pattern has FIELD, UPPER and MESSAGE in it."""
    return [what.replace("FIELD", field).replace("MESSAGE", message).replace("UPPER", field.upper())
            for field, message in REQUESTS.items()
            if not re.search(pattern.replace("FIELD", field).replace("MESSAGE", message)
                             .replace("UPPER", field.upper()), text, re.MULTILINE)]


def comments():
    return missing(r"^// .*\nmessage MESSAGE \{", PROTO,
                   "say above message MESSAGE, in proto/fdset.proto, what it asks and how it is "
                   "answered")


def roles():
    table = re.search(r"^// ROLES\..*?^// A request outside", PROTO, re.MULTILINE | re.DOTALL)[0]
    return missing(r"^//   (?:\w+, )*MESSAGE\b.*x", table,
                   "put MESSAGE into the table of roles at the head of proto/fdset.proto")


def handlers():
    return missing(r"\[FDSET__V1__REQUEST__BODY_UPPER\]\s*= \{\s*\"MESSAGE\"",
                   all_of("helper/requests/", ".c"),
                   "put [FDSET__V1__REQUEST__BODY_UPPER] = {\"MESSAGE\", who may ask it, whether it "
                   "brings descriptors, serve_FIELD} into handlers[] of helper/requests/dispatch.c")


def right_requests():
    return missing(r"^    \{\"FIELD\", \"", tree.read("tests/integration/wrong-input-rows.c"),
                   "put a FIELD that is right into requests[] of "
                   "tests/integration/wrong-input-rows.c")


def wrong_requests():
    return missing(r"\{\"Request\.FIELD\", STATE", tree.read("tests/integration/wrong-input-rows.c"),
                   "put rows {\"Request.FIELD\", TWICE ...} and STATE into rows[] of "
                   "tests/integration/wrong-input-rows.c; the test wrong-input says which of its "
                   "fields lack some")


def calls():
    return missing(r"\bFdset__V1__MESSAGE\b", all_of("vmm-glue/", ".c", ".h"),
                   "let a function of libfdset ask FIELD: vmm-glue/vmm/ for VMMs, or "
                   "vmm-glue/manager/, and its header below vmm-glue/include/")


if __name__ == "__main__":
    tree.tell([
        ("every request is described", comments),
        ("every request stands in the table of roles", roles),
        ("every request has who serves it", handlers),
        ("every request has one that is right", right_requests),
        ("every request has ways to be wrong", wrong_requests),
        ("every request is asked by the library", calls),
    ])
