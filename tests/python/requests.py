# SPDX-License-Identifier: MIT
"""Every request of fdset.proto, as that file describes it."""

import errno
import fcntl
import os
import re
import time

from harness import O_RDONLY, O_RDWR, O_WRONLY, HelperTest, main, proto


def path_of(which):
    return f"/dev/fdset/{which}"


def roles_of_requests():
    """What the head of fdset.proto says: {message: sockets on which it may be asked}."""
    path = os.path.join(os.path.dirname(__file__), "../../proto/fdset.proto")
    with open(path, encoding="utf-8") as file:
        table = re.search(r"^// ROLES\..*?^// A request outside", file.read(), re.M | re.S)[0]
    heading = re.search(r"^//   request .*$", table, re.M)[0]
    columns = {"vmm": "vmm", "manager": "manage", "observer": "observe"}
    edges = {socket: (heading.index(name), heading.index(name) + len(name))
             for name, socket in columns.items()}
    found = {}
    for names, cells in re.findall(r"^//   (\w[\w, ]*?)(  .*x.*)$", table, re.M):
        row = f"//   {names}{cells}"
        for name in names.split(", "):
            found[name] = [socket for socket, (start, end) in edges.items() if "x" in row[start:end]]
    return found


class Hello(HelperTest):
    def test_reply(self):
        peer = self.connect_silent("observe")
        hello = peer.hello(features=0xFFFFFFFFFFFFFFFF).hello
        self.assertEqual(hello.version, 1)
        known = (proto.FEATURE_LOOK, proto.FEATURE_CLOSE_ANSWER, proto.FEATURE_ENDPOINTS)
        self.assertEqual(hello.features, sum(1 << feature for feature in known))
        self.assertEqual(hello.role, proto.ROLE_OBSERVER)
        self.assertTrue(hello.helper)

    def test_a_later_version_comes_down_to_ours(self):
        peer = self.connect_silent("vmm")
        reply, _ = peer.call(hello=proto.Hello(version=4000000000))
        self.assertEqual(reply.hello.version, 1)

    def test_requests_need_not_wait_for_it(self):
        peer = self.connect_silent("manage")
        first = peer.send(hello=proto.Hello(version=1))
        second = peer.send(query=proto.Query())
        self.assertEqual(peer.receive()[0].serial, first)
        self.assertEqual(peer.receive()[0].serial, second)

    def test_roles(self):
        """The table at the head of fdset.proto, cell by cell, for every request that it has."""
        table = roles_of_requests()
        fields = proto.Request.DESCRIPTOR.oneofs_by_name["body"].fields
        self.assertEqual(sorted(table), sorted(field.message_type.name for field in fields))
        for role in ("vmm", "manage", "observe"):
            peer = self.connect(role)
            for field in fields:
                if field.name in ("hello", "close"):  # said already; without an answer
                    continue
                message = getattr(proto, field.message_type.name)()
                if "path" in field.message_type.fields_by_name:
                    message.path = path_of(1)
                with self.subTest(role=role, request=field.name):
                    answer = peer.call(**{field.name: message})
                    if role not in table[field.message_type.name]:
                        self.assert_refused(answer, "ROLE", errno.EPERM)
                    else:
                        self.assertNotEqual(answer[0].error.code, proto.CODE_ROLE)


