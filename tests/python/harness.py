# SPDX-License-Identifier: MIT
"""Starts the real helper in its real sandbox for each test, and sees that it ends
well: with everything removed and closed it has as many descriptors as when it was
ready, and it ends with status 0 as its VMM hangs up. Prints TAP."""

import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import unittest

try:
    from fdset import proto
except ImportError as error:
    print(f"1..0 # SKIP {error}: install protobuf-compiler and python3-protobuf, set up again")
    sys.exit(77)

# A safety net only.
HANG_SECONDS = 60

O_RDONLY, O_WRONLY, O_RDWR = os.O_RDONLY, os.O_WRONLY, os.O_RDWR


class Peer:
    """A client that knows fdset.proto and nothing else: sends what it is told,
    right or wrong, and hands out what comes."""

    def __init__(self, sock):
        self.socket = sock
        self.socket.settimeout(HANG_SECONDS)
        self.serial = 0

    def send_bytes(self, data, descriptors=()):
        rights = struct.pack(f"{len(descriptors)}i", *descriptors)
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
        self.socket.sendmsg([data], control)

    def send(self, descriptors=(), count=None, serial=None, **body):
        self.serial += 1
        request = proto.Request(
            serial=self.serial if serial is None else serial,
            descriptors=len(descriptors) if count is None else count,
            **body,
        )
        self.send_bytes(request.SerializeToString(), descriptors)
        return request.serial

    def receive(self):
        """A reply or events, and the descriptors. None for the end of file."""
        data, control, flags, _ = self.socket.recvmsg(65536, 4096, socket.MSG_CMSG_CLOEXEC)
        rights = b"".join(block for _, _, block in control)
        descriptors = [number for (number,) in struct.iter_unpack("i", rights)]
        if not data:
            assert not descriptors
            return None, []
        assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
        reply = proto.Reply.FromString(data)
        assert reply.descriptors == len(descriptors)
        return reply, descriptors

    def call(self, descriptors=(), **body):
        serial = self.send(descriptors, **body)
        reply, received = self.receive()
        assert reply is not None, "hung up"
        assert reply.serial == serial, f"reply to {reply.serial}, not {serial}"
        return reply, received

    def readable(self):
        return bool(select.select([self.socket], [], [], 0)[0])

    def hello(self, features=1 << proto.FEATURE_LOOK, **fields):
        hello = proto.Hello(version=1, features=features, name="python", **fields)
        return self.call(hello=hello)[0]

    def barrier(self):
        """Everything sent before has been dealt with: Close has no reply."""
        self.call(open=proto.Open(path="no path"))

    def close(self):
        self.socket.close()


