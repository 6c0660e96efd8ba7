#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Examples, run as they are typed: of README.md, of the pages of contrib, of man pages.

A scene is some blocks of one of them, in one shell. What is replaced in them is where
things are: the directories that they name, and what would be installed. A command must
succeed; one whose comment is an error must fail with it. After a line "$ command" comes
what it prints."""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import words

PR_SET_CHILD_SUBREAPER = 36
ERRORS = "Permission denied|Device or resource busy|No such file or directory|Invalid argument"
# A safety net only.
HANG_SECONDS = 60

helper = os.path.join(words.build, words.PROGRAMS["fdset-helper"])
preload = os.environ["FDSET_PRELOAD"]
DIRECTORIES = "mkdir -p vm1 images; "


class Skipped(Exception):
    pass


def markdown(path, heading, language="sh"):
    """The blocks under a heading, without the indentation that a list gives them."""
    text = words.read(path).split(heading + "\n", 1)[1]
    text = re.split(r"^#{1,3} ", text, maxsplit=1, flags=re.MULTILINE)[0]
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indentation}", "", block, flags=re.MULTILINE)
            for indentation, block in found]


def page(name, section="EXAMPLES"):
    text = words.page_source(name).split(f"# {section}\n")[1]
    text = re.split(r"^# ", text, maxsplit=1, flags=re.MULTILINE)[0]
    return [block.replace("\\\\", "\\") for block in words.blocks(text)]


def commands(block):
    """(what is typed, what it prints or None, the error that it is said to give or None)"""
    if block.startswith("$ "):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output or None, None
        return
    pending = ""
    for line in block.splitlines(keepends=True):
        pending += line
        syntax = subprocess.run(["bash", "-n"], input=pending, text=True, capture_output=True)
        if syntax.returncode or syntax.stderr or re.search(r"(\\|\|)\s*$", pending):
            continue
        if pending.strip() and not pending.lstrip().startswith("#"):
            error = re.search(rf"#.*?({ERRORS})", pending)
            yield pending, None, error and error[1]
        pending = ""
    if pending.strip():
        yield pending, None, None


class Scene:
    """A directory, and a shell in it that remembers what it was told."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="fdset-examples-")
        tools = os.path.join(self.directory, "tools")
        os.mkdir(tools)
        # It is built.
        for name in ("meson", "ninja"):
            os.symlink("/bin/true", os.path.join(tools, name))
        os.symlink(words.build, os.path.join(self.directory, "build"))
        installed = [os.path.dirname(os.path.join(words.build, words.PROGRAMS[name]))
                     for name in ("fdsetctl", "fdset-qemu")]
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("FDSET_")}
        environment["FDSET_HELPER"] = helper
        environment["PATH"] = ":".join([tools, *installed, os.environ["PATH"]])
        self.shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, cwd=self.directory, env=environment, text=True)
        self.count = 0

    def replace(self, text):
        for path, place in [
                (os.environ["FDSET_HELPER_PATH"], helper),
                (os.environ["FDSET_LIBRARIES"], os.path.dirname(preload)),
                ("/usr/lib/x86_64-linux-gnu/fdset-helper", os.path.dirname(preload)),
                ("/tmp/vm1", self.directory + "/vm1"), ("/run/vm1", self.directory + "/vm1"),
                ("/images/", self.directory + "/images/"),
                ("/srv/images", self.directory + "/images")]:
            text = re.sub(rf"(?<![\w.]){re.escape(path)}", lambda _: place, text)
        return text

    def run(self, command):
        """Status and output of a command, which may leave others in the background."""
        self.count += 1
        name = os.path.join(self.directory, f"command{self.count}")
        with open(name, "w", encoding="utf-8") as file:
            file.write(self.replace(command) + "\n")
        self.shell.stdin.write(f'. "{name}" >"{name}.out" 2>&1; echo "@ $?"\n')
        self.shell.stdin.flush()
        line = self.shell.stdout.readline()
        with open(name + ".out", encoding="utf-8", errors="replace") as file:
            output = file.read()
        if not line.startswith("@ "):
            raise AssertionError(f"the shell has ended: {command}: {line} {output}")
        return int(line[2:]), output

    def must(self, command):
        status, output = self.run(command)
        assert status == 0, f"{command.strip()}: status {status}: {output}"
        return output

    def type(self, blocks):
        for block in blocks:
            for command, printed, error in commands(block):
                status, output = self.run(command)
                if error:
                    assert error in output, f"{command.strip()}: not {error!r}: {output}"
                    continue
                assert status == 0, f"{command.strip()}: status {status}: {output}"
                if printed is not None:
                    if re.search(r"\d\d:\d\d:\d\d", printed): # of another day, and another process
                        output, printed = (text.split("\n")[0] for text in (output, printed))
                    assert output.split() == printed.split(), f"{command.strip()}: {output}"

    def __enter__(self):
        signal.alarm(HANG_SECONDS)
        return self

    def __exit__(self, *_):
        signal.alarm(0)
        # All that it has started, what went into the background included.
        while children := [int(name) for name in os.listdir("/proc")
                           if name.isdigit() and is_ours(name)]:
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        self.shell.returncode = 0
        self.shell.stdin.close()
        self.shell.stdout.close()
        shutil.rmtree(self.directory)


