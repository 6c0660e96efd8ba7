#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What every source file keeps to, so that the tree explains itself: a licence and a first
sentence, headers of one module, a name for one thing, and no word of what is not here."""

import os
import re
import subprocess

import objects
import tree

FILES_OF_A_HEADER = 3

# These speak for the whole library: one for each of its two halves.
PUBLIC = "vmm-glue/include/"


def outside_braces(text):
    """C at its outermost level: what stands in braces is gone, and lines of the preprocessor."""
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.MULTILINE)
    text = re.sub(r'extern "C" \{|__attribute__\(\(.*?\)\)(?!\))', "", text)
    kept, depth = [], 0
    for part in re.split(r"([{}])", text):
        if part == "{":
            depth += 1
        elif part == "}":
            depth = max(depth - 1, 0)
            if not depth:
                kept.append(";")
        elif not depth:
            kept.append(part)
    return "".join(kept)


def declared(header):
    """Names of the functions that a header declares."""
    for statement in outside_braces(tree.without_comments(tree.read(header))).split(";"):
        match = re.match(r"[^()=]*?\b(\w+)\s*\(", statement.strip())
        if match and not re.match(r"\s*(?:typedef|_Static_assert|static_assert)\b", statement):
            yield match[1]


def headers_of_many():
    for header in tree.product(".h"):
        files = {}
        if header.startswith(PUBLIC):
            continue
        for name in declared(header):
            for path in objects.definers()[name]:
                # Another program may have a function of that name.
                if header in objects.included(path):
                    files.setdefault(path, []).append(name)
        if len(files) > FILES_OF_A_HEADER:
            yield f"{header} declares functions of {len(files)} files:" + "".join(
                f"\n    {path}: {', '.join(sorted(set(names)))}" for path, names in
                sorted(files.items()))


TAG = re.compile(r"\b(struct|union|enum)\s+(?:[A-Z]+\s+)?(\w*[a-z]\w*)\s*\{")
TYPEDEF = re.compile(r"^typedef\b[^;{]*?(?:\(\*(\w+)\)\s*\([^;]*|\b(\w+)\s*(?:\[[^;]*\])?);",
                     re.MULTILINE)
TYPEDEF_OF_BODY = re.compile(r"^\}\s*(\w+);", re.MULTILINE)


def names_of_two_things():
    places = {}
    for path in tree.product(".c", ".h"):
        text = tree.without_comments(tree.read(path))
        names = [match[2] for match in TAG.finditer(text)]
        names += [match[1] or match[2] for match in TYPEDEF.finditer(text)]
        if "typedef struct" in text or "typedef enum" in text or "typedef union" in text:
            names += TYPEDEF_OF_BODY.findall(text)
        for name in names:
            places.setdefault(name, []).append(path)
    for name, paths in sorted(places.items()):
        if len(paths) > 1:
            yield f"{name} is the name of {len(paths)} types: {', '.join(paths)}"


def without_first_sentence():
    for path in tree.files(".c"):
        text = re.sub(r"\A/\* SPDX[^\n]*\n", "", tree.read(path))
        comment = re.match(r"\s*/\*(.*?)\*/", text, re.DOTALL)
        if not comment or "." not in comment[1]:
            yield f"{path} does not begin by saying, in a sentence, what it is"


def is_source(path):
    name = os.path.basename(path)
    if name.startswith(".") or path.startswith("tests/fuzz/corpus/"):
        return False
    if name.endswith((".c", ".h", ".cpp", ".S", ".py", ".sh", ".proto")) or \
            name in ("meson.build", "meson_options.txt"):
        return True
    with open(os.path.join(tree.source, path), "rb") as file:
        return file.read(2) == b"#!"


def without_licence():
    for path in tree.files(""):
        if is_source(path) and "SPDX-License-Identifier: MIT" not in "".join(
                tree.read(path).splitlines(True)[:3]):
            yield f"{path} has no line SPDX-License-Identifier: MIT among its first three"


# What CONTRIBUTING.md says of handwriting, as far as a line shows it.
HANDWRITING = [
    (r"\bsizeof\s+[\w*&]", "sizeof(x), with parentheses"),
    (r"!(?:str(?:n|case|ncase)?cmp|memcmp)\(", "strcmp(a, b) == 0, not !strcmp(a, b)"),
]


def handwriting():
    for path in tree.product(".c", ".h"):
        for number, line in enumerate(tree.without_comments(tree.read(path)).splitlines(), 1):
            for pattern, wanted in HANDWRITING:
                if re.search(pattern, line):
                    yield f"{path}:{number}: here one writes {wanted}"
        for number, line in enumerate(tree.read(path).splitlines(), 1):
            if re.search(r"[;,]\s+/\*(?!.*\*/)", line):
                yield f"{path}:{number}: a comment that does not end on the line of what it " \
                    "is about belongs above it"


# Pages of others may be spoken of, but none that who has this tree alone cannot read.
OUTSIDE = re.compile(r"DESIGN section|\.\./shared|\bshared/research|\b[Ii]ssue #?\d+")
# A directory at the root is one that every system has, or one that a text makes up.
ROOTS = ("bin", "dev", "etc", "mnt", "proc", "run", "srv", "sys", "tmp", "usr", "var",
         "fdset", "images", "nonexistent", "nowhere", "objects", "xdev")
ABSOLUTE = re.compile(r"(?<![\w/.*~$}>\])%+@-])(/(?!(?:" + "|".join(ROOTS) +
                      r")/)[a-z][\w-]*/[\w.][\w./-]*)")
PATH = re.compile(r"(?<![\w/.@-])((?:helper|vmm-glue|contrib|proto|tests)/[\w./@-]*\w"
                  r"\.(?:c|h|py|sh|md|proto|scd|build|cpp|S))\b")
PAGE = re.compile(r"(?<![\w-])([A-Z]{2,}\.md)\b")


def is_text(path):
    return path.endswith((".c", ".h", ".cpp", ".S", ".py", ".sh", ".proto", ".md", ".scd", ".in",
                          ".build", ".txt", ".map", ".dict")) or is_source(path)


def cited_from_outside():
    pages = {os.path.basename(path) for path in tree.files(".md")}
    for path in tree.files(""):
        if path.startswith("tests/fuzz/corpus/") or not is_text(path) or \
                os.path.samefile(os.path.join(tree.source, path), __file__):
            continue
        for number, line in enumerate(tree.read(path).splitlines(), 1):
            cited = OUTSIDE.findall(line) + ABSOLUTE.findall(line)
            cited += [name for name in PATH.findall(line)
                      if not os.path.exists(os.path.join(tree.source, name))]
            cited += [name for name in PAGE.findall(line) if name not in pages]
            for name in cited:
                yield f"{path}:{number} speaks of {name}, which is not here"


if __name__ == "__main__":
    tree.tell([
        (f"no header declares what more than {FILES_OF_A_HEADER} files define", headers_of_many),
        ("no two types have one name", names_of_two_things),
        ("every C file begins with a sentence", without_first_sentence),
        ("the code is of one handwriting", handwriting),
        ("every source file says its licence", without_licence),
        ("nothing is cited that is not in the tree", cited_from_outside),
    ])
