#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The interface of libfdset: its headers compile alone, in each language that they are for, and
the library exports what they declare, and all that stands in the list beside this file. A release
enters the new names there: interface.py --symbols."""

import os
import re
import subprocess
import sys
import tempfile

import tree

HEADERS = ["limits.h", "manager.h", "reconnect.h", "version.h", "vmm.h"]
INCLUDES = ["proto/include", "vmm-glue/include"]
LANGUAGES = [("cc", "c99", "c"), ("cc", "c11", "c"), ("c++", "c++17", "cpp")]

# In C++ a function would hide a structure of its name.
STRUCTURES = """#include <fdset/manager.h>
#include <fdset/vmm.h>
int main()
{
    fdset_add add{};
    fdset_member member{};
    fdset_filter filter{};
    fdset_event event{};
    fdset_initial initial{};
    fdset_spawn_options options{};
    fdset_open_request request{};
    fdset_reconnect plan{};
    add.members = &member;
    options.initial = &initial;
    return fdset_version() < FDSET_VERSION_OF(0, 1, 0) || filter.size || event.set ||
           request.fd || plan.first_ms || add.set || options.manage_fd;
}
"""


def compiled(compiler, standard, kind, text):
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, f"it.{kind}")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        flags = [f"-I{os.path.join(root, folder)}" for root in (tree.source, tree.build)
                 for folder in INCLUDES]
        run = subprocess.run(
            [compiler, f"-std={standard}", "-fsyntax-only", "-Wall", "-Wextra", "-pedantic",
             "-Werror", *flags, path], capture_output=True, text=True, check=False)
        return [run.stderr] if run.returncode else []


def headers_found():
    folders = [os.path.join(root, folder, "fdset") for folder in INCLUDES
               for root in (tree.source, tree.build)]
    there = {name for folder in folders if os.path.isdir(folder)
             for name in os.listdir(folder) if name.endswith(".h")}
    return [f"{name}: is it tried here?" for name in sorted(there ^ set(HEADERS))]


def exported():
    """With the version in which each came."""
    library = os.path.join(tree.build, "vmm-glue", "libfdset.so")
    lines = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True,
                           text=True, check=True).stdout.splitlines()
    return {line.split()[2] for line in lines if line.split()[1] != "A"}


def declared():
    """Functions of the public headers."""
    return {name for header in HEADERS if header != "version.h" and header != "limits.h"
            for name in re.findall(r"\b(fdset_\w+)\(", tree.without_comments(
                tree.read(f"vmm-glue/include/fdset/{header}")))}


def declared_alone():
    found, named = {name.split("@")[0] for name in exported()}, declared()
    return [f"{name} is declared and not exported" for name in sorted(named - found)] + \
           [f"{name} is exported and no header declares it" for name in sorted(found - named)]


def lost():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "symbols"),
              encoding="utf-8") as file:
        return [f"{name} is lost, and programs that use it would no longer start"
                for name in sorted(set(file.read().split()) - exported())]


def main():
    if "--symbols" in sys.argv:
        print("\n".join(sorted(exported())))
        return
    cases = [("all headers are tried", headers_found),
             ("what the headers declare is exported, and nothing else", declared_alone),
             ("no symbol of the list is lost", lost)]
    for compiler, standard, kind in LANGUAGES:
        for header in HEADERS:
            text = f"#include <fdset/{header}>\nint main(void) {{ return 0; }}\n"
            cases.append((f"{header} alone is {standard}",
                          lambda text=text, language=(compiler, standard, kind):
                          compiled(*language, text)))
    cases.append(("structures and functions have their own names in C++", lambda: compiled(
        "c++", "c++17", "cpp", STRUCTURES)))
    tree.tell(cases)


if __name__ == "__main__":
    main()