class Adding(HelperTest):
    def test_ids(self):
        self.assertEqual(self.add(7, self.file()).set, 7)
        fresh = self.add(None, self.file())
        self.assertNotEqual(fresh.set, 7)
        self.assertGreater(fresh.members[0], 0)

    def test_all_or_nothing(self):
        good = proto.NewMembers(set=1, members=[proto.NewMember()])
        bad = proto.NewMembers(set=2, members=[proto.NewMember()])
        nowhere = os.open(self.directory, os.O_RDONLY)
        self.fds.append(nowhere)
        answer = self.manager.call([self.file(), nowhere], add_fds=proto.AddFds(sets=[good, bad]))
        self.assert_refused(answer, "FILE_TYPE", errno.EINVAL)
        self.assertEqual(len(self.query().sets), 0)

    def test_descriptors_belong_to_members_in_order(self):
        names = ["a", "b", "c", "d"]
        sets = [
            proto.NewMembers(
                set=1, mixed=True, members=[proto.NewMember(opaque=name) for name in names[:3]]
            ),
            proto.NewMembers(set=2, members=[proto.NewMember(opaque=names[3])]),
        ]
        self.manager.call([self.file(name) for name in names], add_fds=proto.AddFds(sets=sets))
        members = [member for info in self.query().sets for member in info.members]
        for name, member in zip(names, members):
            status = os.stat(self.path(name))
            self.assertEqual(
                (member.opaque, member.device, member.inode), (name, status.st_dev, status.st_ino)
            )

    def test_refused_kinds(self):
        path_only = os.open(self.directory, os.O_PATH)
        self.fds.append(path_only)
        other = self.file("other")
        self.add(1, self.file())
        one = proto.AddFds(sets=[proto.NewMembers(set=1, members=[proto.NewMember()])])
        for fd, code, number in (
            (path_only, "BAD_FD", errno.EBADF),
            (self.manager.socket.fileno(), "FILE_TYPE", errno.EINVAL),
            (other, "OTHER_FILE", errno.EXDEV),
        ):
            with self.subTest(code=code):
                self.assert_refused(self.manager.call([fd], add_fds=one), code, number)

    def test_names(self):
        first = self.add(None, self.file(), name="disk0")
        again = self.add(None, self.file(), name="disk0")
        self.assertEqual(first.set, again.set)
        opened, _ = self.open("disk0", O_RDWR)
        self.assertEqual(opened.member, again.members[0])  # the newest
        taken = proto.NewMembers(set=99, name="disk0", members=[proto.NewMember()])
        answer = self.manager.call([self.file()], add_fds=proto.AddFds(sets=[taken]))
        self.assert_refused(answer, "NAME", errno.EEXIST)
        for name in ("0", "123", ".", "..", "a/b", "a\n", "\x9b", "\u2028", "\u202e", "x" * 256):
            wrong = proto.NewMembers(name=name, members=[proto.NewMember()])
            answer = self.manager.call([self.file()], add_fds=proto.AddFds(sets=[wrong]))
            self.assert_refused(answer, "NAME", errno.EINVAL)
        for name in ("0disk", "Käse 7.qcow2", "-x", "💾", "x" * 255, "é" * 127):
            self.add(None, self.file(), name=name)
            self.open(name, O_RDWR)

    def test_replace(self):
        old = self.add(1, self.file(flags=O_RDONLY))
        opened, fd = self.open(1, O_RDONLY)
        new = self.add(1, self.file("other"), replace=True)
        states = {member.member: member.state for member in self.query().sets[0].members}
        self.assertEqual(states[old.members[0]], proto.MEMBER_REMOVED)
        self.assertEqual(states[new.members[0]], proto.MEMBER_LISTED)
        self.assertEqual(os.read(fd, 1), b"")  # its lease stays good
        self.assertEqual(self.open(1, O_RDWR)[0].member, new.members[0])
        self.assertEqual(opened.member, old.members[0])

    def test_remove(self):
        added = self.add(1, self.file(), self.file())
        remove = self.manager.call(remove_fd=proto.RemoveFd(set=1, member=added.members[0]))
        self.assertEqual(remove[0].removed.members, 1)
        self.settled()
        answer = self.manager.call(remove_fd=proto.RemoveFd(set=1, member=added.members[0]))
        self.assert_refused(answer, "NO_MEMBER", errno.ENOENT)
        self.assertEqual(self.manager.call(remove_fd=proto.RemoveFd(set=1))[0].removed.members, 1)
        self.settled()
        self.assert_refused(
            self.manager.call(remove_fd=proto.RemoveFd(set=1)), "NO_SET", errno.ENOENT
        )

    def test_lifetimes(self):
        """One that ends with its manager, one that does not, one for one open."""
        other = self.connect("manage")
        mine, self.manager = self.manager, other
        self.add(1, self.file())
        self.add(2, self.file(), lifetime=proto.LIFETIME_KEEP)
        self.add(3, self.file(), lifetime=proto.LIFETIME_ONCE)
        self.add(4, self.file(), lifetime=proto.LIFETIME_ONCE)
        self.manager = mine
        self.open(3, O_RDWR)
        self.assert_refused(
            self.vmm.call(open=proto.Open(path=path_of(3), flags=O_RDWR)), "EMPTY_SET", errno.EACCES
        )
        other.close()
        self.settled(connections=2)
        self.assertEqual([info.set for info in self.query().sets], [2, 3])

    def test_idle(self):
        self.add(1, self.file(), lifetime=proto.LIFETIME_IDLE, idle_ms=1)
        while self.query().sets:
            time.sleep(0.001)

    def test_owner_comes_back(self):
        first = self.connect("manage", owner="libvirt")
        mine, self.manager = self.manager, first
        self.add(1, self.file(), grace_ms=3600000)
        first.close()
        self.manager = mine
        self.settled(connections=2)
        info = self.query(owner="libvirt").sets[0]
        self.assertGreater(info.expires_ms, 3000000)
        self.connect("manage", owner="libvirt")
        info = self.query(owner="libvirt").sets[0]
        self.assertFalse(info.HasField("expires_ms"))
        self.assertEqual(info.owner_uid, os.getuid())