def give_up(*_):
    raise AssertionError(f"hangs for {HANG_SECONDS} seconds")


def is_ours(process):
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rsplit(")", 1)[1].split()[1]) == os.getpid()
    except (FileNotFoundError, ProcessLookupError):
        return False


def needs(*programs):
    for name in programs:
        if not shutil.which(name):
            raise Skipped(f"no {name}")


def start_helper(scene):
    """Where an example takes it for granted."""
    scene.must(f"""
mkdir -p fdset-helper/vm1
ln -s fdset-helper/vm1 vm1
export XDG_RUNTIME_DIR=$PWD
{helper} --verbose --manage vm1/manage --vmm vm1/vmm 2>vm1/log &
until grep -q ' ready: ' vm1/log; do :; done
export FDSET_MANAGE_SOCKET=$PWD/vm1/manage FDSET_VMM_SOCKET=$PWD/vm1/vmm
""")


# ------------------------------------------------------------------------ scenes

def readme_session():
    needs("qemu-io")
    with Scene() as scene:
        scene.type(markdown("README.md", "## A first session"))


def fdsetctl_page():
    needs("jq")
    blocks = page("fdsetctl.1")
    with Scene() as scene:
        start_helper(scene)
        scene.must("truncate -s 1M base.qcow2 disk.qcow2 one.iso two.iso state.bin driver.iso "
                   "install.iso; ln -s manage vm1/manage.sock")
        scene.must(f'restore_machine() {{ LD_PRELOAD={preload} cat "/$1" >/dev/null; }}')
        scene.must("mkdir images; ln base.qcow2 images; mkfifo held ever")
        scene.must('change_medium() { restore_machine "$1"; }')
        for block in blocks:
            if "fdsetctl who" in block:
                scene.must(f"LD_PRELOAD={preload} "
                           "bash -c 'exec 5<//dev/fdset/1 && echo >held && read <ever' &\n"
                           "read <held")
            if "while read" not in block:
                scene.type([block])
                continue
            # It goes on until its helper ends.
            scene.must("{\n" + block + "\n} &")
            for name in re.findall(r"/dev/fdset/(\w+)\)", block):
                mode = "<" if f"--name {name} -r" in block else "<>"
                scene.must(f"FDSET_WAIT_MS=60000 LD_PRELOAD={preload} "
                           f"bash -c 'exec 5{mode}//dev/fdset/{name}'")


def helper_page():
    for block in page("fdset-helper.8"):
        with Scene() as scene:
            scene.must(DIRECTORIES + "truncate -s 1M images/base.qcow2")
            scene.type([block])


def preload_page():
    needs("qemu-img", "qemu-nbd")
    one, other = page("fdset-preload.7")
    with Scene() as scene:
        scene.must(DIRECTORIES + "qemu-img create -q -f qcow2 images/disk.qcow2 1M")
        scene.type([one])
    with Scene() as scene:
        scene.must("truncate -s 1M disk.raw")
        scene.type([other.replace("LD_PRELOAD=...", f"LD_PRELOAD={preload}")])


