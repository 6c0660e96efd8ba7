# SPDX-License-Identifier: MIT
"""What the tests of words share: where things are, what programs and pages say."""

import functools
import os
import re
import subprocess

# For the tests beside this file, too.
from tree import build, files, read, source, tell, without_comments  # noqa: F401

PROGRAMS = {
    "fdset-helper": "helper/fdset-helper",
    "fdsetctl": "contrib/fdsetctl/fdsetctl",
    "fdset-qemu": "contrib/qemu/fdset-qemu",
}


def page_source(page):
    """The text of a man page as the build has it: "fdsetctl.1"."""
    with open(os.path.join(build, page + ".scd"), encoding="utf-8") as file:
        return file.read()


def pages():
    return sorted(name[:-len(".scd")] for name in os.listdir(build) if name.endswith(".scd"))


def blocks(text):
    """What is to be typed, or shown, as it stands."""
    return re.findall(r"^```\w*\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def plain(text):
    """scdoc's text without its marks, and without what is printed as it stands."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"\\(.)", r"\1", text.replace("*", "").replace("_ ", " "))


@functools.lru_cache(None)
def rendered(page, columns=80):
    """What man shows of a page, and what it warns of."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": str(columns),
                   "MAN_KEEP_FORMATTING": "", "GROFF_NO_SGR": "1"}
    path = page if os.path.isabs(page) else os.path.join(build, page)
    man = subprocess.run(["man", "--warnings=w", "-l", path], env=environment,
                         capture_output=True, check=True)
    text = subprocess.run(["col", "-bx"], env=environment, input=man.stdout,
                          capture_output=True, check=True)
    return text.stdout.decode(), man.stderr.decode()


@functools.lru_cache(None)
def said(program, *arguments):
    """What a program prints."""
    run = subprocess.run([os.path.join(build, PROGRAMS[program]), *arguments],
                         capture_output=True, check=True, stdin=subprocess.DEVNULL)
    return run.stdout.decode()
