#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The man pages, as they are shown and as they are installed.

Each is rendered for a terminal of 80 columns, without a warning and with no line that
is wider; a SYNOPSIS has 78. Each is found by every name that it has, which in section
3 are exactly the functions that libfdset exports, with the parameters that the headers
give them. Each path is the build's own."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

import words

HEADERS = ["vmm-glue/include/fdset/vmm.h", "vmm-glue/include/fdset/manager.h",
           "vmm-glue/include/fdset/reconnect.h"]


def width(page):
    wrong, section = [], ""
    text, warnings = words.rendered(page)
    for line in text.splitlines():
        if re.match(r"[A-Z]", line):
            section = line
        # A path of this build's may be any length.
        for path in build_paths():
            line = line.replace(path, path[:32])
        most = 78 if section == "SYNOPSIS" else 80
        if len(line) > most:
            wrong.append(f"{len(line)} columns in {section}: {line.strip()}")
    if not text.strip():
        wrong.append("nothing is shown")
    return wrong + warnings.splitlines()


def continued(page):
    """Lines of examples that go on: as shown, too, where scdoc eats one backslash."""
    return [f"'{line}' is shown without its backslash"
            for block in words.blocks(words.page_source(page)) for line in block.splitlines()
            if re.search(r"(?<!\\)(\\\\)*\\$", line)]


def names(page):
    """The names in NAME, without the page's own."""
    text = words.page_source(page).split("# NAME\n")[1].split(" - ")[0]
    return {name.strip() for name in text.split(",")} - {page.rsplit(".", 1)[0]}


def exported():
    symbols = subprocess.run(["nm", "-D", "--defined-only", os.environ["FDSET_LIBRARY"]],
                             capture_output=True, check=True, text=True).stdout
    return {line.split()[2].split("@")[0] for line in symbols.splitlines()
            if line.split()[1] == "T"}


def declarations(text):
    """Prototypes by the function's name, each on one line with single blanks."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    found = {}
    for match in re.finditer(r"^[a-z][\w \t*]*?\b(fdset_\w+)\([^;{]*\);", text, re.MULTILINE):
        found[match[1]] = " ".join(match[0].split())
    return found


def synopses():
    found = {}
    for page in words.pages():
        if page.endswith(".3"):
            text = words.page_source(page).split("# SYNOPSIS\n")[1].split("\n# ")[0]
            found.update(declarations(text))
    return found


def declared():
    found = {}
    for header in HEADERS:
        found.update(declarations(words.read(header)))
    return found


def difference(one, other, what):
    return [f"{what}: {name}" for name in sorted(one - other)]


def functions():
    named = set().union(*(names(page) for page in words.pages() if page.endswith(".3")))
    return (difference(exported(), named, "no page has the name of")
            + difference(named, exported(), "not exported, but a page's name"))


def prototypes():
    wrong = difference(exported(), set(declared()), "in no header")
    for name, text in declared().items():
        if synopses().get(name) != text:
            wrong.append(f"{text}\n    in a SYNOPSIS: {synopses().get(name)}")
    return wrong


def structs(text):
    """Their fields by name, in order, without what is said of them."""
    found = {}
    for name, body in re.findall(r"^(?:struct|enum) (\w+) \{\n(.*?)^\};", text,
                                 re.MULTILINE | re.DOTALL):
        body = re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)
        fields = [" ".join(field.split()) for field in re.split("[;]", body)]
        # Several of one type in one line.
        found[name] = " ".join(re.sub(r"^(\S+) (\w+), (\w+)$", r"\1 \2; \1 \3", field) + ";"
                               for field in fields if field)
    return found


def fields():
    """A struct that a page shows is the header's."""
    defined, wrong = {}, []
    for header in HEADERS:
        defined.update(structs(words.read(header)))
    for page in words.pages():
        if not page.endswith(".3"):
            continue
        for name, body in structs(words.page_source(page)).items():
            if defined.get(name) != body:
                wrong.append(f"{page}: {name} {body}\n    in the header: {defined.get(name)}")
    return wrong


def install_and_look(manual):
    wrong = []
    for page in words.pages():
        title, section = page.rsplit(".", 1)
        for name in sorted(names(page) | {title}):
            shown = subprocess.run(["man", "-M", manual, section, name], capture_output=True,
                                   env={**os.environ, "MANPAGER": "cat"}, text=True)
            if shown.returncode or f"{title}({section})" not in shown.stdout:
                wrong.append(f"man {section} {name}: {shown.stderr.strip()}")
    return wrong


