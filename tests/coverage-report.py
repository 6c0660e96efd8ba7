#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints the table of tests/coverage from what `llvm-cov export` says.

Usage: coverage-report.py [--missing] coverage.json
Status 1 where less is reached than is promised.
"""

import json
import os
import sys

LEAST = {"lines": 95.0, "branches": 90.0}


def missing_lines(file):
    """Lines whose counter is 0, as llvm-cov's segments have them."""
    lines = set()
    for here, after in zip(file["segments"], file["segments"][1:]):
        line, _, count, counted, _, gap = here
        if counted and not gap and count == 0:
            lines.update(range(line, after[0] + (after[1] > 1)))
    return sorted(lines)


def missing_branches(file):
    """Line and column of conditions that were never true, or never false."""
    seen = {}
    for branch in file["branches"]:
        place = branch[0], branch[1]
        counts = seen.setdefault(place, [0, 0])
        counts[0] += branch[4]
        counts[1] += branch[5]
    for (line, column), (true, false) in sorted(seen.items()):
        if not true or not false:
            yield line, column, "neither" if not true and not false else "true" if not true else "false"


def print_missing(file, name):
    with open(file["filename"], encoding="utf-8") as source:
        text = source.read().splitlines()
    for line in missing_lines(file):
        print(f"{name}:{line}: not reached: {text[line - 1].strip()}")
    for line, column, what in missing_branches(file):
        print(f"{name}:{line}:{column}: never {what}: {text[line - 1].strip()}")


def main():
    path = sys.argv[-1]
    with open(path, encoding="utf-8") as file:
        data = json.load(file)["data"][0]
    root = os.getcwd()
    rows = []
    for file in sorted(data["files"], key=lambda file: file["filename"]):
        name = os.path.relpath(os.path.normpath(file["filename"]), root)
        if file["summary"]["lines"]["count"] > 0:
            rows.append((name, file["summary"]["lines"], file["summary"]["branches"]))
        if "--missing" in sys.argv:
            print_missing(file, name)
    rows.append(("all of it", data["totals"]["lines"], data["totals"]["branches"]))
    print(f"{'':34} {'lines':>14} {'%':>7} {'branches':>14} {'%':>7}")
    for name, lines, branches in rows:
        print(
            f"{name:34} {lines['covered']:6} of {lines['count']:4} {lines['percent']:7.2f}"
            f" {branches['covered']:6} of {branches['count']:4} {branches['percent']:7.2f}"
        )
    totals = data["totals"]
    short = [kind for kind, least in LEAST.items() if totals[kind]["percent"] < least]
    for kind in short:
        print(f"less than {LEAST[kind]} % of {kind}")
    sys.exit(bool(short))


main()
