# SPDX-License-Identifier: MIT
"""The package of contrib/python against the real helper."""

import errno
import os
import select
import socket
import subprocess
import sys
import warnings

from harness import HANG_SECONDS, O_RDONLY, O_RDWR, HelperTest, main, proto

import fdset


class Client(HelperTest):
    def client(self, kind, role, **options):
        client = kind(self.path(role), name="client", timeout=HANG_SECONDS, **options)
        self.keep(client)
        return client

    def a_manager(self, **options):
        return self.client(fdset.Manager, "manage", **options)

    def a_vmm(self):
        return self.client(fdset.Vmm, "vmm")

    def test_add_open_close(self):
        fd = self.file()
        with self.a_manager() as manager, self.a_vmm() as vmm:
            added = manager.add(1, fd, opaque="base", lifetime=proto.LIFETIME_KEEP)
            with vmm.open("/dev/fdset/1", O_RDWR) as lease:
                self.assert_serves(lease.fileno(), fd)
                self.assertEqual(lease.member, added.members[0])
                info = manager.query(set=1).sets[0].members[0]
                self.assertEqual((info.opaque, info.leases[0].name), ("base", "client"))
            with self.assertRaises(ValueError):
                lease.fileno()
            self.vmm.barrier()
        self.assertEqual(self.settled(connections=2).closes, 1)
        self.assertEqual(len(self.query().sets), 1)

    def test_file_objects(self):
        manager, vmm = self.a_manager(), self.a_vmm()
        with open(self.path("disk"), "w+b") as disk:
            name = manager.add(None, disk, name="disk0").set
        with vmm.open("/dev/fdset/disk0", O_RDWR) as lease:
            with open(lease.fileno(), "w+b", closefd=False) as file:
                file.write(b"hello")
        with open(self.path("disk"), "rb") as disk:
            self.assertEqual(disk.read(), b"hello")
        with vmm.open("/dev/fdset/disk0", O_RDWR):
            removal = manager.removal(name)
            self.assertEqual((removal.members, removal.leases, removal.closing), (1, 1, 0))

    def test_refused(self):
        with self.assertRaises(fdset.Refused) as caught:
            self.a_vmm().open("/dev/fdset/1", O_RDWR)
        self.assertIsInstance(caught.exception, OSError)
        self.assertEqual(caught.exception.errno, errno.ENOENT)
        self.assertEqual(caught.exception.code, proto.CODE_NO_SET)
        self.assertIn("1", caught.exception.strerror)

    def test_truncate(self):
        fd = self.file()
        os.write(fd, b"data")
        self.a_manager().add(1, fd, lifetime=proto.LIFETIME_KEEP)
        with self.a_vmm().open("/dev/fdset/1", O_RDWR | os.O_TRUNC):
            self.assertEqual(os.fstat(fd).st_size, 0)

    def test_open_many(self):
        fds = [self.file("one"), self.file("two")]
        manager, vmm = self.a_manager(), self.a_vmm()
        for which, fd in enumerate(fds):
            manager.add(which, fd)
        first, missing, second = vmm.open_many(
            [("/dev/fdset/0", O_RDWR), ("/dev/fdset/7", O_RDWR), ("/dev/fdset/1", O_RDWR)]
        )
        self.assertEqual(missing.code, proto.CODE_NO_SET)
        with first, second:
            self.assert_serves(first.fileno(), fds[0])
            self.assert_serves(second.fileno(), fds[1])

    def test_waiting_in_both_halves(self):
        manager, vmm = self.a_manager(), self.a_vmm()
        manager.subscribe(proto.EVENT_WANTED)
        serial = vmm.begin_open("/dev/fdset/1", O_RDWR, wait_ms=3600000)
        wanted = manager.events().events[0]
        self.assertEqual(wanted.path, "/dev/fdset/1")
        with self.assertRaises(fdset.Refused):
            vmm.open("/dev/fdset/2", O_RDWR)  # answered before
        fd = self.file()
        manager.add(1, fd)
        self.assertTrue(select.select([vmm], [], [], HANG_SECONDS)[0])
        with vmm.finish_open(serial) as lease:
            self.assert_serves(lease.fileno(), fd)

    def test_an_answer_that_came_before_it_was_asked_for(self):
        manager, vmm = self.a_manager(), self.a_vmm()
        manager.add(1, self.file())
        vmm.begin_open("/dev/fdset/1", O_RDWR)
        with self.assertRaises(fdset.Refused):
            vmm.hold("/dev/fdset/2")
        vmm.close()  # with a lease that nobody has taken
        self.assertEqual(self.settled(connections=3).hangups, 1)

    def test_time_out(self):
        """A lease that comes too late is given back."""
        manager, vmm = self.a_manager(), self.a_vmm()
        vmm.socket.settimeout(0.01)
        with self.assertRaises(TimeoutError):
            vmm.open("/dev/fdset/1", O_RDWR, wait_ms=3600000)
        vmm.socket.settimeout(HANG_SECONDS)
        manager.add(1, self.file(), lifetime=proto.LIFETIME_KEEP)
        with self.assertRaises(fdset.Refused):
            vmm.hold("/dev/fdset/2")
        with self.assertRaises(fdset.Refused):
            vmm.hold("/dev/fdset/2")
        totals = self.settled()
        self.assertEqual((totals.opens, totals.leases), (1, 0))

    def test_descriptors_that_do_not_arrive(self):
        """Without a free number the kernel drops them: an error, and no lease is left."""
        import resource

        manager, vmm = self.a_manager(), self.a_vmm()
        manager.add(1, self.file())
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            with self.assertRaises(fdset.Refused) as caught:
                vmm.open("/dev/fdset/1", O_RDWR)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.assertEqual(caught.exception.code, proto.CODE_DESCRIPTORS)
        with vmm.open("/dev/fdset/1", O_RDWR):
            self.assertEqual(self.query().totals.leases, 1)

    def test_look(self):
        manager, vmm = self.a_manager(), self.a_vmm()
        fd = self.file(flags=O_RDWR)
        os.ftruncate(fd, 4321)
        manager.add(1, fd)
        looked = vmm.look("/dev/fdset/1")
        status = os.fstat(fd)
        self.assertEqual(looked.modes, 1 << O_RDWR)
        self.assertEqual((looked.device, looked.inode), (status.st_dev, status.st_ino))
        self.assertEqual((looked.mode, looked.size), (status.st_mode, 4321))
        self.assertEqual(looked.modified_ns, status.st_mtime_ns)
        self.assertEqual(self.query().totals.opens, 0)
        vmm.hello.features = 0  # as a helper says that does not know it
        with self.assertRaises(OSError) as caught:
            vmm.look("/dev/fdset/1")
        self.assertEqual(caught.exception.errno, errno.EOPNOTSUPP)

    def test_null_characters(self):
        """They are no end of a name, a path or a label: nothing of them is sent."""
        manager, vmm = self.a_manager(), self.a_vmm()
        fd = self.file()
        manager.add(1, fd, name="a")
        for ask in (
            lambda: manager.add(None, fd, name="b\0c"),
            lambda: manager.add(1, fd, opaque="x\0y"),
            lambda: manager.query(opaque="x\0y"),
            lambda: vmm.open("/dev/fdset/a\0b", O_RDWR),
            lambda: vmm.look("/dev/fdset/a\0b"),
        ):
            with self.assertRaises(ValueError):
                ask()
        totals = self.query().totals
        self.assertEqual((totals.sets, totals.members, totals.opens), (1, 1, 0))

    def test_hold(self):
        manager, vmm = self.a_manager(), self.a_vmm()
        manager.add(1, self.file())
        vmm.hold("/dev/fdset/1")
        manager.remove(1)
        self.assertEqual(manager.query().sets[0].holds, 1)
        vmm.unhold("/dev/fdset/1")
        self.settled()
        self.assertEqual(len(manager.query().sets), 0)

    def test_query_joins_pages(self):
        fd = self.file(flags=O_RDONLY)
        manager, vmm = self.a_manager(), self.a_vmm()
        manager.add(5, *[fd] * 200, opaque="x" * 10)
        manager.add(6, fd)
        observer = self.client(fdset.Observer, "observe")
        leases = []
        for _ in range(2):
            leases += vmm.open_many([("/dev/fdset/6", O_RDONLY)] * 250)
        whole = observer.query()
        self.assertFalse(whole.HasField("next"))
        self.assertEqual([info.set for info in whole.sets], [5, 6])
        self.assertEqual(len({member.member for member in whole.sets[0].members}), 200)
        self.assertEqual(len(whole.sets[0].members), 200)
        listed = [lease.lease for lease in whole.sets[1].members[0].leases]
        self.assertEqual(sorted(listed), sorted(lease.lease for lease in leases))
        for lease in leases:
            lease.close()

    def test_events(self):
        observer, manager = self.client(fdset.Observer, "observe"), self.a_manager()
        observer.subscribe(everything=True)
        for which in range(10):
            manager.add(which, self.file())
        observer.query()  # comes after the events, which are kept
        seen = []
        while len(seen) < 10:
            seen += [event.set for event in observer.events().events]
        self.assertEqual(seen, list(range(10)))

    def test_owner(self):
        with self.a_manager(owner="me") as manager:
            manager.add(1, self.file(), grace_ms=3600000)
        again = self.a_manager(owner="me")
        self.assertEqual([info.set for info in again.query(owner="me").sets], [1])

    def test_attached_socket_and_hang_up(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.close()
        with self.assertRaises(OSError):
            fdset.Manager(ours)
        with self.assertRaises(FileNotFoundError):
            fdset.Manager(self.path("nobody"))

    def test_a_forgotten_lease_is_closed(self):
        manager, vmm = self.a_manager(), self.a_vmm()
        manager.add(1, self.file())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ResourceWarning)
            vmm.open("/dev/fdset/1", O_RDWR)
        self.assertEqual(len(caught), 1)
        with self.assertRaises(fdset.Refused):
            vmm.hold("/dev/fdset/2")
        self.assertEqual(self.settled().leases, 0)

    def test_example(self):
        example = os.path.join(os.path.dirname(__file__), "../../contrib/python/examples/show.py")
        arguments = [sys.executable, example, self.path("manage"), self.path("vmm"), __file__]
        output = subprocess.run(arguments, stdout=subprocess.PIPE, check=True, text=True).stdout
        self.assertIn(f"set 0: {os.path.getsize(__file__)} bytes, lease ", output)

    def test_too_much_for_a_packet(self):
        with self.assertRaises(OSError) as caught:
            self.a_manager().add(1, *[self.file()] * 254)
        self.assertEqual(caught.exception.errno, errno.E2BIG)


if __name__ == "__main__":
    main()