def preload_page_prefix():
    needs("qemu-img")
    with Scene() as scene:
        start_helper(scene)
        scene.must(DIRECTORIES + "cd images; qemu-img create -q -f qcow2 base.qcow2 1M; "
                   "qemu-img create -q -f qcow2 -b $PWD/base.qcow2 -F qcow2 top.qcow2; cd ..")
        blocks = [block for block in page("fdset-preload.7", "PATHS") if "FDSET_PREFIX" in block]
        scene.type([block.replace("LD_PRELOAD=...", f"LD_PRELOAD={preload}") for block in blocks])


def tools_of_qemu():
    needs("qemu-img")
    blocks = [block for block in markdown("contrib/qemu/README.md", "## A shell script")
              if "LD_PRELOAD" in block]
    with Scene() as scene:
        start_helper(scene)
        scene.must("qemu-img create -q -f qcow2 disk.qcow2 1M; fdsetctl add --set 1 disk.qcow2")
        scene.type(blocks)


def example_vmm():
    one, other = markdown("contrib/example-vmm/README.md", "# An emulator that links libfdset")
    with Scene() as scene:
        # Its monitor is its standard input.
        scene.must(f"""
mkfifo in out
example-vmm() {{
    {os.environ["FDSET_EXAMPLE_VMM"]} "$@" <in >out &
    exec 9>in 8<out
    read -r line <&8 && [ "$line" = ready ]
}}""")
        scene.type([one])
        refused = scene.must("echo reopen read-write >&9; read -r line <&8; echo $line")
        assert refused.startswith("error: "), refused
        scene.type([other])
        answer = scene.must("echo reopen read-write >&9; read -r line <&8; echo $line")
        assert answer == "ok\n", answer


def python_page():
    path = os.environ.get("FDSET_PYTHON", "")
    if not path:
        raise Skipped("no Python client here")
    manager, vmm = [markdown("contrib/python/README.md", heading, "python")[0]
                    for heading in ("## A manager", "## A VMM")]
    with Scene() as scene:
        start_helper(scene)
        scene.must("truncate -s 1M disk.img")
        # The set is there for the VMM before it is removed.
        added, removed = manager.rsplit("    manager.remove", 1)
        vmm = "".join("    " + line for line in vmm.splitlines(keepends=True))
        text = scene.replace(added + vmm + "    manager.remove" + removed)
        with open(os.path.join(scene.directory, "example.py"), "w", encoding="utf-8") as file:
            file.write(text)
        scene.must(f"PYTHONPATH={path} {os.environ['FDSET_PYTHON_PROGRAM']} example.py")


def c_examples():
    """They compile, with what a reader would put around them."""
    headers = [argument for root in (words.source, words.build) for room in ("vmm-glue", "proto")
               for argument in ("-I", os.path.join(root, room, "include"))]
    found = markdown("README.md", "## A first session", "c")
    for name in ("vmm.h", "manager.h"):
        text = words.read(f"vmm-glue/include/fdset/{name}")
        example = re.search(r"\n((?: \*     [^\n]*\n| \*\n)+)", text)[1]
        found.append(f"#include <fdset/{name}>\n"
                     + re.sub(r"^ \*", "", example, flags=re.MULTILINE))
    for example in found:
        includes = "".join(re.findall(r"^#include.*\n", example, re.MULTILINE))
        body = re.sub(r"^#include.*\n|^ *\.\.\.\n", "", example, flags=re.MULTILINE)
        program = ("#include <err.h>\n#include <fcntl.h>\n#include <unistd.h>\n" + includes
                   + ("int fd;\n" if "int fd" not in body else "")
                   + "int main(void) {\n" + body + "\nreturn 0; }\n")
        compiled = subprocess.run(
            ["cc", "-fsyntax-only", "-Wall", "-Werror", "-xc", "-"] + headers,
            input=program, text=True, capture_output=True)
        assert compiled.returncode == 0, compiled.stderr + program


SCENES = [readme_session, helper_page, fdsetctl_page, preload_page, preload_page_prefix,
          tools_of_qemu, example_vmm, python_page, c_examples]


def attempt(scene):
    try:
        scene()
        return []
    except Skipped as reason:
        print(f"# SKIP {reason}")
        return []
    except AssertionError as wrong:
        return [str(wrong)]


def main():
    signal.signal(signal.SIGALRM, give_up)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    chosen = [scene for scene in SCENES if not sys.argv[1:] or scene.__name__ in sys.argv[1:]]
    words.tell([(scene.__name__.replace("_", " "), lambda scene=scene: attempt(scene))
                for scene in chosen])


main()
