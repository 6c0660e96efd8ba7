#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The relay and a file whose server does not answer: a remove-fd that waits for it holds
up its own client, and nobody else's.

stuck-fs is the server, see stuck-fs.h; it holds up the helper, and never this process."""

import ctypes
import os
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../qemu"))
from monitors import PATIENCE, Failure, Proxied, equal, image, run, until  # noqa: E402

CLONE_NEWNS, MNT_FORCE, MNT_DETACH = 0x20000, 1, 2
FLUSH = 2
STOP, GO_ON, AWAIT = range(3)


def mounts_of_our_own():
    if os.path.exists("/dev/fuse") and os.geteuid() == 0:
        if ctypes.CDLL(None).unshare(CLONE_NEWNS) == 0 and subprocess.run(
                ["mount", "--make-rprivate", "/"], check=False).returncode == 0:
            return
    print("SKIPPED: files whose server hangs need root and /dev/fuse", file=sys.stderr)
    sys.exit(77)


class Mount:
    """A file system of one server, in the current directory."""

    def __init__(self):
        self.path = os.path.abspath("mount")
        os.mkdir(self.path)
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(PATIENCE)
        self.server = subprocess.Popen(
            [os.environ["FDSET_TEST_STUCK_FS"], self.path, str(theirs.fileno())],
            pass_fds=[theirs.fileno()])
        theirs.close()
        self.answer()

    def answer(self):
        if not self.control.recv(4):
            raise Failure("the file system's server has ended")

    def order(self, verb):
        self.control.send(struct.pack("iii", verb, FLUSH, 0))
        self.answer()

    def open(self, file):
        return os.open(f"{self.path}/{file}", os.O_RDWR)

    def end(self):
        """Who waits for an answer gets an error."""
        ctypes.CDLL(None).umount2(self.path.encode(), MNT_FORCE | MNT_DETACH)
        self.server.kill()
        self.server.wait()
        self.control.close()


CASES = []


def case(function):
    def test():
        mount, world = Mount(), None
        try:
            world = Proxied(monitors=3)
            function(world, mount)
        finally:
            mount.end()
            if world:
                world.end()
    CASES.append((function.__name__.replace("_", " "), test))
    return function


def added(client, mount, file, set_id):
    """And what the proxy had of it is closed when the next answer is there."""
    fd = mount.open(file)
    client.does("add-fd", [fd], fdset_id=set_id, opaque="stuck")
    os.close(fd)
    client.does("query-fdsets")


@case
def descriptors_that_cannot_be_closed_hold_up_nobody(world, mount):
    """However the proxy comes by them, and is rid of them."""
    one, other = world.client(0), world.client(1)
    fds = [mount.open(0) for _ in range(3)]
    mount.order(STOP)
    for name, text, which in (
            ("added", '{"execute": "add-fd", "arguments": {"fdset-id": 1, "opaque": "x"}}', fds[:1]),
            ("several", '{"execute": "add-fd", "arguments": {"fdset-id": 1, "opaque": "x"}}', fds),
            ("the emulator's", '{"execute": "getfd", "arguments": {"fdname": "x"}}', fds[:1]),
            ("refused", '{"execute": "add-fd", "arguments": {"fdset-id": -1}}', fds[:1]),
            ("not used", '{"execute": "query-status"}', fds[:1]),
            ("newer", '{"execute": "query-status"}', fds[1:])):
        one.send(text, which)
        equal("return" in one.reply(), name != "refused", name)
        other.does("query-fdsets")
        other.does("query-status")
    one.close()
    other.does("query-status")
    other.does("add-fd", [image("disk")], fdset_id=2, opaque="here")
    for fd in fds:
        os.close(fd)
    mount.order(GO_ON)


@case
def a_removal_waits_for_its_file_alone(world, mount):
    """Its answer comes when the file is closed: what management does next finds it free."""
    slow, other, third = (world.client(number) for number in range(3))
    added(slow, mount, 0, 1)
    mount.order(STOP)
    slow.send('{"execute": "remove-fd", "arguments": {"fdset-id": 1}, "id": "slow"}'
              '{"execute": "query-fdsets", "id": "after"}')
    mount.order(AWAIT)
    for client in (other, third):
        client.does("add-fd", [image("disk")], fdset_id=2, opaque="here")
        client.does("query-fdsets")
        client.does("remove-fd", fdset_id=2)
        client.does("query-status")
    equal(slow.is_quiet(), True, "no answer before the file is closed")
    mount.order(GO_ON)
    equal(slow.reply(), {"return": {}, "id": "slow"}, "answer")
    equal(slow.reply()["id"], "after", "the next answer")


@case
def two_removals_wait_beside_each_other(world, mount):
    one, two, other = (world.client(number) for number in range(3))
    for number, client in enumerate((one, two)):
        added(client, mount, number, number)
    mount.order(STOP)
    for number, client in enumerate((one, two)):
        client.send('{"execute": "remove-fd", "arguments": {"fdset-id": %d}}' % number)
    until(lambda: other.does("query-fdsets") == [], "what is removed is gone at once")
    for client in (one, two):
        equal(client.is_quiet(), True, "no answer before the file is closed")
    mount.order(GO_ON)
    for client in (one, two):
        equal(client.reply(), {"return": {}}, "answer")


@case
def what_was_removed_leaves_its_file_system_free(world, mount):
    """Neither the helper nor the proxy has it, nor had QEMU a copy: each time."""
    client = world.client()
    os.mkdir("disk")
    for turn in range(200):
        subprocess.run(["mount", "-t", "tmpfs", "none", "disk"], check=True)
        fds = [image(f"disk/{number}") for number in range(3)]
        if turn % 2:
            client.send(" ", fds[1:])  # which nobody uses
        client.does("add-fd", fds, fdset_id=1, opaque="x")
        for fd in fds:
            os.close(fd)
        if turn % 4 == 0:
            client.does("blockdev-add", driver="file", node_name="node", filename="/dev/fdset/1")
            client.does("blockdev-del", node_name="node")
        client.does("remove-fd", fdset_id=1)
        subprocess.run(["umount", "disk"], check=True)


mounts_of_our_own()
run(CASES)
