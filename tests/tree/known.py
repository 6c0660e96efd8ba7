# SPDX-License-Identifier: MIT
"""Those that do not keep to a rule yet: the list beside this file, which only shrinks.

A line is "case: what". With --known a check prints the lines of today instead."""

import os
import sys

import tree


def listed():
    with open(os.path.join(os.path.dirname(__file__), "known"), encoding="utf-8") as file:
        return set(file.read().splitlines())


def judged(name, function):
    """What is wrong and not on the list, and what is on the list and no longer wrong."""
    found = dict(function())
    mine = {line[len(name) + 2:] for line in listed() if line.startswith(name + ": ")}
    wrong = [text for what, text in found.items() if what not in mine]
    # A ring is shown once.
    shown = set()
    for place, text in enumerate(wrong):
        head, *rest = text.split("\n", 1)
        wrong[place] = head if set(rest) & shown else text
        shown |= set(rest)
    return wrong + [f"{what} is mended: take its line out of tests/tree/known"
                    for what in sorted(mine - set(found))]


def tell(cases):
    if "--known" in sys.argv:
        for name, function in cases:
            for what in sorted(dict(function())):
                print(f"{name}: {what}")
        return
    tree.tell([(name, lambda name=name, function=function: judged(name, function))
               for name, function in cases])
