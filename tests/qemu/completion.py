#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The completions of fdsetctl, driven as people drive them: a real bash and a real zsh
on a terminal, keys in, and the line that the shell then has out. Labels and names are
what an enemy would choose."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import unittest

from tap import main

HELPER, FDSETCTL, SOURCE = (
    os.environ[name] for name in ("FDSET_HELPER", "FDSETCTL", "FDSET_SOURCE")
)
PATIENCE = 120

# What is typed and what a label may be that a shell would do something with. TRAP is
# a command that leaves a file behind.
TRAP = "touch${IFS}trap"
HOSTILE = [
    f"a$({TRAP})",
    f"b`{TRAP}`",
    "c blank  twice",
    "d;touch${IFS}trap;",
    "e'single'",
    'f"double"',
    "g\\back\\slash\\n",
    "-leading",
    "--socket=nowhere",
    "h*?[a-z]{x,y}",
    "~root",
    "i!!history!-1",
    "j&touch${IFS}trap",
    "k|touch${IFS}trap",
    "l>trap",
    "m#comment",
    "n:colon=equal@at,comma%percent^caret",
    "o$HOME${HOME}$'\\n'",
    " leading blank",
    "p&&q%s%n",
    "(r)",
    "$(touch${IFS}trap)",
    "'quote-first",
    '"double-first',
    "!bang",
    "=equals-first",
    "x[$(touch${IFS}trap)]",
]


class Shell:
    """A shell on a terminal. Its keys: TAB completes, ALL puts in all candidates, TELL
    tells the line; CLEAR empties it."""

    TELL = "\x18t"
    ALL = "\x18a"

    def __init__(self, directory, arguments, environment):
        self.pipe = os.path.join(directory, "told")
        os.mkfifo(self.pipe)
        self.screen = b""
        self.arrived = threading.Condition()
        pid, self.master = pty.fork()
        if pid == 0:
            try:
                os.chdir(directory)
                os.execvpe(arguments[0], arguments, environment)
            finally:
                os._exit(127)
        self.pid = pid
        threading.Thread(target=self.drain, daemon=True).start()

    def drain(self):
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                data = b""
            with self.arrived:
                self.screen += data
                self.arrived.notify()
            if not data:
                return

    def await_screen(self, text):
        with self.arrived:
            if not self.arrived.wait_for(lambda: text in self.screen, PATIENCE):
                raise AssertionError(f"the shell shows {self.screen!r}")

    def keys(self, text):
        os.write(self.master, text.encode())

    def told(self):
        """What comes through the pipe next, or the screen if nothing does."""
        result = []

        def read():
            with open(self.pipe, encoding="utf-8", errors="surrogateescape") as pipe:
                result.append(pipe.read())

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        reader.join(PATIENCE)
        if not result:
            raise AssertionError(f"the shell says nothing; its screen: {self.screen[-2000:]!r}")
        return result[0].removesuffix("\n")

    def line(self, typed):
        """The line after these keys."""
        self.keys(self.CLEAR + typed + self.TELL)
        return self.told()

    def run(self, typed):
        """The output of the command that these keys make."""
        self.keys(self.CLEAR + typed + self.END + " >output 2>&1; echo $? >told\r")
        status = self.told()
        with open(os.path.join(os.path.dirname(self.pipe), "output"), encoding="utf-8") as output:
            return status, output.read()

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


class Bash(Shell):
    SETTINGS = (
        "set -u",
        "shopt -s failglob",
        "shopt -u failglob; shopt -s nullglob dotglob extglob globstar nocasematch",
        "touch set l wat 0 a; set -f",
        "set +f; IFS=,aeo",
        "IFS=",
    )
    CLEAR = "\x05\x15"
    END = "\x05"

    def __init__(self, directory, environment):
        rc = os.path.join(directory, "rc")
        with open(rc, "w", encoding="utf-8") as file:
            file.write(
                f"""
                set -o history -o histexpand
                PS1='PROM''PT>'
                bind 'set bell-style none'
                bind 'set enable-bracketed-paste off'
                bind 'set completion-query-items -1'
                bind 'set page-completions off'
                bind 'set show-all-if-ambiguous on'
                bind '"\\C-xa": insert-completions'
                bind -x '"\\C-xt": printf %s "$READLINE_LINE" >told'
                . '{SOURCE}/contrib/fdsetctl/completion.bash'
                """
            )
        super().__init__(directory, ["bash", "--noprofile", "--rcfile", rc, "-i"], environment)
        self.await_screen(b"PROMPT>")


