# SPDX-License-Identifier: MIT
"""For the tests of fdset-qemu and of libvirt with it: a build tree of their own,
processes, and a monitor. A test is a function test_* of the script, run in an
empty directory of its own; run_tests() says TAP, and exits."""

import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import traceback

from monitors import qemu_version

PATIENCE = 60  # seconds after which what does not come is a failure


class Skip(Exception):
    pass


def equal(wanted, found, what):
    assert wanted == found, f"{what}: {found!r} where {wanted!r} should be"


def until(condition, what):
    """Waits for what has no descriptor to wait on. `what` is a text or makes one."""
    poller = select.poll()
    for _ in range(PATIENCE * 50):
        result = condition()
        if result:
            return result
        poller.poll(20)
    raise AssertionError(f"never came: {what() if callable(what) else what}")


class Tree:
    """The part of the build tree that runs, copied to where any user may read it.
    Programs that it started can be told by its name in their command lines."""

    def __init__(self, directory):
        self.directory = directory
        build = os.environ["FDSET_BUILD"]
        for name in ("contrib/qemu/fdset-qemu", "contrib/qemu/libfdset-preload.so", "contrib/fdsetctl/fdsetctl",
                     "helper/fdset-helper", "vmm-glue/libfdset.so.0"):
            place = os.path.join(directory, name)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            shutil.copy(os.path.join(build, name), place)
        self.wrapper = os.path.join(directory, "contrib/qemu/fdset-qemu")
        self.fdsetctl = os.path.join(directory, "contrib/fdsetctl/fdsetctl")

    def processes(self, name=""):
        """Process ids of helpers and relays that run from here."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                words = command_line(int(entry))
                if words[0].startswith(self.directory + "/") and words[0].endswith(name):
                    found.append(int(entry))
        return found

    def ended(self):
        """Waits until no helper and no relay is left."""
        until(lambda: not self.processes(),
              lambda: f"the end of {[command_line(pid) for pid in self.processes()]}")


def command_line(pid):
    """A process's words; one empty word where it has ended, also if nobody has
    reaped it."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return [os.fsdecode(word) for word in file.read().split(b"\0")]
    except (FileNotFoundError, ProcessLookupError):
        return [""]


def parent_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def descriptors(pid):
    """{number: what it is}; of processes that we may look at."""
    found = {}
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(number)] = os.readlink(f"/proc/{pid}/fd/{number}")
        except FileNotFoundError:
            pass
    return found


def as_nobody(root=None):
    """The words by which QEMU changes its user, and its root; later ones have others."""
    text = subprocess.run(["qemu-system-x86_64", "-help"], stdout=subprocess.PIPE, check=True,
                          text=True).stdout
    if "-runas" in text:
        return [*(["-chroot", root] if root else []), "-runas", "nobody"]
    return ["-run-with", "user=nobody" + (f",chroot={root}" if root else "")]


def no_member_fits():
    """What QEMU says where a set has no member of the mode; since 9.1 it has words of its own."""
    return "Permission denied" if qemu_version() < (9, 1) else "with matching flags"


class Refused(Exception):
    """The monitor's answer was an error."""


class Monitor:
    """A client of a QMP monitor, over a connected socket or to a path."""

    def __init__(self, where):
        self.socket = where
        if isinstance(where, str):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(PATIENCE)
            until(lambda: self.connects(where), f"a monitor at {where}")
        self.socket.settimeout(PATIENCE)
        self.lines = self.socket.makefile("r")
        self.events = []
        # QEMU may tell of an event, such as RESUME, before it greets.
        while "QMP" not in (message := self.read()):
            self.events.append(message)
        self.greeting = message
        self.execute("qmp_capabilities")

    def connects(self, path):
        try:
            self.socket.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def read(self):
        line = self.lines.readline()
        if not line:
            raise EOFError("the monitor hung up")
        return json.loads(line)

    def send(self, command, arguments=None, fds=()):
        text = json.dumps({"execute": command, "arguments": arguments or {}})
        socket.send_fds(self.socket, [text.encode()], list(fds))

    def answer(self):
        while True:
            message = self.read()
            if "event" in message:
                self.events.append(message)
            elif "error" in message:
                raise Refused(message["error"]["desc"])
            else:
                return message["return"]

    def execute(self, command, arguments=None, fds=()):
        self.send(command, arguments, fds)
        return self.answer()

    def refuses(self, text, command, arguments=None, fds=()):
        try:
            answer = self.execute(command, arguments, fds)
        except Refused as refusal:
            assert text in str(refusal), f"{command}: says {refusal} and not {text}"
        else:
            raise AssertionError(f"{command} succeeded: {answer}")

    def human(self, command):
        return self.execute("human-monitor-command", {"command-line": command})

    def wait(self, *names):
        """The next event of one of these names."""
        while True:
            for event in self.events:
                if event["event"] in names:
                    self.events.remove(event)
                    return event
            message = self.read()
            assert "event" in message, message
            self.events.append(message)

    def close(self):
        self.lines.close()
        self.socket.close()

    def quit(self):
        """Ends QEMU; returns when it has hung up."""
        self.send("quit")
        try:
            while True:
                self.read()
        except (EOFError, ConnectionResetError):
            self.close()


PR_SET_CHILD_SUBREAPER = 36

reaper = None  # the process that orphans go to, once there is one


def adopt_orphans():
    """Has everything that goes into the background end as a child of our parent, a
    process made for that: to be called first. Not all machines have an init that
    buries the dead, and libvirt waits until they are gone."""
    global reaper
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    parent = os.getpid()
    test = os.fork()
    if test == 0:
        reaper = parent
        return
    while True:
        pid, status = os.wait()
        if pid == test:
            break
    for orphan in children_of(os.getpid()):
        os.kill(orphan, signal.SIGKILL)
    os._exit(os.waitstatus_to_exitcode(status) & 255)


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def descendants():
    """Our children, and the orphans. Not our parent's other children: where nobody was made
    to have the orphans, these are the other tests."""
    orphans = children_of(reaper) if reaper else []
    return [pid for pid in children_of(os.getpid()) + orphans if pid != os.getpid()]


def living(but=()):
    """The command lines of those that have not ended."""
    return [words for words in map(command_line, set(descendants()) - set(but)) if words[0]]


def bury(but=()):
    """Ends what a failed test has left, however far it went into the background."""
    def left():
        found = [pid for pid in descendants() if pid not in but and command_line(pid)[0]]
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return found
    until(lambda: not left(), "the end of what was killed")


def run_tests(namespace, base, lasting=list):
    """Each in a directory of its own in `base`, which is removed at the end. What a
    test has started has ended after it, but for processes that `lasting` names. Exits,
    with 1 where one has failed: no script can forget that."""
    tests = [(name, test) for name, test in namespace.items() if name.startswith("test_")]
    failed = False
    for number, (name, test) in enumerate(tests, 1):
        work = os.path.join(base, str(number))
        os.mkdir(work)
        os.chdir(work)
        try:
            test()
            until(lambda: not living(lasting()), lambda: f"the end of {living(lasting())}")
            print(f"ok {number} - {name}", flush=True)
        except Skip as why:
            print(f"ok {number} - {name} # SKIP {why}", flush=True)
        except BaseException:  # whatever it is, the next test is to run
            failed = True
            print(f"not ok {number} - {name}", flush=True)
            for line in traceback.format_exc().splitlines():
                print("#", line, flush=True)
        bury(lasting())
    os.chdir("/")
    shutil.rmtree(base, ignore_errors=True)
    print(f"1..{len(tests)}", flush=True)
    sys.exit(failed)
