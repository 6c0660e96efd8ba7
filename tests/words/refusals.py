#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a refusal says to do can be done: each option, command, limit, variable, page and
setting that a text of any program names exists where it is said.

The texts are found in the sources: every string of a program or library that ships and
that names such a thing. A line for each. What takes a helper to try is in cures.py."""

import ast
import functools
import os
import re
import shutil
import subprocess

import options
import words

# Folders of the sources, and who says their texts: "" for one who has no command line.
SPEAKERS = {
    "helper": "fdset-helper",
    "helper/confine": "fdset-helper",
    "vmm-glue": "",
    "contrib/common": "",
    "contrib/fdsetctl": "fdsetctl",
    "contrib/qemu": "",
    "contrib/qemu/monitor": "",
    "contrib/qemu/wrapper": "fdset-qemu",
    "contrib/python/fdset": "",
}

LITERAL = r'"((?:[^"\\\n]|\\.)*)"'
OPTION = r"--[a-z](?:[a-z0-9-]*[a-z0-9])?(?![a-z-])"


class Text:
    def __init__(self, path, line, text, call):
        self.path, self.line, self.text, self.call = path, line, text, call
        self.speaker = speaker(path)


def speaker(path):
    folder = os.path.dirname(path)
    while folder not in SPEAKERS:
        folder = os.path.dirname(folder)
        if not folder:
            return None
    return SPEAKERS[folder]


@functools.lru_cache(None)
def macros():
    """Those that stand for strings, with the name of their parameter."""
    found = {}
    for path in words.files(".c", ".h", but=("tests",)):
        for name, parameter, value in re.findall(
                r"^#define (\w+)(?:\((\w+)\))?((?:[^\n]*\\\n)*[^\n]*)$",
                words.without_comments(words.read(path)), re.MULTILINE):
            value = value.replace("\\\n", " ").strip()
            if re.fullmatch(rf"(?:\s*(?:{LITERAL}|{parameter or 'x'}))+", value) and '"' in value:
                found[name] = (parameter, value)
    return found


def expanded(source):
    def expand(match):
        parameter, value = macros()[match[1]]
        return re.sub(rf"\b{parameter}\b(?=[^\"]*(?:\"[^\"]*\"[^\"]*)*$)", lambda _: match[2] or "",
                      value) if parameter else value + (match[0][len(match[1]):])
    names = "|".join(macros())
    return re.sub(rf"(?<!#define )\b({names})\b(?:\(\s*({LITERAL})\s*\))?", expand, source)


def c_texts(path):
    """Strings as the compiler joins them, with what they are handed to."""
    source = expanded(words.without_comments(words.read(path)))
    for match in re.finditer(rf"{LITERAL}(?:\s*{LITERAL})*", source):
        statement = re.split(r"[;{}]", source[:match.start()])[-1]
        text = "".join(re.findall(LITERAL, match[0]))
        yield Text(path, source.count("\n", 0, match.start()) + 1,
                   text.encode().decode("unicode_escape"), statement)


def python_texts(path):
    for node in ast.walk(ast.parse(words.read(path))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield Text(path, node.lineno, node.value, "")


def texts():
    for path in words.files(".c", ".h", but=("tests", "vmm-glue/examples", "contrib/example-vmm")):
        if speaker(path) is not None and not path.startswith("vmm-glue/include/"):
            yield from c_texts(path)
    for path in words.files(".py"):
        if speaker(path) is not None:
            yield from python_texts(path)


def is_help(text):
    """options.py looks at those; nor is what only begins with a dash a sentence."""
    return "Usage: " in text or re.search(r"^ +-", text, re.MULTILINE)


# ----------------------------------------------------------- what there is to name

def program_options(program, verb=None):
    argument = "--fdset-help" if program == "fdset-qemu" else "--help"
    return options.help_options(words.said(program, *([verb] if verb else []), argument))


def any_verbs_options():
    return set().union(*(options.verb_options(verb) for verb in options.verbs()))


def limits():
    return set(re.findall(r"\b([a-z-]+) \(\d+\)", words.said("fdset-helper", "--help")))


def page_names():
    names = set()
    for page in words.pages():
        title, section = page.rsplit(".", 1)
        heading = words.page_source(page).split("# NAME\n")[1].split(" - ")[0]
        names |= {(name.strip(), section) for name in heading.split(",")} | {(title, section)}
    return names


def words_of_ours():
    """FDSET_*: variables that are told of, constants of the headers, events of a monitor."""
    found = set()
    for page in words.pages():
        found.update(re.findall(r"\*(FDSET_[A-Z_]+)\*", words.page_source(page)))
    for path in words.files(".h"):
        if path.startswith("vmm-glue/include/"):
            found.update(re.findall(r"\bFDSET_[A-Z_]+", words.read(path)))
    return found


# ------------------------------------------------------------------------- checks

def options_named(text):
    """Each option with the program that has it, by the words before it."""
    for match in re.finditer(rf"(?<![\w-])({OPTION})", text.text):
        before = text.text[:match.start()]
        named = re.findall(r"\b(fdset-(?:helper|qemu)|fdsetctl)\b(?: ([a-z]+))?", before)
        program, verb = named[-1] if named else ("", "")
        # A colon, a bracket or a comma begins another thought; "start fdset-helper with" does not.
        since = before[before.rfind(program) + len(program):] if program else before
        if program and not re.search(r"[.;]", since):
            yield match[1], program, verb, True
        else:
            yield match[1], text.speaker, "", False


def check_options(text):
    wrong = []
    for option, program, verb, named in options_named(text):
        if not program:
            wrong.append(f"{option}: of which program?")
            continue
        if not named and is_for_others(text):
            wrong.append(f"{option}: those who read this did not start {program}: name it")
        if program == "fdsetctl":
            known = options.verb_options(verb) if verb in options.verbs() else any_verbs_options()
        else:
            known = program_options(program)
        if option not in known:
            wrong.append(f"{program} {verb} has no {option}")
    return wrong


def is_for_others(text):
    """The helper's refusals are sent to its clients. Who started it reads what it logs, and what
    it refuses before it serves."""
    if text.speaker != "fdset-helper" or "/confine/" in text.path or "/start/" in text.path:
        return False
    return not re.search(r"\b(log_line|log_die|usage_die|usage_number|die_usage|die|number|f?printf|f?puts)\(", text.call)


def check_limits(text):
    return [f"there is no limit {name}" for name in re.findall(r"--limit ([a-z-]+)", text.text)
            if name not in limits()]


def check_quoted(text):
    """A command in quotes can be typed."""
    wrong = []
    for command in re.findall(r"(?<![\w%])'([^'%\n][^'\n]*)'", text.text):
        first, *rest = command.split()
        if first in words.PROGRAMS:
            if first == "fdsetctl" and rest and rest[0] not in [*options.verbs(), "COMMAND"]:
                if not rest[0].startswith("-"):
                    wrong.append(f"fdsetctl has no command {rest[0]}")
        elif rest and rest[0].startswith("-") and not shutil.which(first):
            wrong += a_shell_says(command)
    for command in re.findall(r"\bulimit -[A-Za-z]+", text.text):
        wrong += a_shell_says(command)
    return wrong


def a_shell_says(command):
    shell = subprocess.run(["bash", "-c", command], capture_output=True, text=True,
                           stdin=subprocess.DEVNULL)
    return [f"a shell says of {command}: {shell.stderr.strip()}"] if shell.returncode else []


def check_pages(text):
    return [f"there is no page {name}({section})"
            for name, section in re.findall(r"\b((?:lib)?fdset[a-z_-]*)\(([1-8])\)", text.text)
            if (name, section) not in page_names()]


def check_variables(text):
    return [f"nothing tells what {name} is"
            for name in re.findall(r"\bFDSET_[A-Z]+(?:_[A-Z]+)*", text.text)
            if name not in words_of_ours()]


def check_settings(text):
    """Of the kernel."""
    wrong = []
    for name in re.findall(r"\b(?:fs|kernel|net|user|vm)\.[a-z_]+(?:\.[a-z_]+)*\b", text.text):
        place = "/proc/sys/" + name.replace(".", "/")
        # A container may show none of a kind.
        if os.path.isdir(os.path.dirname(place)) and not os.path.exists(place):
            wrong.append(f"there is no {place}")
    return wrong


CHECKS = [check_options, check_limits, check_quoted, check_pages, check_variables, check_settings]
NAMES = re.compile(
    rf"(?<![\w-]){OPTION}|\bfdsetctl [a-z]|\bfdset[a-z_-]*\([1-8]\)|\bFDSET_[A-Z]|"
    r"\b(?:fs|kernel|net|user|vm)\.[a-z_]+\b|'[a-z][\w-]* -|\bulimit\b")


def main():
    cases = []
    for text in texts():
        if is_help(text.text) or " " not in text.text.strip() or not NAMES.search(text.text):
            continue
        first = " ".join(text.text.split())
        cases.append((f"{os.path.basename(text.path)}: {first[:100]}",
                      lambda text=text: [f"{text.path}:{text.line}: {text.text.strip()}: {wrong}"
                                         for check in CHECKS for wrong in check(text)]))
    words.tell(cases)


if __name__ == "__main__":
    main()