class Opening(HelperTest):
    def test_the_member_of_the_mode(self):
        read, write, both = (self.file(flags=flags) for flags in (O_RDONLY, O_WRONLY, O_RDWR))
        added = self.add(1, read, write, both)
        for flags, fd, member in zip(
            (O_RDONLY, O_WRONLY, O_RDWR), (read, write, both), added.members
        ):
            opened, got = self.open(1, flags)
            self.assertEqual(opened.member, member)
            self.assertGreater(opened.lease, 0)
            self.assertFalse(opened.truncate)
            self.assert_serves(got, fd)

    def test_refusals(self):
        self.add(1, self.file(flags=O_RDONLY))
        self.add(2, self.file("exclusive"))
        other = self.connect("vmm")
        self.open(2, O_RDWR, other)
        for path, flags, code, number in (
            ("/etc/passwd", O_RDONLY, "PATH", errno.EINVAL),
            (path_of("01"), O_RDONLY, "PATH", errno.EINVAL),
            (path_of(2**31), O_RDONLY, "PATH", errno.EINVAL),
            (path_of(5), O_RDONLY, "NO_SET", errno.ENOENT),
            (path_of("nosuch"), O_RDONLY, "NO_SET", errno.ENOENT),
            (path_of(1), O_RDWR, "MODE", errno.EACCES),
            (path_of(1), O_RDONLY | os.O_SYNC, "SYNC", errno.EINVAL),
            (path_of(2), O_RDWR, "BUSY", errno.EBUSY),
        ):
            with self.subTest(path=path, code=code):
                answer = self.vmm.call(open=proto.Open(path=path, flags=flags))
                self.assert_refused(answer, code, number)

    def test_status_flags_follow_and_go_back(self):
        fd = self.file()
        self.add(1, fd)
        opened, got = self.open(1, O_RDWR | os.O_APPEND | os.O_NONBLOCK)
        self.assertEqual(
            fcntl.fcntl(got, fcntl.F_GETFL) & (os.O_APPEND | os.O_NONBLOCK),
            os.O_APPEND | os.O_NONBLOCK,
        )
        self.vmm.send(close=proto.Close(leases=[opened.lease]))
        self.vmm.barrier()
        self.settled()
        self.assertEqual(fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_APPEND | os.O_NONBLOCK), 0)

    def test_truncate_is_the_clients(self):
        fd = self.file()
        os.write(fd, b"data")
        self.add(1, fd)
        self.assertTrue(self.open(1, O_RDWR | os.O_TRUNC)[0].truncate)
        self.assertEqual(os.fstat(fd).st_size, 4)

    def test_open_many(self):
        one, two = self.file(), self.file("two")
        self.add(1, one)
        self.add(2, two)
        opens = [proto.Open(path=path_of(which), flags=O_RDWR) for which in (1, 9, 2)]
        reply, fds = self.vmm.call(open_many=proto.OpenMany(opens=opens))
        self.fds += fds
        results = reply.opened_many.results
        self.assertEqual(
            [each.WhichOneof("outcome") for each in results], ["opened", "error", "opened"]
        )
        self.assertEqual(results[1].error.code, proto.CODE_NO_SET)
        self.assert_serves(fds[0], one)
        self.assert_serves(fds[1], two)

    def test_open_many_bounds(self):
        open_one = proto.Open(path=path_of(1), flags=O_RDONLY)
        for count in (0, 251):
            answer = self.vmm.call(open_many=proto.OpenMany(opens=[open_one] * count))
            self.assert_refused(answer, "ARGUMENT", errno.EINVAL)
        patient = proto.Open(path=path_of(1), wait_ms=1)
        reply, _ = self.vmm.call(open_many=proto.OpenMany(opens=[patient]))
        self.assertEqual(reply.opened_many.results[0].error.code, proto.CODE_ARGUMENT)

    def test_close_has_no_reply(self):
        self.add(1, self.file())
        opened, _ = self.open(1, O_RDWR)
        self.vmm.send(serial=0, close=proto.Close(leases=[opened.lease, 12345, 0]))
        self.vmm.barrier()
        self.assertEqual(self.query().totals.leases, 0)
        self.assertEqual(self.query().totals.closes, 1)

    def test_hang_up_ends_leases(self):
        self.add(1, self.file())
        other = self.connect("vmm")
        self.open(1, O_RDWR, other)
        other.close()
        totals = self.settled(connections=2)
        self.assertEqual((totals.leases, totals.hangups), (0, 1))
        self.open(1, O_RDWR)

    def test_hold(self):
        self.add(1, self.file())
        self.assertEqual(
            self.vmm.call(hold=proto.Hold(path=path_of(1)))[0].WhichOneof("body"), "done"
        )
        self.vmm.call(hold=proto.Hold(path=path_of(1)))
        self.manager.call(remove_fd=proto.RemoveFd(set=1))
        self.assertEqual([(info.set, info.holds) for info in self.query().sets], [(1, 1)])
        self.assertEqual(
            self.vmm.call(unhold=proto.Unhold(path=path_of(1)))[0].WhichOneof("body"), "done"
        )
        self.settled()
        self.assertEqual(len(self.query().sets), 0)
        self.assert_refused(self.vmm.call(hold=proto.Hold(path=path_of(1))), "NO_SET", errno.ENOENT)