class Zsh(Shell):
    SETTINGS = (
        "setopt no_unset",
        "setopt sh_word_split glob_subst",
        "setopt ksh_arrays",
        "touch set l wat 0 a; setopt no_match err_return",
        "IFS=,aeo",
        "IFS=",
    )
    CLEAR = "\x05\x15"
    END = "\x05"

    def __init__(self, directory, environment):
        functions = os.path.join(directory, "functions")
        os.mkdir(functions)
        shutil.copy(f"{SOURCE}/contrib/fdsetctl/_fdsetctl", functions)
        with open(os.path.join(directory, ".zshrc"), "w", encoding="utf-8") as file:
            file.write(
                f"""
                setopt banghist nolistbeep nobeep interactivecomments noautoremoveslash
                unsetopt prompt_sp
                unset zle_bracketed_paste
                PS1='PROM''PT>'
                fpath=('{functions}' $fpath)
                autoload -Uz compinit
                compinit -u -D
                bindkey -e
                bindkey '^I' complete-word
                bindkey '^U' kill-whole-line
                LISTMAX=1000
                _all_matches_only() {{
                    _main_complete _complete
                    compstate[insert]=all
                    compstate[list]=
                }}
                zle -C all-matches complete-word _all_matches_only
                bindkey '^Xa' all-matches
                tell() {{ print -rn -- "$BUFFER" >told }}
                zle -N tell
                bindkey '^Xt' tell
                """
            )
        environment = environment | {"ZDOTDIR": directory}
        super().__init__(directory, ["zsh", "-d", "-i"], environment)
        self.await_screen(b"PROMPT>")


def fdsetctl(*arguments, **options):
    return subprocess.run(
        [FDSETCTL, *arguments], capture_output=True, text=True, check=False, **options
    )


def help_options(*command):
    """What the help has, which is checked to be all that there is elsewhere."""
    return set(re.findall(r"--[a-z][a-z-]*", fdsetctl(*command, "--help").stdout))


def commands():
    return re.findall(r"^  ([a-z]+)  ", fdsetctl("--help").stdout, re.M)


