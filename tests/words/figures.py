#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The numbers that README, SECURITY.md, man pages, headers, fdset.proto and --help tell are
those of the code.

Each row has where the number is from and how it is spoken of. Every place that speaks so
must have it, and for each way of speaking there must be a place: a text that says it
otherwise gets a pattern of its own."""

import re

import options
import words

NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
           "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13,
           "sixteen": 16, "half": 2, "an hour": 3600000,
           "half a second": 500}
WORD = "|".join(NUMBERS)
N = rf"({WORD}|\d[\d ]*)"


def defined(path, name):
    match = re.search(rf"^#define {name}\s+(\d+)", words.read(path), re.MULTILINE)
    return int(match[1])


def limit(name):
    return defined("proto/include/fdset/limits.h", "FDSET_MAX_" + name)


def found(path, pattern):
    return int(re.search(pattern, words.read(path))[1])


def faults():
    return len(re.findall(r"^\| \d+ \|", words.read("tests/FAULTS.md"), re.MULTILINE))


def default(limit):
    """Of --limit."""
    return int(re.search(rf"\b{limit} \((\d+)\)", words.said("fdset-helper", "--help"))[1])


def least(resource):
    """What each of many endpoints has."""
    return found("helper/start/endpoints.c", rf"limits least = .*\.{resource} = (\d+)")


def system_calls():
    return int(re.search(r"^(\d+) calls by", words.read("SECURITY.md"), re.MULTILINE)[1])


ROWS = [
    ("descriptors in a packet", lambda: limit("DESCRIPTORS"),
     [rf"(?:at most|up to|more than) {N} (?:times|members|descriptors|of them)",
      rf"carries, 0 to {N}"]),
    ("bytes of a packet", lambda: limit("PACKET_BYTES"),
     [rf"at most {N} bytes and carries"]),
    ("KiB of the arena", lambda: defined("proto/packet.h", "PACKET_ARENA_BYTES") // 1024,
     [rf"arena \({N} KiB\)"]),
    ("bytes of a name", lambda: limit("NAME_BYTES"),
     [rf"1 to {N} (?:letters|of the characters|of A-Z|printable|bytes of printable)",
      rf"(?:at most|up to) {N} bytes of printable", rf"tables, up to {N} bytes"]),
    ("bytes of a set's name", lambda: limit("SET_NAME_BYTES"),
     [rf"(?:name is |chose, |NAME\. )1 to {N} bytes of UTF-8"]),
    ("bytes of a label", lambda: limit("OPAQUE_BYTES"),
     [rf"(?:up to|0 to|at most) {N} bytes of UTF-8", rf"_opaque_ has at most {N} bytes",
      rf"_opaque_, of up to {N} bytes",
      rf"label,? (?:of up to|at most) {N} bytes(?! of printable)"]),
    ("opens in a packet", lambda: limit("OPENS"),
     [rf"exchange for {N} of them", rf"up to {N} in a packet", rf"in one packet, 1 to {N}"]),
    ("ms that an open waits", lambda: limit("WAIT_MS"),
     [r"at\s+most (\d{5,})\. Subscribers", r"at most (an hour)"]),
    ("ms that a removal waits", lambda: defined("helper/requests/deferred.h", "CLOSING_WAIT_MS"),
     [rf"not at all\. Absent: {N}", rf"FDSET_REMOVE_WAIT_MS {N}"]),
    ("seconds that a removal waits",
     lambda: defined("helper/requests/deferred.h", "CLOSING_WAIT_MS") // 1000,
     [rf"It waits {N} seconds at most",
      rf"are (?:closed|cleared), after {N} seconds at the latest", rf"an hour; default: {N}\.",
      rf"wait so long for the close; default: {N}"]),
    ("ms until a refusal is told",
     lambda: defined("helper/requests/deferred.h", "CLOSING_REFUSAL_MS"),
     [r"when they are closed, or after (half a second)\."]),
    ("seconds that a helper waits for its last closes",
     lambda: defined("helper/main.c", "LAST_SETTLE_MS") // 1000,
     [rf"waits up to {N} seconds until what it is closing"]),
    ("seconds that a helper waits for a directory's lock",
     lambda: defined("helper/start/socket_file.c", "LOCK_WAIT_MS") // 1000,
     [rf"such a lock, the helper waits {N} seconds"]),
    ("seconds that fdsetctl waits for each of all helpers",
     lambda: defined("contrib/fdsetctl/ask/sources.c", "PATIENCE_MS") // 1000,
     [rf"does not answer within {N} seconds"]),
    ("seconds of fdsetctl --wait",
     lambda: defined("contrib/fdsetctl/base/options.c", "WAIT_MS_DEFAULT") // 1000,
     [rf"wait is over after {N} seconds", rf"a helper to answer there; default: {N}"]),
    ("sets that a helper holds", lambda: default("sets"),
     [rf"than the helper's {N} sets", rf"sets=4096\*: the default is {N}\b"]),
    ("members that a helper holds", lambda: default("members"), [rf"sets or {N} members"]),
    ("system call numbers that are tried, from 0 to",
     lambda: found("tests/sandbox/calls.c", r"number = 0; number < (\d+);") - 1,
     [rf"every system call number from 0 to {N}"]),
    ("events that the library keeps", lambda: defined("vmm-glue/manager/events.c", "EVENTS_KEPT"),
     [rf"Events are kept, {N} at most", rf"and the library {N}:"]),
    ("settle threads", lambda: defined("helper/settle/settle.h", "SETTLE_THREADS"),
     [rf"{N} threads, one for each", rf"until {N} file systems hang",
      rf"{N} different file systems have to\s+stop"]),
    ("seconds until a file system is called stuck",
     lambda: defined("helper/requests/timers.c", "STUCK_MS") // 1000, [rf"has not answered for {N} s\b"]),
    ("connections kept for managers, one in",
     lambda: defined("helper/model/endpoint.c", "MANAGERS_SHARE"), [rf"one in {N} is kept for"]),
    ("connections kept for observers, one in",
     lambda: defined("helper/model/endpoint.c", "OBSERVERS_SHARE"), [rf"one in {N} for observers"]),
    ("part that is kept for endpoints, one in",
     lambda: defined("helper/model/endpoint.c", "KEPT_SHARE"), [r"connections, (half) of what"]),
    ("descriptors in flight of an endpoint",
     lambda: found("helper/model/limit.h", r"\.in_flight = (\d+)"), [rf"to {N} for each endpoint"]),
    ("leases of many endpoints", lambda: least("leases"), [rf"grow: to {N} leases"]),
    ("waiting opens of many endpoints", lambda: least("waiting"), [rf"{N} waiting opens, "]),
    ("holds of many endpoints", lambda: least("holds"), [rf"{N} holds and"]),
    ("connections of many endpoints", lambda: least("connections"),
     [rf"{N} connections for each"]),
    ("first pause of reconnecting", lambda: found("vmm-glue/wire/poll.c", r"first_ms = (\d+)"),
     [rf"unsigned first_ms;\s+/\* (?:0: )?{N} \*/"]),
    ("longest pause of reconnecting", lambda: found("vmm-glue/wire/poll.c", r"most_ms = (\d+)"),
     [rf"unsigned most_ms;\s+/\* (?:0: )?{N} \*/"]),
    ("end of reconnecting", lambda: found("vmm-glue/wire/poll.c", r"give_up_ms = (\d+)"),
     [rf"unsigned give_up_ms;\s+/\* (?:0: )?{N} \*/"]),
    ("seconds of a step of reconnecting",
     lambda: defined("vmm-glue/wire/reconnect.c", "ANSWER_MS") // 1000,
     [r"does not answer within (a) second"]),
    ("KiB that a log may grow",
     lambda: defined("helper/confine/descriptors.c", "LOG_BYTES") // 1024, [rf"by up to {N} KiB"]),
    ("system calls", system_calls, [rf"{N} system calls", rf"all system calls but {N},"]),
    ("faults of QEMU's sets", faults, [rf"has all {N}, each", rf"list of {N} faults"]),
]


def spoken():
    """All that is told to people, each with its name, its lines joined."""
    texts = {path: words.read(path) for path in words.files(".md", ".proto")}
    texts.update({path: words.read(path) for path in words.files(".h")
                  if path.startswith("vmm-glue/include/")})
    texts.update({page: words.page_source(page) for page in words.pages()})
    for program in ["fdset-helper", "fdsetctl"]:
        texts[program + " --help"] = words.said(program, "--help")
    for verb in options.verbs():
        texts[f"fdsetctl {verb} --help"] = words.said("fdsetctl", verb, "--help")
    return {name: re.sub(r"\s*\n\s*(?:\* |// |\t)?\s*", " ", text) for name, text in texts.items()}


def number(text):
    text = text.strip().lower()
    return 1 if text == "a" else NUMBERS[text] if text in NUMBERS else int(text.replace(" ", ""))


def check(value, patterns):
    wrong = []
    for pattern in patterns:
        heard = False
        for name, text in spoken().items():
            for match in re.finditer(pattern, text, re.IGNORECASE):
                heard = True
                if number(match[1]) != value():
                    wrong.append(f"{name} says {match[0]!r}: it is {value()}")
        if not heard:
            wrong.append(f"nothing says {pattern.replace(N, 'N')!r}")
    return wrong


def errors():
    """Each code of fdset.proto comes with the errno values that stand there, and with no others."""
    told = {code: set(re.findall(r"\bE[A-Z0-9]{3,}\b", comment)) for code, comment in
            re.findall(r"^  CODE_(\w+) = \d+;\s*// (.*)$", words.read("proto/fdset.proto"),
                       re.MULTILINE)}
    given = {}
    for path in words.files(".c"):
        # Who starts the helper hears of other ones.
        if path.startswith("helper/") and not path.startswith("helper/start/"):
            for code, error in re.findall(r"REFUSAL_(\w+),\s*(E[A-Z0-9]+|\w*)", words.read(path)):
                given.setdefault(code, set()).add(error)
    wrong = [f"CODE_{code} comes with {error}, which fdset.proto does not say"
             for code in told for error in given.get(code, set()) - told[code]
             if re.fullmatch("E[A-Z0-9]+", error)]
    for code, values in told.items():
        # One that is passed on from a system call may be any.
        if given.get(code) and all(re.fullmatch("E[A-Z0-9]+", error) for error in given[code]):
            wrong += [f"fdset.proto says {error} of CODE_{code}, which nothing gives"
                      for error in values - given[code]]
    return wrong


def main():
    words.tell([("the errno of each code", errors)]
               + [(what, lambda value=value, patterns=patterns: check(value, patterns))
                  for what, value, patterns in ROWS])


if __name__ == "__main__":
    main()