class Waiting(HelperTest):
    def test_for_a_set_to_come(self):
        fd = self.file()
        waits = self.vmm.send(open=proto.Open(path=path_of(1), flags=O_RDWR, wait_ms=3600000))
        refused = self.vmm.send(open=proto.Open(path=path_of(2), flags=O_RDWR))
        reply, _ = self.vmm.receive()
        self.assertEqual(reply.serial, refused)  # the later one was not held up
        waiting = self.query().waiting[0]
        self.assertEqual((waiting.path, waiting.flags), (path_of(1), O_RDWR))
        self.assertEqual(waiting.name, "python")
        self.add(1, fd)
        reply, fds = self.vmm.receive()
        self.assertEqual(reply.serial, waits)
        _, got = self.opened(reply, fds)
        self.assert_serves(got, fd)

    def test_in_order(self):
        serials = [
            self.vmm.send(open=proto.Open(path=path_of("disk"), wait_ms=3600000)) for _ in range(3)
        ]
        self.vmm.barrier()
        self.add(None, self.file(flags=O_RDONLY), name="disk")
        for serial in serials:
            reply, fds = self.vmm.receive()
            self.opened(reply, fds)
            self.assertEqual(reply.serial, serial)

    def test_time_over(self):
        answer = self.vmm.call(open=proto.Open(path=path_of(1), wait_ms=1))
        self.assert_refused(answer, "NO_SET", errno.ENOENT)
        self.assertEqual(self.query().totals.expired, 1)

    def test_hang_up_cancels(self):
        other = self.connect("vmm")
        other.send(open=proto.Open(path=path_of(1), wait_ms=3600000))
        other.barrier()
        self.assertEqual(self.query().totals.waiting, 1)
        other.close()
        self.assertEqual(self.settled(connections=2).waiting, 0)

    def test_too_long(self):
        answer = self.vmm.call(open=proto.Open(path=path_of(1), wait_ms=3600001))
        self.assert_refused(answer, "ARGUMENT", errno.EINVAL)


