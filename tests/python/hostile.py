# SPDX-License-Identifier: MIT
"""Packets that break the rules of fdset.proto: an error for the sender, everything
that came closed, everybody else served."""

import errno
import random

from harness import O_RDWR, HelperTest, main, proto

ROLES = ("vmm", "manage", "observe")


class Hostile(HelperTest):
    def setUp(self):
        super().setUp()
        self.disk = self.file()
        self.add(1, self.disk)
        self.held = self.count_descriptors()

    def assert_others_served(self):
        opened, fd = self.open(1, O_RDWR)
        self.assert_serves(fd, self.disk)
        self.vmm.send(close=proto.Close(leases=[opened.lease]))
        self.vmm.barrier()
        for peer in self.peers[2:]:
            peer.close()
        self.settled(connections=2)
        self.assertEqual(self.count_descriptors(), self.held)

    def assert_expelled(self, peer, serial=None):
        answer = peer.receive()
        self.assert_refused(answer, "PROTOCOL", errno.EPROTO)
        if serial is not None:
            self.assertEqual(answer[0].serial, serial)
        self.assert_hung_up(peer)

    def test_what_is_no_request(self):
        for role in ROLES:
            for data in (b"\xff", b"\xff" * 16384, b"GET / HTTP/1.1\r\n\r\n", b"\x08"):
                for greeted in (False, True):
                    peer = self.connect(role) if greeted else self.connect_silent(role)
                    peer.send_bytes(data)
                    self.assert_expelled(peer)
        self.assert_others_served()

    def test_every_cut_of_a_request(self):
        whole = proto.Request(
            serial=300, hello=proto.Hello(version=1, name="cut", owner="here")
        ).SerializeToString()
        for length in range(1, len(whole)):
            peer = self.connect_silent("manage")
            peer.send_bytes(whole[:length])
            self.assert_expelled(peer)
        self.assert_others_served()

    def test_too_long(self):
        for role in ROLES:
            peer = self.connect(role)
            request = proto.Request(serial=9, hello=proto.Hello(version=1, name="x" * 20000))
            peer.send_bytes(request.SerializeToString())
            answer = peer.receive()
            self.assert_refused(answer, "DESCRIPTORS", errno.EPROTO)
            self.assertEqual(answer[0].serial, 0)
            peer.call(query=proto.Query())  # the connection lives on
        self.assert_others_served()

    def test_no_body(self):
        peer = self.connect("manage")
        peer.send(serial=77)
        self.assert_expelled(peer, 77)

    def test_body_of_a_later_version(self):
        peer = self.connect("manage")
        peer.send_bytes(b"\x08\x05\xea\x04\x00")  # serial 5, field 77
        self.assert_expelled(peer, 5)

    def test_unknown_fields_beside_a_body(self):
        peer = self.connect("manage")
        known = proto.Request(serial=6, query=proto.Query()).SerializeToString()
        peer.send_bytes(known + b"\xea\x04\x00" + b"\xf8\x06\x2a")
        self.assertEqual(peer.receive()[0].serial, 6)

    def test_first_packet_is_no_hello(self):
        peer = self.connect_silent("observe")
        peer.send(serial=3, query=proto.Query())
        self.assert_expelled(peer, 3)

    def test_second_hello(self):
        peer = self.connect("observe")
        peer.send(serial=3, hello=proto.Hello(version=1))
        self.assert_expelled(peer, 3)

    def test_version_0(self):
        peer = self.connect_silent("observe")
        peer.send(serial=3, hello=proto.Hello())
        self.assert_expelled(peer, 3)

    def test_serial_0(self):
        peer = self.connect("observe")
        peer.send(serial=0, query=proto.Query())
        self.assert_expelled(peer, 0)

    def test_wrong_count_of_descriptors(self):
        one = proto.AddFds(sets=[proto.NewMembers(set=2, members=[proto.NewMember()])])
        for fds, count in (
            ((), 1),
            ([self.disk], 0),
            ([self.disk], 2),
            ([self.disk] * 253, 1),
            ((), 4000000000),
        ):
            self.manager.send(fds, count=count, add_fds=one)
            self.assert_refused(self.manager.receive(), "DESCRIPTORS", errno.EPROTO)
        # As many as it says, but not as many as there are members.
        self.assert_refused(
            self.manager.call([self.disk] * 3, add_fds=one), "DESCRIPTORS", errno.EPROTO
        )
        self.assert_others_served()

    def test_descriptors_where_none_belong(self):
        self.manager.send([self.disk] * 3, query=proto.Query())
        self.assert_refused(self.manager.receive(), "DESCRIPTORS", errno.EPROTO)
        for role in ("vmm", "observe"):
            peer = self.connect(role)
            try:
                peer.send([self.disk], hold=proto.Hold(path="/dev/fdset/1"))
            except PermissionError:
                continue  # the kernel knows SO_PASSRIGHTS and lets nobody send
            self.assert_refused(peer.receive(), "DESCRIPTORS", errno.EPROTO)
        self.assert_others_served()

    def test_empty_packet_with_descriptors(self):
        peer = self.connect("manage")
        peer.send_bytes(b"", [self.disk] * 10)
        self.assert_expelled(peer, 0)
        self.assert_others_served()

    def test_sockets_in_a_circle(self):
        """A connection's own socket in its own queue, and each of two in the other's."""
        one, two = self.connect("manage"), self.connect("manage")
        one.send_bytes(b"", [one.socket.fileno(), two.socket.fileno()])
        two.send_bytes(b"", [one.socket.fileno(), two.socket.fileno()])
        one.close()
        two.close()
        self.assert_others_served()

    def test_never_reading(self):
        """It blocks itself, and nobody else."""
        peer = self.connect("manage")
        peer.socket.setblocking(False)
        try:
            while True:
                peer.send(query=proto.Query())
        except BlockingIOError:
            pass
        self.assert_others_served()

    def test_flood_of_empty_fields(self):
        """16 KiB that a decoder makes megabytes of."""
        member = b"\x1a\x00"
        data = proto.Request(serial=1).SerializeToString()
        field = proto.AddFds(sets=[proto.NewMembers(set=2)]).SerializeToString()
        count = 8000
        inner = field[2:] + member * count
        sets = b"\x0a" + self.varint(len(inner)) + inner
        data += b"\x3a" + self.varint(len(sets)) + sets
        peer = self.connect("manage")
        peer.send_bytes(data)
        answer = peer.receive()
        self.assertIn(answer[0].error.code, (proto.CODE_PROTOCOL, proto.CODE_DESCRIPTORS))
        self.assert_others_served()

    @staticmethod
    def varint(number):
        data = b""
        while number > 127:
            data += bytes([number & 127 | 128])
            number >>= 7
        return data + bytes([number])

    def test_mutated_requests(self):
        """Bytes that often mean something, and descriptors with them: whatever is
        answered, nothing is lost and nobody else is held up."""
        generator = random.Random(2012)
        bodies = [
            {"hello": proto.Hello(version=1, name="name", owner="owner")},
            {
                "add_fds": proto.AddFds(
                    sets=[proto.NewMembers(set=2, name="n", members=[proto.NewMember(opaque="o")])]
                )
            },
            {"remove_fd": proto.RemoveFd(set=2, member=1)},
            {"query": proto.Query(set=1, opaque="o", after=proto.Cursor(set=1, member=1))},
            {"subscribe": proto.Subscribe(kinds=[1, 2], all=True)},
        ]
        for _ in range(300):
            peer = self.connect("manage")
            data = bytearray(
                proto.Request(
                    serial=2, descriptors=1, **generator.choice(bodies)
                ).SerializeToString()
            )
            for _ in range(generator.randrange(1, 4)):
                data[generator.randrange(len(data))] = generator.randrange(256)
            peer.send_bytes(bytes(data), [self.disk] * generator.randrange(3))
            peer.close()
        self.assert_others_served()


if __name__ == "__main__":
    main()
