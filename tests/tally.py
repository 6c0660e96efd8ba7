#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Counts what one `meson test` did, for tests/run.

Usage: tally.py testlog.json STATUS   (STATUS: meson's exit status)

A test program that prints TAP lines ("ok 1 - name", "not ok 2 - name") counts
as so many tests, any other as one. Prints "passed N", "failed N", "skipped N"
on stdout and names what failed or was skipped on stderr.
"""

import json
import re
import sys

TAP_LINE = re.compile(r"^(not )?ok\b\s*\d*\s*(?:-\s*)?(# SKIP)?\s*(.*)$", re.MULTILINE)


def outcomes(test):
    """The outcome and the name of everything that one test program did."""
    cases = []
    for bad, skip, name in TAP_LINE.findall(test.get("stdout", "")):
        # cmocka says "not ok 2 # SKIP name", others "ok 2 - name # SKIP why".
        skipped = skip or "# SKIP" in name
        cases.append(("skipped" if skipped else "failed" if bad else "passed", name))
    good = test["result"] in ("OK", "EXPECTEDFAIL")
    if test["result"] == "SKIP":
        cases = [("skipped", "all of it")]
    elif not cases:
        cases = [("passed" if good else "failed", "")]
    elif not good and not any(outcome == "failed" for outcome, _ in cases):
        # It died after its last case, or a leak was found as it ended.
        cases.append(("failed", f"the program itself: {test['result']}"))
    return cases


def main():
    path, status = sys.argv[1], int(sys.argv[2])
    total = {"passed": 0, "failed": 0, "skipped": 0}
    try:
        with open(path, encoding="utf-8") as log:
            tests = [json.loads(line) for line in log]
    except FileNotFoundError:
        tests = []
    for test in tests:
        for outcome, name in outcomes(test):
            total[outcome] += 1
            if outcome != "passed":
                print(f"{outcome.upper()}: {test['name']}: {name}", file=sys.stderr)
    if status and not total["failed"]:
        print("FAILED: meson test", file=sys.stderr)
        total["failed"] = 1
    for outcome, count in total.items():
        print(outcome, count)


main()