def installed():
    """Installs all into a directory of its own, and takes it away again."""
    # What the user has installed is still to be uninstalled.
    log = os.path.join(words.build, "meson-logs", "install-log.txt")
    kept = open(log, "rb").read() if os.path.exists(log) else None
    directory = tempfile.mkdtemp(prefix="fdset-pages-")
    os.chmod(directory, 0o755)  # man gives up root's rights
    try:
        environment = {**os.environ, "DESTDIR": directory}
        meson = os.environ["FDSET_MESON"]
        subprocess.run([meson, "install", "-C", words.build, "--no-rebuild", "--quiet"],
                       env=environment, check=True, stdout=subprocess.DEVNULL)
        wrong = install_and_look(directory + os.environ["FDSET_MANDIR"])
        wrong += [f"{path} is not installed" for path in build_paths()
                  if not os.path.exists(directory + path)]
        subprocess.run([meson, "--internal", "uninstall"], cwd=words.build, check=True,
                       stdout=subprocess.DEVNULL)
        for below, _, left in os.walk(directory):
            wrong += [f"uninstall leaves {os.path.join(below, name)}" for name in left]
    finally:
        shutil.rmtree(directory)
        if kept is not None:
            with open(log, "wb") as file:
                file.write(kept)
    return wrong


def references():
    """A page or a file that is referred to exists."""
    ours = {f"{name}.{page.rsplit('.', 1)[1]}" for page in words.pages()
            for name in names(page) | {page.rsplit(".", 1)[0]}}
    wrong = []
    for name in [*words.pages(), *words.files(".md", ".h", ".proto", ".in", but=("tests",))]:
        text = words.page_source(name) if name in words.pages() else words.read(name)
        wrong += [f"{name} refers to {title}({section})" for title, section in
                  re.findall(r"\b((?:lib)?fdset[\w-]*)[*_`]*\(([1-8])\)", text)
                  if f"{title}.{section}" not in ours]
    for page in words.pages():
        text = words.page_source(page)
        headings = re.findall(r"^#+ (.*)", text, re.MULTILINE)
        wrong += [f"{page} has no section {section}" for section in
                  re.findall(r"\bsee \*([^*(-][^*(]*)\*(?!\()", text, re.IGNORECASE)
                  if section not in headings]
    units = [os.path.basename(path).replace(".in", "") for path in
             words.files(".service", ".socket", ".service.in", ".socket.in")]
    for name in [*words.pages(), *words.files(".md", ".service", ".socket", ".in", but=("tests",))]:
        text = words.page_source(name) if name in words.pages() else words.read(name)
        wrong += [f"{name} refers to {unit}" for unit in
                  re.findall(r"\b(fdset-[a-z-]+@)[%\w]*(\.(?:service|socket))", text)
                  if "".join(unit) not in units]
    for path in words.files(".md"):
        folder = os.path.dirname(path)
        files = re.findall(r"`((?:contrib|helper|proto|tests|vmm-glue)/[\w./-]*)[`:]",
                           words.read(path))
        files += [os.path.join(folder, link)
                  for link in re.findall(r"\]\((?!\w+:)([\w./-]+)\)", words.read(path))]
        wrong += [f"{path} refers to {file}" for file in files
                  if not os.path.exists(os.path.join(words.source, file))]
    return wrong


def overview():
    """README tells of each page, and of each folder of tests and contrib."""
    text = words.read("README.md")
    wrong = [f"README.md does not tell of {page}" for page in words.pages()
             if "`{}({})`".format(*page.rsplit(".", 1)) not in text]
    for room in ("tests", "contrib"):
        for name in os.listdir(os.path.join(words.source, room)):
            if os.path.isdir(os.path.join(words.source, room, name)) and name[0] not in "._":
                told = re.search(rf"^\| `{room}/` \|.*$", text, re.MULTILINE)[0]
                if not re.search(rf"\b{re.sub('[^a-z]', '.', name)}\b", told, re.IGNORECASE):
                    wrong.append(f"README.md does not tell of {room}/{name}")
    return wrong


def build_paths():
    return sorted(os.environ["FDSET_PATHS"].split(":"), key=len, reverse=True)


def paths(page):
    """Where something of ours is installed is written with the build's words."""
    written = [text for path in words.files(page + ".scd")
               for text in re.findall(r"/(?:usr|opt|lib)/[\w./-]*|\S*libexec\S*", words.read(path))]
    # Nor is the helper in PATH.
    for block in words.blocks(words.page_source(page)):
        written += re.findall(r"^(?:[A-Z_]+=\S* )*fdset-helper .*", block, re.MULTILINE)
    left = re.findall(r"@\w+@", words.page_source(page))
    return [f"written by hand: {text}" for text in written + left]


def main():
    cases = [("every page is installed under each of its names, and taken away", installed),
             ("the functions that are exported have a page", functions),
             ("a struct in a page has the header's fields", fields),
             ("README tells of every page, and of every folder of tests and contrib", overview),
             ("what is referred to exists", references),
             ("a SYNOPSIS has the prototypes of the headers", prototypes)]
    for page in words.pages():
        cases.append((f"{page} fits a terminal of 80 columns", lambda page=page: width(page)))
        cases.append((f"{page} shows where lines go on", lambda page=page: continued(page)))
        cases.append((f"{page} has the build's paths", lambda page=page: paths(page)))
    words.tell(cases)


if not all(map(shutil.which, ["man", "groff", "col"])):
    print("1..0 # SKIP no man: install man-db, groff-base and bsdextrautils")
    sys.exit(77)
main()
