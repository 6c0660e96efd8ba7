#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Options and variables: --help, the man page, the completions and the program itself
know the same ones.

What is compared is found in them: an option is what a line of --help, or a line of the
man page that stands out, begins with; a variable is what getenv() is asked for."""

import os
import re
import subprocess

import words

OPTION = r"(?<![\w/-])--?[a-zA-Z](?:[a-z0-9-]*[a-z0-9])?(?![a-z-])"

# Which manual page tells of what is in a folder. A program for reading has none.
ROOMS = {
    "helper": "fdset-helper.8",
    "vmm-glue": "fdset_vmm.3",
    "contrib/fdsetctl": "fdsetctl.1",
    "contrib/qemu": "fdset-preload.7",
    "contrib/qemu/wrapper": "fdset-qemu.1",
}


def verbs():
    text = words.said("fdsetctl", "--help").split("Commands:\n")[1].split("\n\n")[0]
    return re.findall(r"^  ([a-z-]+) ", text, re.MULTILINE)


def help_options(text):
    """What stands at the beginning of a line that begins with an option."""
    found = set()
    for line in text.splitlines():
        if line.lstrip().startswith("-"):
            found.update(re.findall(OPTION, line.strip().split("  ")[0]))
    return found


def page_options(text):
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    found = set()
    for line in text.splitlines():
        if re.match(r"\*-(-|\w\*)", line):
            found.update(re.findall(OPTION, line.replace("*", "")))
    return found


def sections(page):
    """The page's parts by their headings."""
    parts = re.split(r"^# (.*)\n", words.page_source(page), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def parsed_options(folder):
    """What getopt_long() is given."""
    found = set()
    for path in words.files(".c", ".h"):
        if path.startswith(folder + "/"):
            found.update("--" + name for name in re.findall(
                r'\{"([a-z-]+)", *(?:no|required|optional)_argument', words.read(path)))
    return found


def long(options):
    return {option for option in options if option.startswith("--")}


def differ(one, other, here, there):
    return ([f"{option} is in {here}, not in {there}" for option in sorted(one - other)]
            + [f"{option} is in {there}, not in {here}" for option in sorted(other - one)])


def simple(program, page, folder, argument="--help"):
    told = help_options(words.said(program, argument))
    wrong = differ(told, page_options(words.page_source(page)), "--help", page)
    if folder:
        wrong += differ(long(told), parsed_options(folder), "--help", "the program")
    return wrong


def example():
    """A program to read, which has no page."""
    run = subprocess.run([os.environ["FDSET_EXAMPLE_VMM"], "--help"], capture_output=True,
                         check=True, text=True)
    return differ(help_options(run.stdout), parsed_options("contrib/example-vmm"), "--help",
                  "the program")


def qemu():
    told = help_options(words.said("fdset-qemu", "--fdset-help"))
    written = page_options(words.page_source("fdset-qemu.1"))
    wrong = differ(told, written, "--fdset-help", "fdset-qemu.1")
    source = "".join(words.read(path) for path in words.files(".c")
                     if path.startswith("contrib/qemu/wrapper/"))
    parsed = {"--" + name for name in re.findall(r'[{ ]"(fdset-(?!qemu)[a-z-]+)"[,)]', source)}
    return wrong + differ(told, parsed, "--fdset-help", "the program")


def verb_options(verb):
    return help_options(words.said("fdsetctl", verb, "--help"))


def common_options():
    return help_options(words.said("fdsetctl", "--help"))


def fdsetctl_page():
    page = sections("fdsetctl.1")
    wrong = differ(common_options(), page_options(page["OPTIONS"]), "--help", "OPTIONS")
    for verb in verbs():
        if verb.upper() not in page:
            wrong.append(f"fdsetctl(1) has no section {verb.upper()}")
            continue
        if not re.search(rf"\*{verb}\*", page["SYNOPSIS"]):
            wrong.append(f"the SYNOPSIS has no {verb}")
        wrong += differ(verb_options(verb), page_options(page[verb.upper()]) | common_options(),
                        f"fdsetctl {verb} --help", verb.upper())
    return wrong


def is_known(verb, option):
    run = subprocess.run(
        [os.path.join(words.build, words.PROGRAMS["fdsetctl"]), verb, option, "--help"],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60,
        env={**os.environ, "LC_ALL": "C", "FDSET_MANAGE_SOCKET": "/nowhere"})
    return "unrecognized" not in run.stderr and "unknown option" not in run.stderr


def fdsetctl_parser():
    """Each command takes the options that its help has, and no others."""
    everything = set().union(*(verb_options(verb) for verb in verbs()))
    wrong = differ(long(everything), parsed_options("contrib/fdsetctl"), "--help", "the program")
    for verb in verbs():
        told = long(verb_options(verb))
        for option in sorted(long(everything)):
            # getopt_long() takes what an option begins with for the option.
            if option not in told and any(other.startswith(option) for other in told):
                continue
            if is_known(verb, option) != (option in told):
                wrong.append(f"{option} is {'not ' if option in told else ''}taken by {verb}, "
                             "unlike its help says")
    return wrong


def bash_completes(*line):
    """What bash would offer after these words."""
    fdsetctl = os.path.join(words.build, words.PROGRAMS["fdsetctl"])
    script = ('source "$1"; shift; word=${!#}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
              'COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9; compopt() { :; }; '
              r'[[ $(complete -p fdsetctl) =~ -F\ ([^ ]+) ]] && function=${BASH_REMATCH[1]}; '
              '"$function" fdsetctl "$word" "${COMP_WORDS[COMP_CWORD - 1]}"; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    run = subprocess.run(
        ["bash", "-c", script, "bash",
         os.path.join(words.source, "contrib/fdsetctl/completion.bash"), *line],
        capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL,
        env={"PATH": os.path.dirname(fdsetctl) + ":" + os.environ["PATH"]})
    return {word.strip().rstrip("=") for word in run.stdout.split("\n")} - {""}


def bash():
    wrong = differ(bash_completes("fdsetctl", ""), set(verbs()), "bash's completion", "--help")
    for verb in verbs():
        wrong += differ(bash_completes("fdsetctl", verb, "--"), long(verb_options(verb)),
                        f"bash's completion of {verb}", "--help")
    return wrong


def zsh():
    """Read, not run: what stands under each command, but for what excludes it. The commands
    themselves, and the options of one that does not stand there, zsh has from --help."""
    definition = r"(--?[a-zA-Z][a-z-]*)(?=\+?=?-?[\[,}])"
    text = words.read("contrib/fdsetctl/_fdsetctl")
    common = set(re.findall(definition, text.split("common=(")[1].split("\n    )")[0]))
    script = re.search(r"\bsed -n '(.*?)'", text)[1]
    named = subprocess.run(["sed", "-n", script], input=words.said("fdsetctl", "--help"),
                           text=True, capture_output=True, check=True).stdout
    wrong = differ({line.split(":")[0] for line in named.splitlines()}, set(verbs()),
                   "zsh's completion", "--help")
    for verb in verbs():
        part = re.search(rf"^    {verb}\)\n(.*?);;", text, re.DOTALL | re.MULTILINE)
        if part:
            offered = long(set(re.findall(definition, part[1]))) | long(common)
            wrong += differ(offered, long(verb_options(verb)), f"zsh's completion of {verb}",
                            "--help")
    return wrong


def limits():
    """The names and the defaults of the helper's limits."""
    told = dict(re.findall(r"\b([a-z-]+) \((\d+)\)", words.said("fdset-helper", "--help")))
    written = dict(re.findall(r"^\|  \*([a-z-]+)\*\n:- (\d+)",
                              words.page_source("fdset-helper.8"), re.MULTILINE))
    return differ(set(map(" ".join, told.items())), set(map(" ".join, written.items())),
                  "--help", "fdset-helper(8)")


def is_command(text):
    """A command of ours has such options; of other programs we know nothing."""
    program, *arguments = text.split() or [""]
    if program not in words.PROGRAMS:
        return True
    question = "--fdset-help" if program == "fdset-qemu" else "--help"
    known = help_options(words.said(program, question))
    if program == "fdsetctl":
        for verb in set(arguments) & set(verbs()):
            known |= verb_options(verb)
    return not long(set(re.findall(OPTION, text))) - known


def mentions():
    """An option that a page or a help speaks of is one of some program of ours."""
    known = help_options(words.said("fdset-qemu", "--fdset-help"))
    helps = {"fdset-qemu --fdset-help": words.said("fdset-qemu", "--fdset-help")}
    for program, arguments in [("fdset-helper", []), ("fdsetctl", []),
                               *(("fdsetctl", [verb]) for verb in verbs())]:
        text = words.said(program, *arguments, "--help")
        helps[" ".join([program, *arguments, "--help"])] = text
        known |= help_options(text)
    wrong = []
    for name, text in helps.items():
        wrong += [f"{name} speaks of {option}" for option in
                  sorted(long(set(re.findall(OPTION, text))) - known)]
    for page in words.pages():
        text = words.page_source(page)
        spoken = set(re.findall(r"\*(--[a-z][a-z-]*[a-z])(?![a-z-])", text))
        wrong += [f"{page} speaks of {option}" for option in sorted(spoken - known)]
        wrong += [f"{page}: {command}" for command in re.findall(r"\*([^*\n]+)\*", text)
                  if not is_command(command)]
    known |= parsed_options("contrib/example-vmm")
    for path in words.files(".md"):
        for code in re.findall(r"`([^`\n]+)`", words.read(path)):
            option = re.match(r"--[a-z-]+", code)
            if not is_command(code) or option and option[0] not in known:
                wrong.append(f"{path}: {code}")
    return wrong


def choices(*arguments):
    """What fdsetctl says that there is, where it is given a comma."""
    run = subprocess.run([os.path.join(words.build, words.PROGRAMS["fdsetctl"]), *arguments, ","],
                         capture_output=True, text=True, stdin=subprocess.DEVNULL,
                         env={"FDSET_MANAGE_SOCKET": "/nowhere"})
    return set(re.search(r"there are (\S+)", run.stderr)[1].split(","))


def columns_and_kinds():
    page = sections("fdsetctl.1")
    kinds = set(re.findall(r"_([a-z-]+)_", "".join(re.findall(
        r"^(?:\|\[|\|) +(_.*)$", page["WATCH"], re.MULTILINE))))
    wrong = differ(kinds, choices("watch", "--kinds"), "fdsetctl(1)", "fdsetctl watch --kinds")
    for section, arguments in [("LIST", ["list", "--output"]),
                               ("LIST", ["list", "--leases", "--output"]),
                               ("LIST", ["list", "--waiting", "--output"]),
                               ("WATCH", ["watch", "--output"])]:
        told = set(re.findall(r"\*([A-Z][A-Z-]+)\*", page[section]))
        wrong += [f"fdsetctl {' '.join(arguments)} has {column}, and fdsetctl(1) has not"
                  for column in sorted(choices(*arguments) - told)]
    every = set().union(*(choices(*arguments) for arguments in [
        ["list", "--output"], ["list", "--leases", "--output"], ["list", "--waiting", "--output"]]))
    told = set(re.findall(r"\*([A-Z][A-Z-]+)\*", page["LIST"]))
    return wrong + [f"fdsetctl(1) has {column}" for column in sorted(told - every)]


def units():
    """What a unit runs has the options that it is run with."""
    wrong = []
    for path in words.files(".service", ".service.in"):
        for line in re.findall(r"^Exec\w*=(.*)", words.read(path), re.MULTILINE):
            program, *arguments = line.split()
            name = os.path.basename(program)
            known = help_options(words.said(name, "--help"))
            for verb in set(arguments) & set(verbs() if name == "fdsetctl" else []):
                known |= verb_options(verb)
            wrong += [f"{path}: {name} has no {option}" for option in
                      long(set(re.findall(OPTION, line))) - known]
    return wrong


def variables_read(folder):
    found = set()
    for path in words.files(".c", ".h"):
        if os.path.dirname(path) == folder or path.startswith(folder + "/"):
            room = max((room for room in ROOMS if path.startswith(room + "/")), key=len)
            if room == folder:
                found.update(re.findall(r'getenv\("(\w+)"\)', words.read(path)))
    return found


def variables():
    """Each that a program reads is told under ENVIRONMENT, and is read where it is told."""
    wrong, all_read = [], {"PATH"}
    for folder in ROOMS:
        all_read |= variables_read(folder)
    for folder, page in ROOMS.items():
        # The library's pages tell of them where they are used.
        section = sections(page).get("ENVIRONMENT", "")
        told = set(re.findall(r"\*([A-Z_]+)\*", section or words.page_source(page)))
        wrong += [f"{page} does not tell of {name}"
                  for name in sorted(variables_read(folder) - told - {"PATH"})]
        lines = re.findall(r"^\*[A-Z_]+\*(?:, \*[A-Z_]+\*)*$", section, re.MULTILINE)
        wrong += [f"{page} tells of {name}, which nothing reads"
                  for name in re.findall(r"[A-Z_]+", " ".join(lines)) if name not in all_read]
    return wrong


def main():
    words.tell([
        ("fdset-helper has the options of --help and fdset-helper(8)",
         lambda: simple("fdset-helper", "fdset-helper.8", "helper/start")),
        ("example-vmm has the options of --help", example),
        ("fdset-qemu has the options of --fdset-help and fdset-qemu(1)", qemu),
        ("fdsetctl(1) has what --help has, of each command", fdsetctl_page),
        ("fdsetctl takes what --help has, of each command", fdsetctl_parser),
        ("bash completes what --help has", bash),
        ("zsh completes what --help has", zsh),
        ("the helper's limits have the same defaults everywhere", limits),
        ("every option that is spoken of exists", mentions),
        ("fdsetctl(1) has the columns and the kinds that there are", columns_and_kinds),
        ("systemd's units use options that exist", units),
        ("every variable that is read is told of, and the other way round", variables),
    ])


if __name__ == "__main__":
    main()
