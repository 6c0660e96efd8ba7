#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""fdsetctl and helpers that are not as they should be: silent, dead in the middle, of
another time, or saying what nobody asked and no terminal should see. They are played
here, packet by packet."""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from played import OBSERVER, Played, entry_read, error, events, hello, message, query
from tap import main

FDSETCTL = os.environ["FDSETCTL"]
PATIENCE = 120

ESCAPE = "\x1b[31mred\nline\u202e"


class Hostile(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(dir=os.environ.get("TMPDIR", "/var/tmp"))
        self.addCleanup(shutil.rmtree, self.directory)
        with open(self.path("disk"), "w", encoding="utf-8"):
            pass

    def path(self, name):
        return os.path.join(self.directory, name)

    def play(self, name, **answers):
        played = Played(self.path(name), **answers)
        self.addCleanup(played.end)
        return played

    def run_it(self, *arguments, **environment):
        return subprocess.run(
            [FDSETCTL, *arguments],
            capture_output=True,
            check=False,
            timeout=PATIENCE,
            env=os.environ | {"LC_ALL": "C.UTF-8"} | environment,
        )

    def start(self, *arguments, **options):
        process = subprocess.Popen([FDSETCTL, *arguments], **options)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        if process.stdout:
            self.addCleanup(process.stdout.close)
        return process

    def is_plain(self, done):
        for text in done.stdout.decode(), done.stderr.decode():
            self.assertNotRegex(text, "[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", done.args)
            self.assertNotIn("red\nline", text)

    def verbs(self, sock):
        disk = self.path("disk")
        for verb in (
            ["add", disk],
            ["remove", "1"],
            ["remove", "web"],
            ["list"],
            ["list", "--json"],
            ["list", "--file", disk],
            ["show", "1"],
            ["show", "--sandbox"],
            ["who", disk],
            ["watch", "--count", "1"],
            ["info"],
            ["stats"],
            ["stats", "--openmetrics"],
        ):
            for more in [], ["--wait=120"]:
                yield [*verb, *more, "-S", self.path(sock)]

    # ------------------------------------------------------------- each verb

    def test_answers_that_are_none(self):
        """Who hears no sense says so, in one plain sentence, and ends with status 1."""
        nonsense = {
            "garbage": lambda serial: b"\xff" * 40,
            "another": lambda serial: message(f1=serial, f12=b""),
            "refused": lambda serial: error(serial, ESCAPE),
            "hangup": lambda serial: "hang up",
        }
        for kind, answer in nonsense.items():
            self.play(
                f"{kind}/manage", query=answer, add=answer, remove=answer, subscribe=answer
            )
            for verb in self.verbs(f"{kind}/manage"):
                done = self.run_it(*verb)
                self.assertEqual(done.returncode, 1, (done.args, done.stderr))
                self.assertEqual(done.stderr.count(b"\n"), 1, (done.args, done.stderr))
                self.is_plain(done)

    def test_a_first_answer_that_is_none(self):
        nonsense = {
            "garbage": lambda serial: b"\xff" * 40,
            "refused": lambda serial: error(serial, ESCAPE),
            "another": lambda serial: message(f1=serial, f12=b""),
        }
        for kind, answer in nonsense.items():
            self.play(f"{kind}/manage", hello=answer)
            for verb in self.verbs(f"{kind}/manage"):
                done = self.run_it(*verb)
                self.assertEqual(done.returncode, 1, (done.args, done.stderr))
                self.is_plain(done)

    def test_words_that_no_terminal_should_see(self):
        disk = os.stat(self.path("disk"))
        lease = message(f1=1, f3=5, f4=7, f5=9, f6=ESCAPE)
        member = message(f1=1, f2=ESCAPE, f3=2, f5=disk.st_dev, f6=disk.st_ino, f12=1, f13=lease)
        held = message(f1=1, f2=2, f4=[member], f5=ESCAPE, f6=ESCAPE)
        waiting = message(f1=1, f2=f"/dev/fdset/{ESCAPE}", f4=5, f6=7, f7=9, f8=ESCAPE)
        stage = message(f1=ESCAPE, f2=1, f3=ESCAPE)
        event = message(f1=5, f2=1, f7=ESCAPE, f8=11, f10=7, f11=9, f12=ESCAPE, f13=1)
        self.play(
            "web/manage",
            hello=lambda serial: hello(serial, version=ESCAPE),
            query=lambda serial: query(serial, held, f4=[waiting], f5=[stage]),
            remove=lambda serial: message(f1=serial, f8=message(f1=1, f2=1, f3=1)),
            subscribe=lambda serial: [message(f1=serial, f10=b""), events(event, lost=3)],
        )
        for verb in (
            ["list"],
            ["list", "--leases"],
            ["list", "--waiting"],
            ["list", "--json"],
            ["list", "-o", "NAME,OWNER,OPAQUE"],
            ["list", "--values", "NAME"],
            ["list", "--values", "OWNER"],
            ["list", "--values", "OPAQUE"],
            ["list", "-l", "--values", "NAME"],
            ["show", "1"],
            ["show", "--json", "1"],
            ["show", "--sandbox"],
            ["show", "--sandbox", "--json"],
            ["who", self.path("disk")],
            ["who", "--json", self.path("disk")],
            ["remove", "1"],
            ["remove", "--json", "1"],
            ["info"],
            ["info", "--json"],
            ["stats"],
            ["stats", "--openmetrics"],
            ["watch", "--count", "1", "--all"],
            ["watch", "--count", "1", "--all", "--json"],
            ["watch", "--count", "1", "--all", "-o", "NAME,PATH,SET-NAME"],
        ):
            done = self.run_it(*verb, "-S", self.path("web/manage"))
            self.assertIn(done.returncode, (0, 3, 4), (verb, done.stderr))
            done.stdout = done.stdout.replace(b"\t", b" ")
            self.is_plain(done)

    def test_a_helper_that_tells_no_limits(self):
        self.play("old/manage", hello=lambda serial: hello(serial, limits=None))
        sock = self.path("old/manage")
        done = self.run_it("info", "-n", "-S", sock)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertRegex(done.stdout.decode(), r"(?m)^sets +0 +- +- ")
        limits = json.loads(self.run_it("info", "--json", "-S", sock).stdout)["limits"]
        self.assertEqual(limits["sets"], {"used": 0, "maximum": None})
        self.assertNotIn(b"_limit", self.run_it("stats", "--openmetrics", "-S", sock).stdout)

    # ----------------------------------------------------------- all helpers

    def test_silent_ones_among_all(self):
        """Whether it does not say hello or stops after that: the others are heard."""
        web = message(f1=7, f2=2)
        self.play("run/mute/manage", hello=lambda serial: None)
        self.play("run/odd/manage", query=lambda serial: None)
        self.play("run/web/manage", query=lambda serial: query(serial, web))
        for sort in "garbage", "dead":
            answer = b"\xff" if sort == "garbage" else "hang up"
            self.play(f"run/{sort}/observe", query=lambda serial, answer=answer: answer)
        done = self.run_it("list", "--directory", self.path("run"), "-n", "-o", "vm,set")
        self.assertEqual((done.returncode, done.stdout.split()), (1, [b"web", b"7"]))
        for name in "mute/manage", "odd/manage", "garbage/observe", "dead/observe":
            self.assertRegex(done.stderr.decode(), f"(?m)^fdsetctl list: cannot ask .*/{name}: ")
        self.assertEqual(done.stderr.count(b"fdset-helper does not answer"), 2, done.stderr)

    def test_helpers_that_are_called_alike(self):
        """The machine's and a user's, of two directories, or of two kinds of names."""
        names = ["one/web/manage", "two/web/manage", "two/web/observe", "two/web.observe"]
        names += ["two/web-observe.sock", "two/web.manage"]
        for number, name in enumerate(names, 1):
            shown = message(f1=number, f2=2)
            self.play(name, query=lambda serial, shown=shown: query(serial, shown))
        both = [arg for name in ("one", "two") for arg in ("--directory", self.path(name))]
        done = self.run_it("list", *both, "--json")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        helpers = json.loads(done.stdout)["helpers"]
        self.assertEqual({helper["vm"] for helper in helpers}, {"web"})
        # Of the two sockets of one, one is asked.
        self.assertEqual(
            sorted(helper["socket"][len(self.directory) + 1 :] for helper in helpers),
            sorted(set(names) - {"two/web/manage"} - {"two/web.manage"}),
        )

    def test_one_helper_that_is_found_twice(self):
        self.play("run/web/observe", query=lambda serial: query(serial, message(f1=7, f2=2)))
        os.symlink("web", self.path("run/again"))
        os.symlink("web/observe", self.path("run/web-observe"))
        os.symlink("nowhere", self.path("run/web/manage"))
        os.symlink("..", self.path("run/web/up"))
        both = ["--directory", self.path("run"), "--directory", self.path("run/web")]
        done = self.run_it("list", *both, "-n", "-o", "vm,set")
        self.assertEqual((done.returncode, done.stdout.split()), (0, [b"web", b"7"]), done.stderr)

    def test_thousands_of_entries(self):
        os.makedirs(self.path("run"))
        for number in range(3000):
            os.symlink("nowhere", self.path(f"run/{number}-manage"))
            with open(self.path(f"run/{number}-observe"), "w", encoding="utf-8"):
                pass
        self.play("run/web/manage")
        done = self.run_it("list", "--directory", self.path("run"))
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    # ----------------------------------------------------------------- watch

    def test_events_that_nobody_asked_for(self):
        opened = message(f1=3, f2=1, f3=1, f4=1, f5=1, f10=7, f12="vmm", f13=1)
        of_tomorrow = message(f1=35, f2=2, f3=1, f13=1)
        added = message(f1=1, f2=3, f3=1, f4=1, f13=1)
        self.play(
            "web/observe",
            hello=lambda serial: hello(serial, OBSERVER),
            subscribe=lambda serial: [
                message(f1=serial, f10=b""),
                events(opened, of_tomorrow, added),
            ],
        )
        sock = self.path("web/observe")
        done = self.run_it("watch", "--count", "2", "-S", sock, "-o", "EVENT")
        self.assertEqual((done.returncode, done.stdout), (0, b"unknown\nadded\n"), done.stderr)
        done = self.run_it("watch", "--count", "1", "-k", "added", "-S", sock, "-o", "EVENT")
        self.assertEqual((done.returncode, done.stdout), (0, b"added\n"), done.stderr)

    def flood(self, name):
        """A helper that tells of as much as is read."""
        event = message(f1=1, f2=1, f3=1, f4=1, f13=1)

        def subscribe(serial):
            yield message(f1=serial, f10=b"")
            while True:
                yield events(*[event] * 20)

        class Endless(list):
            def __init__(self, serial):
                super().__init__()
                self.serial = serial

            def __iter__(self):
                return subscribe(self.serial)

        self.play(name, subscribe=Endless)

    def test_the_end_while_nobody_reads(self):
        """A signal ends it where the pipe is full, and where the journal is."""
        self.flood("web/observe")
        command = ["-S", self.path("web/observe"), "watch"]
        journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(journal.close)
        journal.bind(self.path("journal"))
        for end in signal.SIGTERM, signal.SIGINT:
            watch = self.start(*command, stdout=subprocess.PIPE)
            self.asleep(watch, watch.stdout)
            watch.send_signal(end)
            self.assertEqual(watch.wait(PATIENCE), 0)
            watch = self.start(*command, f"--journal={self.path('journal')}")
            self.asleep(watch, journal)
            watch.send_signal(end)
            self.assertEqual(watch.wait(PATIENCE), 0)

    @staticmethod
    def asleep(process, full):
        """Waits until it sleeps in the middle of a write, as `full` is full."""
        select.select([full], [], [], PATIENCE)
        while True:
            with open(f"/proc/{process.pid}/syscall", encoding="utf-8") as file:
                call = file.read().split()[0]
            # write, sendto
            if call in ("1", "44", "64", "206"):
                return

    def test_names_after_a_loss(self):
        """What was lost may have been the end of one set and the begin of another."""
        names = ["before"]
        opened = message(f1=3, f2=9, f3=1, f4=1, f5=1, f10=7, f12="vmm", f13=1)
        played = self.play(
            "web/observe",
            query=lambda serial: query(serial, message(f1=1, f2=2, f5=names[0])),
        )
        watch = self.start(
            *["-S", self.path("web/observe"), "watch", "--ready", "--all", "-o", "SET-NAME"],
            stdout=subprocess.PIPE,
        )
        self.assertEqual(watch.stdout.readline(), b"ready\n")
        teller = played.connections[0]
        teller.send(events(opened))
        self.assertEqual(watch.stdout.readline(), b"before\n")
        names[0] = "after"
        teller.send(events(opened, lost=5))
        self.assertEqual(watch.stdout.readline(), b"lost 5 events\n")
        self.assertEqual(watch.stdout.readline(), b"after\n")

    def test_the_journal_has_values_with_ends_of_lines(self):
        """They have their length before them, so that none begins a field of its own."""
        name = "vmm\nFDSET_VM=forged\nPRIORITY=0"
        event = message(f1=5, f2=1, f7="/dev/fdset/a\nb", f8=11, f10=7, f11=9, f12=name, f13=1)
        self.play(
            "web/observe",
            subscribe=lambda serial: [message(f1=serial, f10=b""), events(event)],
        )
        journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(journal.close)
        journal.settimeout(PATIENCE)
        journal.bind(self.path("journal"))
        done = self.run_it(
            *["-S", self.path("web/observe"), "watch", "--all", "--count", "1"],
            f"--journal={self.path('journal')}",
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        entry = entry_read(journal.recv(65536))
        self.assertEqual(entry["FDSET_VMM_NAME"], name)
        self.assertEqual(entry["FDSET_PATH"], "/dev/fdset/a\nb")
        self.assertEqual((entry["FDSET_VM"], entry["PRIORITY"]), ("web", "6"))
        self.assertIn("\n", entry["MESSAGE"])


if __name__ == "__main__":
    main()