def own_descriptors():
    """Each with what it is of."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            pass  # the one of listdir() itself
    return found


class HelperTest(unittest.TestCase):
    options = ()

    def setUp(self):
        self.before = own_descriptors()
        # Not in a memory file system: those may refuse O_DIRECT.
        self.directory = tempfile.mkdtemp(prefix="fdset-python-", dir="/var/tmp")
        self.peers, self.fds = [], []
        ours_vmm, its_vmm = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours_manager, its_manager = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Descriptors in flight are counted for a user: one of its own for each test.
        arguments = ["--user", str(1000000 + os.getpid())]
        arguments += ["--vmm-fd", str(its_vmm.fileno())]
        arguments += ["--manage-fd", str(its_manager.fileno())]
        for role in ("vmm", "manage", "observe"):
            arguments += ["--" + role, self.path(role)]
        self.helper = subprocess.Popen(
            [os.environ["FDSET_TEST_HELPER"], *arguments, *self.options],
            pass_fds=[its_vmm.fileno(), its_manager.fileno()],
        )
        its_vmm.close()
        its_manager.close()
        self.vmm = self.keep(Peer(ours_vmm))
        self.manager = self.keep(Peer(ours_manager))
        # The reply is there when the helper is locked in.
        self.assertEqual(self.vmm.hello().hello.role, proto.ROLE_VMM)
        self.assertEqual(self.manager.hello().hello.role, proto.ROLE_MANAGER)
        self.descriptors = self.count_descriptors()

    def tearDown(self):
        try:
            if self.helper.poll() is None:
                self.put_away()
        finally:
            for peer in self.peers:
                peer.close()
            for fd in self.fds:
                os.close(fd)
            try:
                status = self.helper.wait(HANG_SECONDS)
            except subprocess.TimeoutExpired:
                self.helper.kill()
                status = self.helper.wait()
            shutil.rmtree(self.directory)
        self.assertEqual(status, 0, "the helper's status")
        self.assertEqual(own_descriptors(), self.before, "descriptors of our own")

    def put_away(self):
        """Without sets, leases and other peers the helper is as it was."""
        for peer in self.peers[2:]:
            peer.close()
        while sets := self.query().sets:
            for info in sets:
                self.put_away_set(info)
        totals = self.settled(connections=2)
        self.assertEqual((totals.sets, totals.members, totals.leases), (0, 0, 0))
        self.assertEqual(self.count_descriptors(), self.descriptors, "descriptors of the helper")

    def put_away_set(self, info):
        for member in info.members:
            self.vmm.send(close=proto.Close(leases=[lease.lease for lease in member.leases]))
        self.vmm.barrier()
        self.vmm.call(unhold=proto.Unhold(path=f"/dev/fdset/{info.set}"))
        self.manager.call(remove_fd=proto.RemoveFd(set=info.set))

    def count_descriptors(self):
        """Only root may look."""
        try:
            return len(os.listdir(f"/proc/{self.helper.pid}/fd"))
        except PermissionError:
            return None

    # ------------------------------------------------------------- for the tests

    def path(self, name):
        return os.path.join(self.directory, name)

    def keep(self, peer):
        self.peers.append(peer)
        return peer

    def file(self, name="disk", flags=O_RDWR):
        fd = os.open(self.path(name), flags | os.O_CREAT, 0o600)
        self.fds.append(fd)
        return fd

    def connect_silent(self, role):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect(self.path(role))
        return self.keep(Peer(sock))

    def connect(self, role, **hello):
        peer = self.connect_silent(role)
        peer.hello(**hello)
        return peer

    def add(self, which, *fds, **fields):
        """Members without anything into one set. The proto.AddedSet."""
        members = [proto.NewMember() for _ in fds]
        new = proto.NewMembers(set=which, members=members, **fields)
        reply, _ = self.manager.call(fds, add_fds=proto.AddFds(sets=[new]))
        self.assertEqual(reply.WhichOneof("body"), "added", reply)
        return reply.added.sets[0]

    def open(self, path, flags, peer=None, **fields):
        """The proto.Opened and its descriptor, which is closed after the test."""
        path = f"/dev/fdset/{path}"
        peer = peer or self.vmm
        return self.opened(*peer.call(open=proto.Open(path=path, flags=flags, **fields)))

    def opened(self, reply, descriptors):
        self.fds += descriptors
        self.assertEqual(reply.WhichOneof("body"), "opened", reply)
        return reply.opened, descriptors[0]

    def query(self, **filters):
        reply, _ = self.manager.call(query=proto.Query(**filters))
        self.assertEqual(reply.WhichOneof("body"), "query", reply)
        return reply.query

    def settled(self, connections=None):
        """Totals, as soon as nothing is on its way out."""
        while True:
            totals = self.query().totals
            if totals.settling == 0 and totals.connections == (connections or totals.connections):
                return totals

    def assert_refused(self, answer, code, error_number):
        reply, descriptors = answer
        self.assertEqual(descriptors, [])
        self.assertEqual(reply.WhichOneof("body"), "error", reply)
        self.assertEqual(proto.Code.Name(reply.error.code), "CODE_" + code, reply.error.text)
        self.assertEqual(reply.error.error_number, error_number, reply.error.text)
        self.assertTrue(reply.error.text)

    def assert_hung_up(self, peer):
        reply, _ = peer.receive()
        self.assertIsNone(reply)

    def assert_serves(self, fd, original):
        """It is the very open file description of `original`, close-on-exec."""
        self.assertFalse(os.get_inheritable(fd))
        mark = os.lseek(original, 0, os.SEEK_CUR) + 1
        os.lseek(fd, mark, os.SEEK_SET)
        self.assertEqual(os.lseek(original, 0, os.SEEK_CUR), mark)


class Tap(unittest.TestResult):
    """What tests/tally.py counts: one line a test, whatever in it failed. It says what that was."""

    def startTest(self, test):
        super().startTest(test)
        self.before = len(self.failures), len(self.errors)

    def stopTest(self, test):
        super().stopTest(test)
        failures, errors = self.before
        wrong = self.failures[failures:] + self.errors[errors:]
        reason = next((why for skipped, why in self.skipped if skipped is test), None)
        comment = f" # SKIP {reason}" if reason and not wrong else ""
        word = "not ok" if wrong else "ok"
        print(f"{word} {self.testsRun} - {test.id().split('.', 1)[1]}{comment}", flush=True)
        for part, text in wrong:
            print(f"{part}\n{text}", file=sys.stderr)


def main():
    tests = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    print(f"1..{tests.countTestCases()}")
    sys.exit(not tests.run(Tap()).wasSuccessful())