class Completion:
    """The tests, of whichever shell."""

    def setUp(self):
        if not shutil.which(self.SHELL.__name__.lower()):
            self.skipTest(f"there is no {self.SHELL.__name__.lower()}")
        self.directory = tempfile.mkdtemp(dir=os.environ.get("TMPDIR", "/var/tmp"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.path = lambda name: os.path.join(self.directory, name)
        os.mkdir(self.path("bin"))
        os.symlink(FDSETCTL, self.path("bin/fdsetctl"))
        os.mkdir(self.path("work"))
        self.helper = subprocess.Popen(
            [HELPER, "--manage", self.path("manage")], stderr=subprocess.PIPE, text=True
        )
        self.addCleanup(self.helper.wait)
        self.addCleanup(self.helper.kill)
        for line in self.helper.stderr:
            if "ready:" in line:
                break
        os.environ["FDSET_MANAGE_SOCKET"] = self.path("manage")
        with open(self.path("work/image"), "w", encoding="utf-8"):
            pass
        environment = {
            "HOME": self.directory,
            "PATH": self.path("bin") + ":" + os.environ["PATH"],
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
            "COLUMNS": "1000",
            "FDSET_MANAGE_SOCKET": self.path("manage"),
        }
        self.shell = self.SHELL(self.path("work"), environment)
        self.addCleanup(self.shell.end)

    def add(self, *arguments):
        done = fdsetctl("add", "--path", *arguments, self.path("work/image"))
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def all(self, typed):
        """All candidates for the last word of what is typed."""
        line = self.shell.line(typed + Shell.ALL)
        start = typed[: typed.rfind(" ") + 1]
        self.assertTrue(line.startswith(start), line)
        return set(line[len(start) :].split())

    def no_trap(self):
        self.assertNotIn("trap", os.listdir(self.path("work")))

    def test_every_command(self):
        self.assertEqual(self.all("fdsetctl "), set(commands()))
        self.assertEqual(self.shell.line("fdsetctl sho\t"), "fdsetctl show ")

    def test_every_option(self):
        for command in commands():
            with self.subTest(command=command):
                self.assertEqual(
                    {option.rstrip("=") for option in self.all(f"fdsetctl {command} --")},
                    help_options(command),
                )

    def test_options_before_the_command(self):
        self.assertEqual(
            {option.rstrip("=") for option in self.all("fdsetctl --")}, help_options()
        )
        self.assertEqual(self.shell.line("fdsetctl --vers\t"), "fdsetctl --version ")

    def test_arguments_of_options_are_no_operands(self):
        """Behind each option with an argument the command goes on."""
        for command in commands():
            for option in sorted(help_options(command)):
                said = fdsetctl(command, option, env={}).stderr
                if "requires an argument" not in said or option in ("--socket",):
                    continue
                with self.subTest(command=command, option=option):
                    self.assertLessEqual(
                        {"--help"},
                        {o.rstrip("=") for o in self.all(f"fdsetctl {command} {option} 1 --h")},
                    )
                    self.assertEqual(self.shell.line(f"fdsetctl {option} 1 frob\t")[-4:], "frob")

    def test_words(self):
        for typed, wanted in {
            "add --sharing ": {"exclusive", "shared"},
            "add --lifetime ": {"keep", "idle", "once", "connection"},
            "add --lifetime o": {"once"},
        }.items():
            self.assertEqual(self.all("fdsetctl " + typed), wanted)
        self.assertEqual(
            self.shell.line("fdsetctl add --lifetime=on\t").rstrip(), "fdsetctl add --lifetime=once"
        )

    def told_by(self, *arguments):
        return set(fdsetctl(*arguments, ",").stderr.split("there are ")[1].split("\n")[0].split(","))

    def test_kinds(self):
        kinds = self.told_by("watch", "--kinds")
        self.assertEqual({kind.strip(",") for kind in self.all("fdsetctl watch --kinds ")}, kinds)
        self.assertEqual(
            self.shell.line("fdsetctl watch --kinds added,vmm-g\t").rstrip(" ,"),
            "fdsetctl watch --kinds added,vmm-gone",
        )

    def test_columns(self):
        for view in [], ["--leases"], ["--waiting"], ["-l"]:
            columns = self.told_by("list", *view, "--output")
            typed = " ".join(["fdsetctl list", *view])
            self.assertEqual({c.strip(",") for c in self.all(f"{typed} --output ")}, columns)
            self.assertEqual({c.strip(",") for c in self.all(f"{typed} -o ")}, columns)
            self.assertEqual(self.all(f"{typed} --values "), columns)
        holders = self.told_by("who", "--output")
        self.assertEqual({c.strip(",") for c in self.all("fdsetctl who --output ")}, holders)
        fields = self.told_by("watch", "--output")
        self.assertEqual({c.strip(",") for c in self.all("fdsetctl watch --output ")}, fields)
        self.assertEqual(
            self.shell.line("fdsetctl list --output SET,OW\t").rstrip(" ,"),
            "fdsetctl list --output SET,OWNER",
        )

    def test_files(self):
        self.assertEqual(self.shell.line("fdsetctl add im\t"), "fdsetctl add image ")
        self.assertEqual(self.shell.line("fdsetctl who im\t"), "fdsetctl who image ")
        self.assertEqual(
            self.shell.line("fdsetctl list --file im\t"), "fdsetctl list --file image "
        )
        self.assertEqual(
            self.shell.line(f"fdsetctl list --socket {self.directory}/man\t"),
            f"fdsetctl list --socket {self.directory}/manage ",
        )

    def test_sets_and_members(self):
        self.add("--set", "4711", "--name", "disk0", "-rw")
        self.add("--set", "12", "--name", "cdrom")
        for command in "list", "show", "remove":
            self.assertEqual(self.all(f"fdsetctl {command} "), {"4711", "12", "disk0", "cdrom"})
            self.assertEqual(
                self.shell.line(f"fdsetctl {command} /dev/fdset/di\t"),
                f"fdsetctl {command} /dev/fdset/disk0 ",
            )
        self.assertEqual(self.all("fdsetctl remove disk0 "), {"1", "2"})
        self.assertEqual(self.all("fdsetctl remove 12 "), {"3"})
        self.assertEqual(self.all("fdsetctl add --set "), {"4711", "12"})
        self.assertEqual(self.all("fdsetctl add --name "), {"disk0", "cdrom"})
        self.assertEqual(
            self.shell.line("fdsetctl list --name=di\t").rstrip(), "fdsetctl list --name=disk0"
        )
        self.assertEqual(self.shell.line("fdsetctl list 1\t"), "fdsetctl list 12 ")

    def test_hostile_names(self):
        """Of sets, one at a time: where an option may stand, too."""
        for name in HOSTILE:
            if "/" in name:
                continue
            path = self.add(f"--name={name}")
            number = json.loads(fdsetctl("list", "--json", path).stdout)["sets"][0]["set"]
            fdsetctl("add", "--set", "9999", self.path("work/image"))
            with self.subTest(name=name):
                for typed in (
                    "fdsetctl list --json --name \t",
                    "fdsetctl list --json --name=\t",
                    "fdsetctl list --json '/dev/fdset/" + name[0].replace("'", "'\\''") + "\t",
                ):
                    status, output = self.shell.run(typed)
                    self.assertEqual(status, "0", f"{typed!r}: {output}")
                    self.assertEqual([s["set"] for s in json.loads(output)["sets"]], [number])
                    self.no_trap()
                _, output = self.shell.run("fdsetctl list " + Shell.ALL + "\x01printf '%s\\n' ")
                words = output.splitlines()[2:]
                shown = "/dev/fdset/" + name if name.startswith("-") else name
                self.assertEqual(set(words), {str(number), "9999", shown})
            fdsetctl("remove", path)

    def test_the_socket_on_the_line(self):
        self.add("--name", "disk0")
        self.shell.run("unset FDSET_MANAGE_SOCKET; true")
        self.assertEqual(self.shell.line("fdsetctl list dis\t"), "fdsetctl list dis")
        for socket in f"-S {self.path('manage')}", f"--socket={self.path('manage')}":
            for typed in f"fdsetctl {socket} list dis", f"fdsetctl list {socket} dis":
                self.assertEqual(self.shell.line(typed + "\t"), typed + "k0 ")

    def selects(self, option, label, keys):
        """The keys make a command that lists what has this label, and that alone."""
        status, output = self.shell.run(keys)
        self.assertEqual(status, "0", f"{keys!r} for {label!r}: {output}")
        sets = json.loads(output)["sets"]
        if option == "--owner":
            self.assertEqual([s["owner"] for s in sets], [label], keys)
        else:
            self.assertEqual([m["opaque"] for s in sets for m in s["members"]], [label], keys)
        self.no_trap()

    def hostile(self, option):
        for label in HOSTILE:
            self.add(option, label)
        # zsh puts what it inserts behind the first candidate outside of an open quote,
        # names of files too: there that is not for the completion to mend.
        for quote in ("", "'", '"') if self.SHELL is Bash else ("",):
            for joint in " ", "=":
                self.all_are_quoted(f"fdsetctl list {option}{joint}{quote}")
        for label in HOSTILE:
            first = label[0]
            if first in "-cg'\"$ ~!=(x" and first not in "cgx":
                continue  # which must be quoted to be typed
            with self.subTest(label=label):
                for quote in "", "'", '"':
                    for joint in " ", "=":
                        self.selects(
                            option, label, f"fdsetctl list --json {option}{joint}{quote}{first}\t"
                        )

    def all_are_quoted(self, typed):
        """All candidates at once, one word each, and nothing is run."""
        status, output = self.shell.run(typed + Shell.ALL + "\x01printf '%s\\n' ")
        self.assertEqual(status, "0", output)
        self.no_trap()
        words = re.sub("^--(owner|opaque)=", "", output, flags=re.M).split("\n")
        for label in HOSTILE:
            self.assertIn(label, words, typed)

    def test_hostile_owners(self):
        self.hostile("--owner")

    def test_hostile_labels(self):
        self.hostile("--opaque")

    def test_each_hostile_label_alone(self):
        """TAB behind nothing: the whole label is the shell's to quote."""
        for label in HOSTILE:
            path = self.add("--owner", label)
            with self.subTest(label=label):
                for quote in "", "'", '"':
                    self.selects("--owner", label, f"fdsetctl list --json --owner {quote}\t")
            fdsetctl("remove", path)

    def test_part_of_a_label_that_is_quoted(self):
        self.add("--owner", "one two $three'four")
        self.add("--owner", "other")
        for typed in "one\\ t", "'one t", '"one t', "one' 't", "one\\ two\\ \\$thr", "'one two $th":
            self.selects(
                "--owner", "one two $three'four", f"fdsetctl list --json --owner {typed}\t"
            )

    def test_what_several_have_in_common(self):
        """TAB then leaves the line so that what is typed next is what it looks like."""
        for label in "the disk $1", "the disk `2", "the disk 'three", 'the disk "four':
            self.add("--owner", label)
        for quote in "", "'", '"':
            line = self.shell.line(f"fdsetctl list --owner {quote}the\t")
            line = re.sub("['\"]$", "", line) if quote else line
            if self.SHELL is Zsh:
                line = line.removesuffix("\\")
            self.assertIn(
                line, (f"fdsetctl list --owner {quote}the{b}disk{b}" for b in (" ", "\\ "))
            )
        if self.SHELL is Bash:
            self.selects("--owner", "the disk `2", "fdsetctl list --json --owner the\t\\`\t")

    def test_what_would_change_the_terminal_is_not_offered(self):
        self.add("--opaque", "red\x1b[31m")
        self.add("--opaque", "two\nlines")
        self.add("--opaque", "c1\x9b2J")
        self.add("--opaque", "turned\u202eround")
        self.add("--opaque", "t\u00e4st")
        line = self.shell.line("fdsetctl list --opaque " + Shell.ALL)
        self.assertEqual(line.rstrip(), "fdsetctl list --opaque t\u00e4st")

    def test_hostile_lines(self):
        """What is on the line already is not expanded either."""
        self.add("--name", "disk0")
        for typed in (
            f"fdsetctl remove '$({TRAP})' ",
            f"fdsetctl remove '`{TRAP}`' ",
            f"fdsetctl --socket '$({TRAP})' list ",
            f"fdsetctl list --socket '$({TRAP})' ",
            f"fdsetctl '$({TRAP})' ",
            f"fdsetctl list --owner '$({TRAP})",
            f"fdsetctl list --output '$({TRAP}),",
            f"fdsetctl show 'x[$({TRAP})]",
        ):
            self.shell.line(typed + "\t")
            self.no_trap()

    def test_shells_with_other_options(self):
        """What people set in their shells changes nothing of what is offered."""
        self.add("--name", "disk0", "--owner", "a b,c*")
        for setting in self.SHELL.SETTINGS:
            self.assertEqual(self.shell.run(setting)[0], "0", setting)
            for typed, wanted in {
                "wat": "watch ",
                "list --lea": "list --leases ",
                "add --lifetime on": "add --lifetime once ",
                "list --values OWN": "list --values OWNER ",
                "watch --kinds added,rem": "watch --kinds added,removed",
                "show dis": "show disk0 ",
                "list --owner ": "list --owner a\\ b,c\\* ",
            }.items():
                line = self.shell.line(f"fdsetctl {typed}\t").rstrip(" ,")
                self.assertEqual(line, f"fdsetctl {wanted}".rstrip(" "), setting)

    def test_a_helper_that_sends_no_answer(self):
        """A dead one, too, leaves the line as it was."""
        self.helper.kill()
        self.helper.wait()
        self.assertEqual(self.shell.line("fdsetctl list \t"), "fdsetctl list ")


class BashTest(Completion, unittest.TestCase):
    SHELL = Bash


class ZshTest(Completion, unittest.TestCase):
    SHELL = Zsh


if __name__ == "__main__":
    main()
