#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""When events happened, and events in the journal: fdsetctl watch against a helper, with
a journal that is played here."""

import datetime
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

from played import entry_read
from tap import main

HELPER, FDSETCTL, VMM, SOURCE = (
    os.environ[name] for name in ("FDSET_HELPER", "FDSETCTL", "FDSET_TEST_VMM", "FDSET_SOURCE")
)
PATIENCE = 120


class Watch(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(dir=os.environ.get("TMPDIR", "/var/tmp"))
        self.addCleanup(shutil.rmtree, self.directory)
        os.mkdir(self.path("web"))
        self.helper = subprocess.Popen(
            [HELPER]
            + [f"--{role}={self.path('web/' + role)}" for role in ("manage", "observe", "vmm")],
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.helper.stderr.close)
        self.addCleanup(self.helper.wait)
        self.addCleanup(self.helper.kill)
        for line in self.helper.stderr:
            if "ready:" in line:
                break
        with open(self.path("disk"), "w", encoding="utf-8"):
            pass

    def path(self, name):
        return os.path.join(self.directory, name)

    def fdsetctl(self, *arguments):
        done = subprocess.run(
            [FDSETCTL, "-S", self.path("web/manage"), *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def watch(self, *arguments, environment=None):
        """A watch that listens already."""
        watch = subprocess.Popen(
            [FDSETCTL, "-S", self.path("web/observe"), "watch", "--ready", *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | (environment or {}),
        )
        self.addCleanup(watch.stdout.close)
        self.addCleanup(watch.wait)
        self.addCleanup(watch.kill)
        self.assertEqual(watch.stdout.readline(), "ready\n")
        return watch

    def vmm(self, *commands):
        vmm = subprocess.Popen(
            [VMM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"FDSET_VMM_SOCKET": self.path("web/vmm")},
        )
        self.addCleanup(vmm.stdout.close)
        self.addCleanup(vmm.wait)
        self.addCleanup(vmm.kill)
        self.addCleanup(vmm.stdin.close)
        for command in commands:
            vmm.stdin.write(command + "\n")
            vmm.stdin.flush()
            vmm.stdout.readline()
        return vmm

    def between(self, before, text, after):
        """ISO 8601 with an offset and milliseconds, and the time that it was."""
        self.assertRegex(text, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d$")
        moment = datetime.datetime.fromisoformat(text).timestamp()
        # The helper's clock goes by ticks.
        self.assertTrue(before - 0.02 <= moment <= after, f"{before} {moment} {after}")

    def test_time(self):
        for zone in "UTC0", "XXX-5:30", "YYY3":
            watch = self.watch("--count", "1", environment={"TZ": zone})
            before = time.time()
            self.fdsetctl("add", "--set", "1", self.path("disk"))
            moment, _, text = watch.stdout.readline().rstrip("\n").partition("\t")
            self.between(before, moment, time.time())
            self.assertTrue(text.startswith("added set 1 member "), text)
            self.assertIn(moment[-6:], ("+00:00", "+05:30", "-03:00"))

    def test_columns(self):
        watch = self.watch("--output", "event,SET,SET-NAME,PID,VM,MODE,TIME", "--count", "2", "-a")
        self.fdsetctl("add", "--name", "disk0", self.path("disk"))
        fields = watch.stdout.readline().rstrip("\n").split("\t")
        self.assertEqual(fields[:6], ["added", "0", "disk0", "-", "web", "read-only"])
        self.between(0, fields[6], time.time())

    def test_json(self):
        watch = self.watch("--json", "--all", "--count", "3")
        before = time.time()
        self.fdsetctl("add", "--name", "disk0", self.path("disk"))
        self.vmm("open /dev/fdset/disk0 r 0")
        events = [json.loads(watch.stdout.readline()) for _ in range(3)]
        self.assertEqual([e["event"] for e in events], ["added", "vmm-connected", "opened"])
        self.assertEqual([e["set_name"] for e in events], ["disk0", None, "disk0"])
        self.assertEqual({e["vm"] for e in events}, {"web"})
        for event in events:
            self.between(before, event["time"], time.time())

    def test_a_name_that_came_before_or_late(self):
        self.fdsetctl("add", "--name", "early", self.path("disk"))
        self.fdsetctl("add", "--set", "5", self.path("disk"))
        watch = self.watch("--output", "EVENT,SET-NAME", "--kinds", "removed,opened,set-gone")
        self.fdsetctl("add", "--set", "5", "--name", "late", self.path("disk"))
        self.fdsetctl("remove", "early")
        self.assertEqual(
            {watch.stdout.readline(), watch.stdout.readline()},
            {"removed\tearly\n", "set-gone\tearly\n"},
        )
        self.vmm("open /dev/fdset/5 r 0")
        self.assertEqual(watch.stdout.readline(), "opened\tlate\n")

    def journal(self, name="journal"):
        journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(journal.close)
        journal.settimeout(PATIENCE)
        journal.bind(self.path(name))
        return journal

    def journal_watch(self, *arguments):
        watch = subprocess.Popen(
            [FDSETCTL, "-S", self.path("web/observe"), "watch", *arguments]
            + [f"--journal={self.path('journal')}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.addCleanup(watch.stdout.close)
        self.addCleanup(watch.wait)
        self.addCleanup(watch.kill)
        while json.loads(self.fdsetctl("stats", "--json"))["subscribers"] == 0:
            pass
        return watch

    def test_journal(self):
        journal = self.journal()
        watch = self.journal_watch("--all", "--count", "4")
        before = time.time()
        self.fdsetctl("add", "--name", "disk0", "--set", "3", "--read-write", self.path("disk"))
        vmm = self.vmm("open /dev/fdset/disk0 rw 0", "open /dev/fdset/none w 0")
        added, connected, opened, denied = (entry_read(journal.recv(65536)) for _ in range(4))
        self.assertEqual(
            [e["FDSET_EVENT"] for e in (added, connected, opened, denied)],
            ["added", "vmm-connected", "opened", "denied"],
        )
        for entry in added, connected, opened, denied:
            self.between(before, entry["FDSET_TIME"], time.time())
            self.assertEqual(entry["SYSLOG_IDENTIFIER"], "fdset-watch")
            self.assertEqual((entry["PRIORITY"], entry["FDSET_VM"]), ("6", "web"))
        wanted = {
            "FDSET_SET": "3",
            "FDSET_SET_NAME": "disk0",
            "FDSET_MODE": "read-write",
            "FDSET_VMM_NAME": "vmm",
            "FDSET_VMM_PID": str(vmm.pid),
            "FDSET_LEASE": "1",
        }
        self.assertEqual(opened, opened | wanted)
        self.assertTrue(opened["MESSAGE"].startswith("opened set 3 member 1 lease 1 read-write"))
        self.assertEqual((denied["FDSET_CODE"], denied["FDSET_PATH"]), ("no-set", "/dev/fdset/none"))
        self.assertNotIn("FDSET_SET", denied)
        self.assertEqual((watch.wait(), watch.stdout.read()), (0, ""))

    def test_the_question_of_the_page(self):
        """Who opened disk0 for writing: what the page's journalctl would show. Of one field
        either value will do, and each field must fit."""
        with open(f"{SOURCE}/contrib/fdsetctl/fdsetctl.1.scd", encoding="utf-8") as page:
            command = re.search("^journalctl FDSET_SET_NAME=(.*?)^```", page.read(), re.M | re.S)
        wanted = {}
        for field, value in re.findall(r"(FDSET_\w+)=(\S+)", command[0]):
            wanted.setdefault(field, set()).add(value)
        journal = self.journal()
        self.journal_watch("--all", "--count", "12")
        for name in "disk0", "disk1":
            self.fdsetctl("add", "--name", name, "-rw", "--write-only", self.path("disk"))
        vmm = self.vmm(
            *(f"open /dev/fdset/{s} {mode} 0" for s in ("disk0", "1") for mode in ("r", "rw")),
            "open /dev/fdset/0 w 0",
        )
        entries = [entry_read(journal.recv(65536)) for _ in range(12)]
        shown = [e for e in entries if all(e.get(field) in wanted[field] for field in wanted)]
        self.assertEqual(
            [(e["FDSET_MODE"], e["FDSET_VMM_PID"]) for e in shown],
            [("read-write", str(vmm.pid)), ("write-only", str(vmm.pid))],
        )

    def test_a_journal_that_is_started_again(self):
        journal = self.journal()
        self.journal_watch("--count", "2")
        self.fdsetctl("add", self.path("disk"))
        self.assertEqual(entry_read(journal.recv(65536))["FDSET_EVENT"], "added")
        journal.close()
        os.unlink(self.path("journal"))
        journal = self.journal()
        self.fdsetctl("remove", "0")
        self.assertEqual(entry_read(journal.recv(65536))["FDSET_EVENT"], "removed")

    def test_no_journal(self):
        done = subprocess.run(
            [FDSETCTL, "-S", self.path("web/observe"), "watch", f"--journal={self.path('no')}"],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot connect to the journal at", done.stderr)

    def test_wrong_command_lines(self):
        for arguments in (
            ["--output", "TIMES"],
            ["--output", ""],
            ["--output", "TIME", "--json"],
            ["--journal", "--json"],
            ["--journal", "--ready"],
        ):
            done = subprocess.run([FDSETCTL, "watch", *arguments], capture_output=True, check=False)
            self.assertEqual(done.returncode, 2, arguments)


if __name__ == "__main__":
    main()
