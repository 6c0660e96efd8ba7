# SPDX-License-Identifier: MIT
"""Which file of the product defines a symbol and which one uses it, as nm reads the objects
of a build."""

import collections
import ctypes
import functools
import json
import os
import re
import subprocess

import tree

LIBC = ctypes.CDLL(None)


class Unit:
    """A source file as one target compiles it."""

    def __init__(self, path, target):
        self.path, self.target, self.defined, self.used = path, target, set(), set()


@functools.lru_cache(None)
def commands():
    with open(os.path.join(tree.build, "compile_commands.json"), encoding="utf-8") as file:
        return json.load(file)


def path_of(entry):
    """A file's path below the source directory; of one that is made, below the build's."""
    path = os.path.normpath(os.path.join(entry["directory"], entry["file"]))
    below = os.path.relpath(path, tree.source)
    made = os.path.relpath(path, tree.build)
    return below if made.startswith("..") else made


@functools.lru_cache(None)
def units():
    found = {}
    for entry in commands():
        path = path_of(entry)
        if path.split("/")[0] not in tree.PRODUCT or not path.endswith(".c"):
            continue
        unit = Unit(path, os.path.dirname(entry["output"]))
        found[os.path.join(entry["directory"], entry["output"])] = unit
    listing = subprocess.run(["nm", "--print-file-name", *found], capture_output=True, text=True,
                             check=True).stdout
    for output, kind, name in re.findall(r"^(.*?):[0-9a-f ]* ([A-Za-z]) (\S+)$", listing,
                                         re.MULTILINE):
        # The shim has functions of libc's names: who calls one does not mean the shim's.
        if name != "main" and hasattr(LIBC, name):
            continue
        if kind == "U":
            found[output].used.add(name)
        elif kind in "TDBRVWC":
            found[output].defined.add(name)
    return list(found.values())


@functools.lru_cache(None)
def calls():
    """{(from, to): names}: what a file uses that another one defines: in its own target, or
    else in a library, or else in the program that it is linked to."""
    targets, libraries = collections.defaultdict(dict), collections.defaultdict(set)
    for unit in units():
        for name in unit.defined:
            targets[unit.target][name] = unit.path
            if unit.target.endswith(".a.p"):
                libraries[name].add(unit.path)
    found = collections.defaultdict(set)
    for unit in units():
        for name in unit.used:
            own = targets[unit.target].get(name)
            for path in [own] if own else libraries[name] or definers()[name]:
                if path != unit.path:
                    found[unit.path, path].add(name)
    return found


@functools.lru_cache(None)
def definers():
    """{name: the files that define it}"""
    found = collections.defaultdict(set)
    for unit in units():
        for name in unit.defined:
            found[name].add(unit.path)
    return found


@functools.lru_cache(None)
def include_folders():
    """Where each room's compilers look for headers: {room: folders below the source directory}"""
    found = collections.defaultdict(set)
    for entry in commands():
        for folder in re.findall(r"(?:^| )-I(\S+)", entry["command"]):
            path = os.path.normpath(os.path.join(entry["directory"], folder))
            found[entry["output"].split("/")[0]].add(os.path.relpath(path, tree.source))
    return found


@functools.lru_cache(None)
def includes():
    """The pairs of files of which the first includes the second."""
    found = set()
    for path in tree.product(".c", ".h"):
        folders = [os.path.dirname(path), *sorted(include_folders()[path.split("/")[0]])]
        for name in re.findall(r'^#include [<"](.*)[>"]', tree.read(path), re.MULTILINE):
            places = [os.path.normpath(os.path.join(folder, name)) for folder in folders]
            found |= {(path, place) for place in [
                place for place in places if os.path.exists(os.path.join(tree.source, place))][:1]}
    return found


@functools.lru_cache(None)
def included(path):
    """All that a file includes, by way of others too."""
    found, todo = set(), [path]
    while todo:
        user = todo.pop()
        new = {used for other, used in includes() if other == user} - found
        found |= new
        todo += new
    return found
