# SPDX-License-Identifier: MIT
"""What the tests that read the tree itself share: its files, and how they say what is wrong."""

import os
import re
import sys

source = os.environ["FDSET_SOURCE"]
build = os.environ["FDSET_BUILD"]

# What ships; tests/ does not.
PRODUCT = ("proto", "helper", "vmm-glue", "contrib")


def read(path):
    with open(os.path.join(source, path), encoding="utf-8") as file:
        return file.read()


def files(*endings, but=()):
    """Paths of the tree's files, below the source directory."""
    found = []
    for directory, folders, names in os.walk(source):
        below = os.path.relpath(directory, source)
        folders[:] = [
            name for name in folders
            if not name.startswith(".") and not os.path.exists(
                os.path.join(directory, name, "build.ninja"))
            and os.path.normpath(os.path.join(below, name)) not in but
        ]
        found += [os.path.normpath(os.path.join(below, name)) for name in names
                  if name.endswith(endings)]
    return sorted(found)


def product(*endings):
    return [path for path in files(*endings) if path.split("/")[0] in PRODUCT]


def without_comments(text):
    """C without its comments, of which each begins and ends; every line stays where it is."""
    return re.sub(r"/\*.*?\*/", lambda match: re.sub(r"[^\n]", " ", match[0]), text,
                  flags=re.DOTALL)


def tell(cases):
    """Runs functions that return or yield what is wrong, as texts; prints TAP."""
    print(f"1..{len(cases)}")
    failed = False
    for number, (name, function) in enumerate(cases, 1):
        wrong = list(function())
        print(f"{'not ' if wrong else ''}ok {number} - {name}", flush=True)
        for text in wrong:
            print(f"{name}: {text}", file=sys.stderr)
        failed |= bool(wrong)
    sys.exit(failed)