class Looking(HelperTest):
    def test_query(self):
        fd = self.file()
        status = os.fstat(fd)
        added = self.add(3, fd)
        opened, _ = self.open(3, O_RDWR)
        reply = self.query(set=3)
        member = reply.sets[0].members[0]
        self.assertEqual(member.member, added.members[0])
        self.assertEqual((member.device, member.inode), (status.st_dev, status.st_ino))
        self.assertEqual(member.flags & os.O_ACCMODE, O_RDWR)
        self.assertEqual(member.lease_count, 1)
        self.assertEqual(member.leases[0].lease, opened.lease)
        self.assertEqual(member.leases[0].pid, os.getpid())
        self.assert_refused(self.manager.call(query=proto.Query(set=4)), "NO_SET", errno.ENOENT)

    def test_absent_and_empty_opaque(self):
        members = [proto.NewMember(), proto.NewMember(opaque=""), proto.NewMember(opaque="\u00e9")]
        new = proto.NewMembers(set=1, members=members)
        self.manager.call([self.file()] * 3, add_fds=proto.AddFds(sets=[new]))
        labels = [
            member.opaque if member.HasField("opaque") else None
            for member in self.query().sets[0].members
        ]
        self.assertEqual(labels, [None, "", "\u00e9"])
        only = self.query(opaque="").sets[0].members
        self.assertEqual(len(only), 1)

    def test_pages(self):
        fd = self.file()
        for first in range(0, 1000, 200):
            sets = [
                proto.NewMembers(set=first + i, members=[proto.NewMember(opaque="x" * 40)])
                for i in range(200)
            ]
            self.manager.call([fd] * 200, add_fds=proto.AddFds(sets=sets))
        seen, after, pages = [], None, 0
        while True:
            reply = self.query(after=after)
            seen += [info.set for info in reply.sets for _ in info.members]
            pages += 1
            if not reply.HasField("next"):
                break
            after = reply.next
        self.assertEqual(seen, list(range(1000)))
        self.assertGreater(pages, 2)

    def test_sandbox(self):
        stages = [stage.name for stage in self.query(sandbox=True).sandbox]
        self.assertIn("seccomp", " ".join(stages))

    def test_events(self):
        observer = self.connect("observe")
        reply, _ = observer.call(subscribe=proto.Subscribe(all=True))
        self.assertEqual(reply.WhichOneof("body"), "done")
        self.add(1, self.file())
        opened, _ = self.open(1, O_RDWR)
        self.vmm.send(close=proto.Close(leases=[opened.lease]))
        self.vmm.call(open=proto.Open(path=path_of(2)))
        self.manager.call(remove_fd=proto.RemoveFd(set=1))
        wanted = ["ADDED", "OPENED", "CLOSED", "DENIED", "REMOVED", "SET_GONE"]
        events = []
        while len(events) < len(wanted):
            reply, _ = observer.receive()
            self.assertEqual((reply.serial, reply.events.lost), (0, 0))
            events += reply.events.events
        self.assertEqual([proto.EventKind.Name(each.kind)[6:] for each in events], wanted)
        self.assertEqual(events[1].lease, opened.lease)
        sequence = [each.sequence for each in events]
        self.assertEqual(sequence, list(range(sequence[0], sequence[0] + len(wanted))))

    def test_wanted(self):
        self.manager.call(subscribe=proto.Subscribe(kinds=[proto.EVENT_WANTED]))
        self.vmm.send(open=proto.Open(path=path_of(5), flags=O_RDWR, wait_ms=3600000))
        event = self.manager.receive()[0].events.events[0]
        self.assertEqual((event.path, event.code), (path_of(5), proto.CODE_NO_SET))
        self.add(5, self.file())
        self.opened(*self.vmm.receive())


class Limits(HelperTest):
    options = (
        "--limit",
        "sets=2",
        "--limit",
        "members=3",
        "--limit",
        "leases=3",
        "--limit",
        "leases-per-vmm=2",
        "--limit",
        "waiting=1",
        "--limit",
        "holds=1",
        "--limit",
        "connections=8",
    )

    def assert_limit(self, answer, number):
        self.assert_refused(answer, "LIMIT", number)

    def test_told(self):
        limits = self.connect_silent("observe").hello().hello.limits
        self.assertEqual((limits.sets, limits.members, limits.leases), (2, 3, 3))
        self.assertEqual((limits.packet_bytes, limits.packet_descriptors), (16384, 253))

    def test_each_is_an_error_for_one(self):
        fd = self.file()
        self.add(1, fd)
        self.add(2, fd, fd)
        one = [proto.NewMember(sharing=proto.SHARING_SHARED)]
        for which in (1, 3):
            add = proto.AddFds(sets=[proto.NewMembers(set=which, members=one)])
            self.assert_limit(self.manager.call([fd], add_fds=add), errno.ENOSPC)
        self.open(1, O_RDWR)
        self.open(2, O_RDWR)
        third = self.vmm.call(open=proto.Open(path=path_of(2), flags=O_RDWR))
        self.assert_limit(third, errno.ENFILE)
        self.vmm.call(hold=proto.Hold(path=path_of(1)))
        self.assert_limit(self.vmm.call(hold=proto.Hold(path=path_of(2))), errno.ENFILE)
        patient, second = self.connect("vmm"), self.connect("vmm")
        patient.send(open=proto.Open(path=path_of(9), wait_ms=3600000))
        patient.barrier()
        answer = second.call(open=proto.Open(path=path_of(9), wait_ms=1))
        self.assert_limit(answer, errno.ENFILE)

    def test_connections(self):
        # One of the eight is kept for each of the two endpoints.
        peers = [self.connect("manage") for _ in range(5)]
        one_more = self.connect_silent("manage")
        reply, _ = one_more.receive()
        self.assertEqual(
            (reply.error.code, reply.error.error_number), (proto.CODE_LIMIT, errno.EMFILE)
        )
        self.assert_hung_up(one_more)
        peers[0].close()
        self.settled(connections=6)
        self.connect("manage")
        self.connect("vmm")


if __name__ == "__main__":
    main()
