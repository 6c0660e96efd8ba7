#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The relay, the helper or QEMU is killed at a byte of what a client says, and fdset-qemu at one of
its system calls. The client sees a reply, an error or the end, and no member gets into QEMU.

FDSET_TEST_LONG has it done at 1000 points instead of 40."""

import json
import os
import signal
import socket
import subprocess
import tempfile

import monitors
import wrapped
from wrapped import Skip, Tree, equal, until

wrapped.adopt_orphans()
base = tempfile.mkdtemp(prefix="fdset-kill.")
tree = Tree(os.path.join(base, "tree"))
COMMAND = [tree.wrapper, "-machine", "none", "-nodefaults", "-no-user-config", "-display", "none",
           "-qmp", "unix:qmp,server=on,wait=off"]
LONG = bool(os.environ.get("FDSET_TEST_LONG"))
OPENED, NEVER_OPENED = "image", "spare"


def node(read_only):
    return {"driver": "file", "node-name": "disk", "filename": "/dev/fdset/1", "read-only": read_only}


# A disk's life: what is said, and the file that goes with it.
SESSION = [
    ("qmp_capabilities", {}, None, None),
    ("query-fdsets", {}, None, None),
    ("add-fd", {"fdset-id": 1, "opaque": "ro"}, OPENED, os.O_RDONLY),
    ("add-fd", {"fdset-id": 1, "opaque": "rw"}, OPENED, os.O_RDWR),
    ("add-fd", {"fdset-id": 2}, NEVER_OPENED, os.O_RDWR),
    ("blockdev-add", node(True), None, None),
    ("blockdev-reopen", {"options": [node(False)]}, None, None),
    ("blockdev-reopen", {"options": [node(True)]}, None, None),
    ("remove-fd", {"fdset-id": 1}, None, None),
    ("query-fdsets", {}, None, None),
    ("blockdev-del", {"node-name": "disk"}, None, None),
    ("add-fd", {"fdset-id": 2}, NEVER_OPENED, os.O_RDONLY),
    ("remove-fd", {"fdset-id": 2}, None, None),
    ("query-status", {}, None, None),
    ("quit", {}, None, None),
]
BYTES = [json.dumps({"execute": name, "arguments": arguments}).encode()
         for name, arguments, _, _ in SESSION]


class Ended(Exception):
    """The client has seen the end."""


class Silent(Exception):
    """QEMU has not answered what it was asked first."""


class Client:
    def __init__(self, process):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(wrapped.PATIENCE)
        until(lambda: self.connects() or process.poll() is not None, "a monitor")
        if process.returncode is not None:
            raise Ended
        self.buffer = b""
        self.receive()

    def connects(self):
        try:
            self.socket.connect("qmp")
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def send(self, data, fds=()):
        try:
            socket.send_fds(self.socket, [data], fds)
        except (BrokenPipeError, ConnectionResetError):
            raise Ended from None

    def line(self):
        while b"\n" not in self.buffer:
            try:
                data = self.socket.recv(4096)
            except ConnectionResetError:
                data = b""
            if not data:
                raise Ended
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def receive(self):
        """What is no event. That it does not come at all is a failure: TimeoutError."""
        while True:
            message = self.line()
            if "event" not in message:
                return message

    def receive_first(self):
        """QEMU 7.2 by itself, where its client is there before its monitor's thread, greets it twice
        now and then, and forgets what it was asked in between."""
        self.socket.settimeout(monitors.NUDGE)
        try:
            answer = self.receive()
            while "QMP" in answer:
                answer = self.receive()
        except TimeoutError:
            raise Silent from None
        self.socket.settimeout(wrapped.PATIENCE)
        return answer


def inside(process):
    """No file but those that are leases, of which there is one disk; and the spare one never."""
    links = list(wrapped.descriptors(process.pid).values())
    assert os.path.abspath(NEVER_OPENED) not in links, links
    assert links.count(os.path.abspath(OPENED)) <= 1, links


def kill(pid):
    os.kill(pid, signal.SIGKILL)
    until(lambda: wrapped.command_line(pid) == [""], "the end of what was killed")


def victim(name, process):
    if name == "qemu":
        return process.pid
    ending = {"relay": "/fdset-qemu: relay", "helper": "/fdset-helper"}[name]
    (pid,) = tree.processes(ending)
    return pid


def play(process, name, point):
    """All of the session; at this byte of it the victim is killed, if it gets there."""
    client, said, answers, is_dead = Client(process), 0, 0, False
    for data, (_, _, file, flags) in zip(BYTES, SESSION):
        fds = [os.open(file, flags)] if file else []
        until_point = point - said
        said += len(data)
        try:
            if not is_dead and 0 < until_point <= len(data):
                client.send(data[:until_point], fds)
                kill(victim(name, process))
                is_dead = True
                data, rest = b"", data[until_point:]
                if rest:
                    client.send(rest)
            else:
                client.send(data, fds)
            answer = client.receive() if answers else client.receive_first()
            answers += 1
            assert is_dead or "return" in answer, answer
        finally:
            for fd in fds:
                os.close(fd)
        if name != "qemu" or not is_dead:
            if process.poll() is None:
                inside(process)
    return answers


def at(name, point):
    """With another QEMU where one does not even answer the first command."""
    for _ in range(3):
        try:
            at_once(name, point)
            return
        except Silent:
            print("# QEMU is silent: another is started", flush=True)
    raise Silent


def at_once(name, point):
    for file in (OPENED, NEVER_OPENED):
        with open(file, "wb") as image:
            image.truncate(1 << 20)
    process = subprocess.Popen(COMMAND, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        answers = play(process, name, point)
        assert name == "helper" and answers == len(SESSION), f"{name}, {point}: {answers} answers"
    except Silent:
        process.kill()
        process.wait()
        tree.ended()
        os.unlink("qmp")
        raise
    except Ended:
        # QEMU ends where the helper was killed before it had said that it serves.
        at_the_start = (name == "helper" and point <= len(BYTES[0]) and
                        process.wait(wrapped.PATIENCE) == 1)
        assert name != "helper" or at_the_start, f"{point}: the client was hung up on"
    if name == "relay":
        after_the_relay(process)
        process.terminate()
    process.wait(wrapped.PATIENCE)
    tree.ended()
    os.unlink("qmp") if os.path.exists("qmp") else None


def after_the_relay(process):
    """Who comes later is hung up on, with all that it has brought. QEMU has ended where the relay was
    killed before it had said that it serves."""
    with open(NEVER_OPENED, "rb") as file:
        try:
            client = Client(process)
            client.send(BYTES[0] + BYTES[4], [file.fileno()])
            client.receive()
            raise AssertionError("a client was answered without the relay")
        except Ended:
            pass
    if process.poll() is None:
        inside(process)


def points(name):
    count = 300 if LONG else 11
    total = sum(map(len, BYTES[:-1]))
    for number in range(count):
        point = 1 + number * (total - 1) // (count - 1)
        try:
            at(name, point)
        except BaseException:
            print(f"# {name}, killed at byte {point} of {total}", flush=True)
            raise


def test_relay_killed_at_each_byte():
    points("relay")


def test_helper_killed_at_each_byte():
    points("helper")


def test_qemu_killed_at_each_byte():
    points("qemu")


def test_fdset_qemu_killed_at_each_system_call():
    """Before it has become QEMU, or as QEMU starts: nobody is left."""
    calls = "calls"
    if subprocess.run(["sh", "-c", "command -v strace"], stdout=subprocess.DEVNULL).returncode:
        raise Skip("there is no strace")
    quitting = [*COMMAND[:-2], "-device", "help"]
    subprocess.run(["strace", "-o", calls, *quitting], stdout=subprocess.DEVNULL, check=True)
    with open(calls, encoding="utf-8", errors="replace") as file:
        total = [number for number, line in enumerate(file) if line.startswith("execve(")][-1] + 200
    tree.ended()
    count = 100 if LONG else 7
    for number in range(count):
        point = 2 + number * (total - 2) // (count - 1)
        subprocess.run(["strace", "-o", calls, "-e", f"inject=all:signal=KILL:when={point}", *quitting],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        with open(calls, encoding="utf-8", errors="replace") as file:
            assert "killed by SIGKILL" in file.read(), f"it has come through call {point}"
        tree.ended()


equal(len(BYTES), len(SESSION), "commands")
wrapped.run_tests(dict(globals()), base)
