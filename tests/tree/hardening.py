#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every program and library is built with what compiler and linker have against attacks: looked
for in what they made, and, where that shows nothing, in how they were called."""

import functools
import json
import os
import re
import subprocess
import sys

import tree
from objects import commands

COMPILER = sys.argv[1:]

# What a compiler may not know is asked of it.
ARGUMENTS = [
    "-fstack-protector-strong",
    "-fstack-clash-protection",
    "-fcf-protection=full",
    "-mbranch-protection=standard",
    "-ftrivial-auto-var-init=zero",
    "-fno-delete-null-pointer-checks",
]

# Takes back what was said before, by whatever stands behind the dash.
TAKEN_BACK = r"-(fno-stack-|fcf-protection=none|ftrivial-auto-var-init=uninit|fdelete-null|O0)"

# They call nothing that there is a checking function for.
NOTHING_TO_CHECK = ("example-glib-loop", "example-poll-loop", "example-sd-event-loop")

# Runs while the rest is built, and never after.
TOOLS = ("write-filter", "write-relay-filter")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@functools.lru_cache(None)
def products():
    """Files of all programs and shared libraries that are not tests."""
    with open(os.path.join(tree.build, "meson-info", "intro-targets.json"),
              encoding="utf-8") as file:
        targets = json.load(file)
    kinds = ("executable", "shared library", "shared module")
    return [target["filename"][0] for target in targets
            if target["type"] in kinds and target["name"] not in TOOLS and
            os.path.relpath(target["defined_in"], tree.source).split("/")[0] != "tests"]


@functools.lru_cache(None)
def read(path, *options):
    return run("readelf", "-W", *options, path)


def each(look):
    """A case of every product: `look` gives what is wrong with one file."""
    def case():
        if len(products()) < 6:
            yield f"there are only {products()}"
        for path in products():
            for text in look(path):
                yield f"{os.path.relpath(path, tree.build)}: {text}"
    return case


# ------------------------------------------------------------------ what was made

@each
def position(path):
    if "Type:                              DYN" not in read(path, "-h"):
        yield "has a fixed address"
    if "INTERP" in read(path, "-l") and not re.search(r"FLAGS_1.*\bPIE\b", read(path, "-d")):
        yield "is no position-independent program"


@each
def relocations(path):
    if "GNU_RELRO" not in read(path, "-l"):
        yield "its tables of addresses stay writable"
    if not re.search(r"\(FLAGS_1\).*\bNOW\b", read(path, "-d")):
        yield "functions are looked up when they are called"
    if "TEXTREL" in read(path, "-d"):
        yield "code is written to when it is loaded"
    # Without slots that are filled lazily there is nothing but what relro covers.
    if re.search(r" \.got\.plt +PROGBITS +[0-9a-f]+ [0-9a-f]+ (?!0000(18|20))", read(path, "-S")):
        yield "has a .got.plt"


@each
def executable(path):
    segments = re.findall(r"^ +(\w+) +0x\S+ 0x\S+ 0x\S+ 0x\S+ 0x\S+ ([R W E]{3}) ",
                          read(path, "-l"), re.MULTILINE)
    if ("GNU_STACK", "RW ") not in segments:
        yield "its stack is executable"
    for kind, mode in segments:
        if "W" in mode and "E" in mode:
            yield f"a segment is writable and executable: {kind}"


@each
def separate(path):
    """No data in a segment that is executable."""
    text = read(path, "-l", "-S")
    flags = dict(re.findall(r"^ +\[ *\d+\] (\.\S+) +\S+ +\S+ \S+ \S+ \S+ +([A-Z]*)", text,
                            re.MULTILINE))
    segments = re.findall(r"^ +(\w+) +0x\S+ 0x\S+ 0x\S+ 0x\S+ 0x\S+ ([R W E]{3}) ", text,
                          re.MULTILINE)
    inside = re.findall(r"^ +(\d\d) +(.*)$", text.split("Section to Segment mapping:")[1],
                        re.MULTILINE)
    found = 0
    for number, names in inside:
        kind, mode = segments[int(number)]
        if kind == "LOAD" and "E" in mode:
            found += 1
            yield from (f"{name} is executable" for name in names.split()
                        if "X" not in flags[name])
    if not found:
        yield "has no code?"


def wanted_functions(path):
    return re.findall(r" UND (__\w+)", read(path, "--dyn-syms"))


@each
def protector(path):
    if "__stack_chk_fail" not in wanted_functions(path):
        yield "no function checks its stack"


@each
def fortify(path):
    if os.path.basename(path) not in NOTHING_TO_CHECK and not [
            name for name in wanted_functions(path) if name.endswith("_chk")]:
        yield "no call is of the C library's checking functions"


def branches():
    """The marks of every object: of a program, what it is started by may lack them."""
    machine = os.uname().machine
    mark = {"x86_64": ["IBT", "SHSTK"], "aarch64": ["BTI", "PAC"]}.get(machine, [])
    for entry in product_commands():
        notes = read(os.path.join(entry["directory"], entry["output"]), "-n")
        yield from (f"{entry['output']}: not marked with {word}" for word in mark
                    if word not in notes)


# -------------------------------------------------------------- how it was called

def product_commands():
    return [entry for entry in commands()
            if not re.match(r"tests/|.*/(lib)?(write-filter|write-relay-filter|filter-compiler)\b",
                            entry["output"])]


def is_known(argument):
    return subprocess.run([*COMPILER, "-Werror", argument, "-S", "-o", os.devnull, "-x", "c",
                           os.devnull], capture_output=True, check=False).returncode == 0


def called(argument):
    def case():
        if not is_known(argument):
            return
        if not product_commands():
            yield "no commands?"
        for entry in product_commands():
            if argument not in entry["command"].split():
                yield f"{entry['file']}: without {argument}"
    return case


def taken_back():
    for entry in product_commands():
        yield from (f"{entry['file']}: {word}" for word in entry["command"].split()
                    if re.match(TAKEN_BACK, word))


def fortify_level():
    """As high as compiler and C library can; a distribution may have said so before."""
    for entry in product_commands():
        if not re.search(r"-D_FORTIFY_SOURCE=[23]\b", entry["command"]):
            yield f"{entry['file']}: without _FORTIFY_SOURCE"


tree.tell([
    ("every program can lie anywhere", position),
    ("tables of addresses are complete and read-only from the start", relocations),
    ("no stack is executable, and nothing that is writable", executable),
    ("data is not executable", separate),
    ("functions check their stack", protector),
    ("calls of the C library are checked", fortify),
    ("they are checked in every file", fortify_level),
    ("indirect jumps and returns are marked", branches),
    ("no argument takes back another", taken_back),
] + [(f"every file is compiled with {argument}", called(argument)) for argument in ARGUMENTS])
