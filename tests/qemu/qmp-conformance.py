# SPDX-License-Identifier: MIT
"""What QEMU's commands for descriptors do, row by row, in QEMU itself (7.2, 10.0, 11.1) and
behind the relay. Each row runs in both, on fresh ones, and each step has one
answer for both; where the two differ, it is on purpose, and the row says why.
"""

import json
import os
import re
import socket
import sys

from monitors import (Failure, Native, Proxied, end_of_file, equal, image, qemu_version, run,
                      status_flags, until)

ROWS = []
DIFFERENCES = {
    "id-range": "QEMU takes numbers that it cannot open; one range holds for both here",
    "opaque": "labels have at most 255 bytes and no NUL",
    "file-type": "a descriptor that cannot be opened as a file is refused when it is passed",
    "sender-flags": "the status flags of the manager's own descriptor are its own",
    "at-once": "as in QEMU 9.1: what is removed is gone at once, also while the machine does not run",
    "flags-restored": "flags that a lease needed are put back as the last one ends",
}
used = set()

# Until then QEMU keeps what is removed while it does not run, and lets go what is not in use
# as the last monitor hangs up.
SINCE_9_1 = qemu_version() >= (9, 1)
if SINCE_9_1:
    del DIFFERENCES["at-once"]

# Since then it hangs up on who passes a descriptor whose flags cannot be set, and says where in
# what it has read the mistake is.
SINCE_11_1 = qemu_version() >= (11, 1)
if SINCE_11_1:
    DIFFERENCES["path-only"] = "as in QEMU up to 10: a mistake with a descriptor is no end of the monitor"

# Its words for errors that were the system's before.
WORDS_OF_9_1 = [
    (r"Failed to find fdset /dev/fdset/\d+", "No such file or directory"),
    (r"Failed to find file descriptor with matching flags=0x\d+", "Permission denied"),
    (r"Failed to dup\(\) given file descriptor fd=\d+", "Invalid argument"),
]


def row(section, name, running=False, monitors=1):
    def add(function):
        ROWS.append((f"{section} {name}", function, running, monitors))
        return function
    return add


def json_error(found, wanted, what):
    """The text of a mistake in JSON, which QEMU 11.1 has other words for."""
    if SINCE_11_1:
        equal(bool(re.match(r"[0-9]+:[0-9]+: ", found)), True, f"{what}: {found} tells where")
        found = found.partition(": ")[2]
        wanted = {"JSON parse error, missing : in object pair": "JSON parse error, expecting ':'"
                  }.get(wanted, wanted)
    equal(found, wanted, what)


class Case:
    """A row in one of the two worlds."""

    def __init__(self, world):
        self.world = world
        self.q = world.client()
        self.names = {}
        self.members = 0

    def differs(self, why, native, proxied):
        """Chooses what is right here."""
        used.add(why)
        DIFFERENCES[why]  # it has a reason
        return proxied if self.world.proxied else native

    def member(self, fd):
        """The numbers of members differ: they are told apart as a, b, c, in their order."""
        return self.names[fd] if fd in self.names else self.new_member(fd)

    def new_member(self, fd):
        """QEMU's number may be one that a removed member had."""
        self.members += 1
        self.names[fd] = chr(ord("a") + self.members - 1)
        return self.names[fd]

    def number(self, name):
        return next(number for number, known in self.names.items() if known == name)

    def add(self, flags=os.O_RDWR, name="disk", client=None, **arguments):
        """add-fd of a file; what it returns, as (set, member)."""
        fd = image(name, flags)
        try:
            added = (client or self.q).does("add-fd", [fd], **arguments)
        finally:
            os.close(fd)
        equal(set(added), {"fdset-id", "fd"}, "members of add-fd's answer")
        return added["fdset-id"], self.new_member(added["fd"])

    def refused(self, text, command, fds=(), **arguments):
        equal(self.q.command(command, fds, **arguments),
              {"error": {"class": "GenericError", "desc": text}}, f"{command} {arguments}")

    def sets(self, client=None):
        """query-fdsets as [(set, members)], a member being its name or (name, opaque)."""
        found = []
        for entry in (client or self.q).does("query-fdsets"):
            equal(set(entry), {"fdset-id", "fds"}, "members of a set")
            members = []
            for fd in entry["fds"]:
                name = self.member(fd["fd"])
                label = fd.get("opaque")
                members.append(name if label is None else (name, label))
            found.append((entry["fdset-id"], members))
        return found

    def sets_are(self, *wanted, client=None):
        equal(self.sets(client), list(wanted), "query-fdsets")

    def open(self, path, read_only=False, node="node", **more):
        """The reply to opening `path` as a disk; an error as its last words alone, since
        the two say it in other sentences."""
        reply = self.q.command("blockdev-add", driver="file", filename=path, node_name=node,
                               read_only=read_only, **more)
        if "error" not in reply:
            return "done"
        said = reply["error"]["desc"].split(": ")[-1]
        meant = [text for words, text in WORDS_OF_9_1 if re.fullmatch(words, said)]
        equal(bool(meant) and not SINCE_9_1, False, f"QEMU before 9.1 says '{said}'")
        return meant[0] if meant else said

    def leases(self):
        return len(self.q.does("x-fdset-query-leases")) if self.world.proxied else 0

    def close(self, node="node"):
        """QEMU's word to the helper that it has closed is one-way, and may be on its way
        when the next question is there."""
        before = self.leases()
        self.q.does("blockdev-del", node_name=node)
        until(lambda: before == 0 or self.leases() < before, "the lease ends")

    def size(self, node="node"):
        for found in self.q.does("query-named-block-nodes"):
            if found["node-name"] == node:
                return found["image"]["virtual-size"]
        raise Failure(f"no node {node}")


NO_FD = "No file descriptor supplied via SCM_RIGHTS"

# ------------------------------------------------------------------ 1.2 add-fd


@row("1.2", "add-fd without a descriptor")
def _(c):
    c.refused(NO_FD, "add-fd")
    c.refused(NO_FD, "add-fd", fdset_id=1, opaque="x")
    c.sets_are()


@row("1.2", "a number that is given makes the set, or joins it")
def _(c):
    equal(c.add(fdset_id=3), (3, "a"), "add")
    equal(c.add(fdset_id=3), (3, "b"), "add")
    equal(c.add(fdset_id=0), (0, "c"), "add")
    c.sets_are((3, ["a", "b"]), (0, ["c"]))


@row("1.2", "without a number, sets begin at 0")
def _(c):
    equal(c.add(), (0, "a"), "add")
    equal(c.add(), (1, "b"), "add")


@row("1.2", "without a number, gaps are filled")
def _(c):
    for number in (0, 1, 3):
        c.add(fdset_id=number)
    equal(c.add()[0], 2, "first")
    equal(c.add()[0], 4, "second")


@row("1.2", "a removed set's number is given again", running=True)
def _(c):
    c.add()
    c.q.does("remove-fd", fdset_id=0)
    equal(c.add()[0], 0, "add")


@row("1.2", "a negative number, and the descriptor is used up")
def _(c):
    fd = image("disk")
    equal(c.q.refuses("add-fd", [fd], fdset_id=-1),
          "Parameter 'fdset-id' expects a non-negative value", "error")
    c.refused(NO_FD, "add-fd", fdset_id=1)


@row("1.2", "what is no integer, and the descriptor waits")
def _(c):
    fd = image("disk")
    for value in ("1", True, 1.0, 1.5, None, [], {}, 1 << 63, 1 << 70, -(1 << 63) - 1):
        equal(c.q.refuses("add-fd", [fd], fdset_id=value),
              "Invalid parameter type for 'fdset-id', expected: integer", f"{value!r}")
    equal(c.q.does("add-fd", fdset_id=1)["fdset-id"], 1, "add")
    c.refused(NO_FD, "add-fd", fdset_id=1)


@row("1.2", "the largest numbers")
def _(c):
    fd = image("disk")
    equal(c.add(fdset_id=(1 << 31) - 1)[0], (1 << 31) - 1, "set")
    for number in (1 << 31, (1 << 63) - 1):
        reply = c.q.command("add-fd", [fd], fdset_id=number)
        equal("return" in reply, c.differs("id-range", True, False), f"{number}")


@row("1.2", "arguments that nobody knows, or of the wrong type")
def _(c):
    fd = image("disk")
    c.q.send(" ", [fd])
    c.refused("Parameter 'foo' is unexpected", "add-fd", fdset_id=1, foo=2)
    c.refused("Parameter 'foo' is unexpected", "query-fdsets", foo=2)
    c.refused("Invalid parameter type for 'opaque', expected: string", "add-fd", opaque=1)
    c.refused("Invalid parameter type for 'opaque', expected: string", "add-fd", opaque=None)
    name = "\u20ac" * 1000
    c.refused(f"Parameter '{name}' is unexpected", "query-fdsets", **{name: 1})
    for arguments in ("[]", "null", "1", '"x"'):
        equal(c.q.ask('{"execute": "add-fd", "arguments": %s}' % arguments)["error"]["desc"],
              "QMP input member 'arguments' must be an object", arguments)
    equal(c.q.ask('{"execute": "query-fdsets", "foo": 1}')["error"]["desc"],
          "QMP input member 'foo' is unexpected", "foo")
    error = c.q.ask('{"execute": "add-fd", "arguments": {"fdset-id": 1, "fdset-id": 2}}')["error"]
    equal(error["class"], "GenericError", "twice")
    json_error(error["desc"], "JSON parse error, duplicate key", "twice")
    equal(c.q.does("add-fd")["fdset-id"], 0, "the descriptor is there still")


@row("1.2", "opaque, absent and empty and long")
def _(c):
    c.add(fdset_id=1)
    c.add(fdset_id=1, opaque="")
    c.add(fdset_id=1, opaque="rdonly:/a b,c=\"\\\u00e4\U0001f600")
    c.add(fdset_id=1, opaque="x" * 255)
    c.sets_are((1, ["a", ("b", ""), ("c", "rdonly:/a b,c=\"\\\u00e4\U0001f600"), ("d", "x" * 255)]))


@row("1.2", "opaque, too long and with NUL")
def _(c):
    fd = image("disk")
    for opaque, text in (("x" * 256, "Parameter 'opaque' has 256 bytes, and may have 255"),
                         ("\u20ac" * 100, "Parameter 'opaque' has 300 bytes, and may have 255"),
                         ("a\0b", "Parameter 'opaque' must not contain NUL")):
        reply = c.q.command("add-fd", [fd], fdset_id=1, opaque=opaque)
        equal(reply.get("error", {}).get("desc"), c.differs("opaque", None, text), "error")


@row("1.2", "different files in one set, files that are none, read-only and write-only")
def _(c):
    c.add(fdset_id=1, name="one")
    c.add(fdset_id=1, name="two", flags=os.O_RDONLY)
    c.add(fdset_id=1, name="/dev/null", flags=os.O_WRONLY)
    read, write = os.pipe()
    c.q.does("add-fd", [read], fdset_id=1)
    c.q.does("add-fd", [write], fdset_id=1)
    c.sets_are((1, ["a", "b", "c", "d", "e"]))


@row("1.2", "descriptors that are no files")
def _(c):
    """The reason is told, whether there is such a set, or will be, or any number is right."""
    one, other = socket.socketpair()
    event = os.eventfd(0)
    c.add(fdset_id=7)
    for fd, reason in ((one.fileno(), "is a socket"),
                       (os.open(".", os.O_RDONLY), "is of a directory"),
                       (event, "is of no file (an epoll, event or similar descriptor)"),
                       (image("disk", os.O_PATH), "opened with O_PATH")):
        if SINCE_11_1 and "O_PATH" in reason and c.differs("path-only", True, False):
            c.q.send('{"execute": "add-fd"}', [fd])
            equal(c.q.receive(), b"", "the end of the monitor")
            continue
        for which in ({}, {"fdset_id": 72}, {"fdset_id": 7}):
            reply = c.q.command("add-fd", [fd], **which)
            equal("return" in reply, c.differs("file-type", True, False), "added")
            if c.world.proxied and reason not in reply["error"]["desc"]:
                raise Failure(f"{reason!r} is not in {reply['error']['desc']!r}")


@row("1.2", "a descriptor that came with another command")
def _(c):
    fd = image("disk")
    c.q.does("query-status", [fd])
    c.q.does("query-fdsets")
    c.refused("Parameter 'fdset-id' is missing", "remove-fd")
    c.q.does("add-fd", fdset_id=1)
    c.refused(NO_FD, "add-fd")


@row("1.2", "a descriptor that came with a command that failed to parse")
def _(c):
    fd = image("disk")
    for text in ("{]", "@\n", "[]", "{\"execute\" 1}"):
        equal(c.q.ask(text, [fd])["error"]["class"], "GenericError", text)
        c.q.does("add-fd", fdset_id=1)
        c.refused(NO_FD, "add-fd")


@row("1.2", "a descriptor that came before its command")
def _(c):
    fd = image("disk")
    c.q.send(" ", [fd])
    c.q.does("add-fd", fdset_id=1)
    c.q.send("\n", [fd])
    c.q.does("query-status")
    c.q.does("add-fd", fdset_id=1)
    c.refused(NO_FD, "add-fd")


@row("1.2", "in the midst of its command")
def _(c):
    fd = image("disk")
    c.q.send('{"execute": "add-')
    c.q.send('fd", "argum', [fd])
    equal(c.q.ask('ents": {"fdset-id": 1}}')["return"]["fdset-id"], 1, "set")


@row("1.2", "the newest of several messages wins")
def _(c):
    c.q.send(" ", [image("old", size=65536)])
    c.q.does("query-status")
    c.q.send(" ", [image("new", size=131072)])
    c.q.does("query-status")
    c.q.does("add-fd", fdset_id=1)
    c.refused(NO_FD, "add-fd")
    equal(c.open("/dev/fdset/1"), "done", "open")
    equal(c.size(), 131072, "size")


@row("1.2", "of several in one message the first")
def _(c):
    fds = [image("first", size=65536), image("second", size=131072), image("third", size=131072)]
    c.q.does("add-fd", fds, fdset_id=1)
    c.refused(NO_FD, "add-fd")
    equal(c.open("/dev/fdset/1"), "done", "open")
    equal(c.size(), 65536, "size")


@row("1.2", "more than QEMU has room for")
def _(c):
    c.q.does("add-fd", [image("disk")] * 20, fdset_id=1)
    c.refused(NO_FD, "add-fd")
    c.sets_are((1, ["a"]))


@row("1.2", "what is not used is closed")
def _(c):
    read, write = os.pipe()
    other_read, other_write = os.pipe()
    c.q.does("add-fd", [image("disk"), write, write], fdset_id=1)
    c.q.send(" ", [other_write])
    c.q.send(" ", [image("disk")])
    c.q.does("query-status")
    os.close(write)
    os.close(other_write)
    end_of_file(read)
    end_of_file(other_read)


@row("1.2", "the manager's own flags")
def _(c):
    fd = image("disk", os.O_RDWR | os.O_NONBLOCK)
    c.q.does("add-fd", [fd], fdset_id=1)
    equal(bool(status_flags(fd) & os.O_NONBLOCK), c.differs("sender-flags", False, True), "O_NONBLOCK")


@row("1.2", "hanging up closes what waited")
def _(c):
    read, write = os.pipe()
    c.q.send(" ", [write])
    c.q.does("query-status")
    os.close(write)
    c.q.close()
    end_of_file(read)
    c.q = c.world.client()
    c.refused(NO_FD, "add-fd")


@row("1.2", "an id comes back as it was")
def _(c):
    for value in (1, "x", [1, {"a": None}], {"b": "\"\\/\u00e4", "a": 1.5}, True, None, "//dev/fdset/1"):
        for command in ("query-fdsets", "remove-fd", "query-status"):
            text = '{"execute": "%s", "id": %s}' % (command, json.dumps(value))
            reply = c.q.ask(text)
            equal(reply["id"], value, command)
            equal("return" in reply, command != "remove-fd", command)
    equal("id" in c.q.ask('{"execute": "query-fdsets"}'), False, "no id")


@row("1.2", "single quotes, blanks, escapes")
def _(c):
    equal(c.q.ask("{'execute': 'query-fdsets', 'id': 'a\"b'}\r\n"), {"return": [], "id": "a\"b"}, "quotes")
    equal(c.q.ask('\n\t{ "execute"\n:\r\n"query\\u002dfdsets" , "id":[1,\n2] } \n'),
          {"return": [], "id": [1, 2]}, "blanks")


@row("1.2", "before the negotiation")
def _(c):
    c.q.close()
    c.q = c.world.connect()
    c.q.message()
    for command in ("add-fd", "remove-fd", "query-fdsets", "query-status"):
        equal(c.q.ask('{"execute": "%s", "id": 7}' % command, [image("disk")]),
              {"id": 7, "error": {"class": "CommandNotFound", "desc":
               "Expecting capabilities negotiation with 'qmp_capabilities'"}}, command)
    c.q.does("qmp_capabilities")
    c.q.does("add-fd", fdset_id=1)


@row("1.2", "out of band they do not come")
def _(c):
    for oob, text in ((False, "QMP input member 'exec-oob' is unexpected"),
                      (True, "The command add-fd does not support OOB")):
        c.q.close()
        c.q = c.world.client(oob=oob)
        equal(c.q.ask('{"exec-oob": "add-fd", "id": 1}', [image("disk")])["error"]["desc"], text, "error")
        c.q.does("add-fd", fdset_id=1)


@row("1.2", "commands in one write")
def _(c):
    c.q.send('{"execute": "add-fd", "arguments": {"fdset-id": 4}, "id": 1}'
             '{"execute": "query-status", "id": 2} {"execute": "query-fdsets", "id": 3}'
             '{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "n",'
             ' "filename": "/dev/fdset/4"}, "id": 4}'
             '{"execute": "remove-fd", "arguments": {"fdset-id": 4}, "id": 5}'
             '[]{"execute": "query-named-block-nodes", "id": 6}', [image("disk")])
    replies = [c.q.reply() for _ in range(7)]
    equal([reply.get("id") for reply in replies], [1, 2, 3, 4, 5, None, 6], "order")
    equal(["return" in reply for reply in replies], [True] * 5 + [False, True], "results")
    equal(replies[2]["return"][0]["fdset-id"], 4, "the set is there")


# --------------------------------------------------------------- 1.3 remove-fd


@row("1.3", "sets and members that are not there", running=True)
def _(c):
    c.add(fdset_id=1)
    c.add(fdset_id=2)
    for number in (99, -1, -(1 << 63), (1 << 63) - 1):
        c.refused(f"File descriptor named 'fdset-id:{number}' not found", "remove-fd", fdset_id=number)
    c.refused("File descriptor named 'fdset-id:99, fd:3' not found", "remove-fd", fdset_id=99, fd=3)
    for number in (99999, 0, -1, (1 << 63) - 1):
        c.refused(f"File descriptor named 'fdset-id:1, fd:{number}' not found", "remove-fd",
                  fdset_id=1, fd=number)
    number = c.number("b")
    c.refused(f"File descriptor named 'fdset-id:1, fd:{number}' not found", "remove-fd",
              fdset_id=1, fd=number)
    c.sets_are((2, ["b"]), (1, ["a"]))


@row("1.3", "arguments that are wrong")
def _(c):
    c.refused("Parameter 'fdset-id' is missing", "remove-fd")
    c.refused("Parameter 'fdset-id' is missing", "remove-fd", fd=1)
    c.refused("Invalid parameter type for 'fdset-id', expected: integer", "remove-fd", fdset_id="1")
    c.refused("Invalid parameter type for 'fd', expected: integer", "remove-fd", fdset_id=1, fd="1")
    c.refused("Invalid parameter type for 'fd', expected: integer", "remove-fd", fdset_id=1, fd=None)
    c.refused("Parameter 'opaque' is unexpected", "remove-fd", fdset_id=1, opaque="x")


@row("1.3", "one member, then the set", running=True)
def _(c):
    for _ in range(3):
        c.add(fdset_id=1)
    equal(c.q.does("remove-fd", fdset_id=1, fd=c.number("b")), {}, "answer")
    c.sets_are((1, ["a", "c"]))
    c.refused(f"File descriptor named 'fdset-id:1, fd:{c.number('b')}' not found", "remove-fd",
              fdset_id=1, fd=c.number("b"))
    equal(c.q.does("remove-fd", fdset_id=1), {}, "answer")
    c.sets_are()
    c.refused("File descriptor named 'fdset-id:1' not found", "remove-fd", fdset_id=1)


@row("1.3", "the last member takes the set with it", running=True)
def _(c):
    c.add(fdset_id=1)
    c.q.does("remove-fd", fdset_id=1, fd=c.number("a"))
    c.sets_are()


@row("1.3", "what is removed is closed", running=True)
def _(c):
    read, write = os.pipe()
    c.q.does("add-fd", [write], fdset_id=1)
    os.close(write)
    c.q.does("remove-fd", fdset_id=1)
    end_of_file(read)


@row("1.3", "while the machine does not run")
def _(c):
    c.add(fdset_id=1)
    c.q.does("remove-fd", fdset_id=1)
    kept, opened = [], "No such file or directory"
    if not SINCE_9_1:
        kept = c.differs("at-once", [(1, ["a"])], kept)
        opened = c.differs("at-once", "done", opened)
    c.sets_are(*kept)
    equal(c.open("/dev/fdset/1"), opened, "open")


@row("1.3", "while it is open", running=True)
def _(c):
    c.add(fdset_id=1)
    equal(c.open("/dev/fdset/1"), "done", "open")
    equal(c.q.does("remove-fd", fdset_id=1), {}, "answer")
    c.sets_are((1, []))
    equal(c.q.does("remove-fd", fdset_id=1), {}, "again: nothing to do")
    number = c.number("a")
    c.refused(f"File descriptor named 'fdset-id:1, fd:{number}' not found", "remove-fd",
              fdset_id=1, fd=number)
    equal(c.open("/dev/fdset/1", node="other"), "Permission denied", "open of an empty set")
    equal(c.size(), 65536, "what is open goes on")
    c.close()
    c.sets_are()


@row("1.3", "a set that is only open takes new members", running=True)
def _(c):
    c.add(fdset_id=1)
    c.open("/dev/fdset/1")
    c.q.does("remove-fd", fdset_id=1)
    c.add(fdset_id=1)
    c.sets_are((1, ["b"]))
    c.close()
    c.sets_are((1, ["b"]))


@row("1.3", "a set that is only open has its number", running=True)
def _(c):
    c.add(fdset_id=0)
    c.open("/dev/fdset/0")
    c.q.does("remove-fd", fdset_id=0)
    equal(c.add()[0], 1, "set")


# ------------------------------------------------------------ 1.4 query-fdsets


@row("1.4", "nothing there")
def _(c):
    equal(c.q.does("query-fdsets"), [], "answer")


@row("1.4", "sets by descending number, members oldest first", running=True)
def _(c):
    for number in (5, 1, 3, 1, 5, 1):
        c.add(fdset_id=number)
    c.sets_are((5, ["a", "e"]), (3, ["c"]), (1, ["b", "d", "f"]))
    c.q.does("remove-fd", fdset_id=1, fd=c.number("d"))
    c.q.does("remove-fd", fdset_id=3)
    c.add(fdset_id=1)
    c.add(fdset_id=3)
    c.sets_are((5, ["a", "e"]), (3, ["h"]), (1, ["b", "f", "g"]))


@row("1.4", "all monitors see the same", running=True, monitors=2)
def _(c):
    other = c.world.client(1)
    c.add(fdset_id=1, client=other)
    c.add(fdset_id=1)
    c.sets_are((1, ["a", "b"]))
    c.sets_are((1, ["a", "b"]), client=other)
    other.does("remove-fd", fdset_id=1)
    c.sets_are()


@row("1.4", "a descriptor waits for its own monitor only", monitors=2)
def _(c):
    other = c.world.client(1)
    c.q.does("query-status", [image("disk")])
    equal(other.refuses("add-fd"), NO_FD, "error")
    c.q.does("add-fd", fdset_id=1)


# -------------------------------------------------------------------- 1.5 open

GONE, DENIED, INVALID = "No such file or directory", "Permission denied", "Invalid argument"
RO, RW, WO = os.O_RDONLY, os.O_RDWR, os.O_WRONLY

OPENS = [
    # members of set 1, path, whether read-only, the answer
    ([RW], "/dev/fdset/1", False, "done"),
    ([RO], "/dev/fdset/1", True, "done"),
    ([RW], "/dev/fdset/1", True, DENIED),
    ([RO], "/dev/fdset/1", False, DENIED),
    ([WO], "/dev/fdset/1", False, DENIED),
    ([WO], "/dev/fdset/1", True, DENIED),
    ([RO, RW, RO], "/dev/fdset/1", False, "done"),
    ([RW, RO, RW], "/dev/fdset/1", True, "done"),
    ([RW], "/dev/fdset/2", False, GONE),
    ([RW | os.O_APPEND], "/dev/fdset/1", False, "done"),
    ([RW | os.O_NONBLOCK], "/dev/fdset/1", False, "done"),
    ([RW | os.O_SYNC], "/dev/fdset/1", False, INVALID),
    ([RW | os.O_DSYNC], "/dev/fdset/1", False, INVALID),
    ([RW, RW | os.O_SYNC], "/dev/fdset/1", False, INVALID),
    ([RW | os.O_SYNC, RW], "/dev/fdset/1", False, "done"),
    ([RW], "/dev/fdset/01", False, "done"),
    ([RW], "/dev/fdset/+1", False, "done"),
    ([RW], "/dev/fdset/ 1", False, "done"),
]
for bad in ("", "1x", "1/", "-1", "0x1", "2147483648", "99999999999999999999", "1.0"):
    # What is not parsed, QEMU's own way, is quoted as the last words.
    OPENS.append(([RW], "/dev/fdset/" + bad, False, "refused"))


def opens_row(members, path, read_only, wanted):
    flags = ", ".join(f"{member:#o}" for member in members)

    @row("1.5", f"open '{path}' {'read-only' if read_only else 'read-write'} from [{flags}]")
    def _(c):
        for member in members:
            c.add(flags=member, fdset_id=1)
        found = c.open(path, read_only)
        if wanted == "refused":
            equal(found == "done", False, "it was opened")
        else:
            equal(found, wanted, "open")


for entry in OPENS:
    opens_row(*entry)


@row("1.5", "among equals the newest")
def _(c):
    for number in (1, 2, 3):
        c.q.does("add-fd", [image(f"disk{number}", size=65536 * number)], fdset_id=1)
    equal(c.open("/dev/fdset/1"), "done", "open")
    equal(c.size(), 65536 * 3, "size")


@row("1.5", "the manager's O_APPEND")
def _(c):
    fd = image("disk", RW | os.O_APPEND)
    c.q.does("add-fd", [fd], fdset_id=1)
    equal(c.open("/dev/fdset/1"), "done", "open")
    equal(bool(status_flags(fd) & os.O_APPEND), False, "while it is open")
    c.close()
    equal(bool(status_flags(fd) & os.O_APPEND), c.differs("flags-restored", False, True), "after")


@row("1.5", "O_TRUNC cuts, O_APPEND does not")
def _(c):
    for append, size in ((True, 65536), (False, 0)):
        c.add(flags=WO, fdset_id=1)
        c.q.does("chardev-add", id="c", backend={"type": "file", "data":
                 {"out": "/dev/fdset/1", "append": append}})
        equal(os.path.getsize("disk"), size, f"append={append}")
        c.q.does("chardev-remove", id="c")


@row("1.5", "a random number generator's device")
def _(c):
    c.add(flags=RO, name="/dev/urandom", fdset_id=1)
    c.q.does("object-add", qom_type="rng-random", id="rng", filename="/dev/fdset/1")
    c.q.does("object-del", id="rng")


@row("1.5", "paths within other texts, and back")
def _(c):
    for number in (1, 2, 3):
        c.add(name=f"disk{number}", fdset_id=number)
        c.add(name=f"disk{number}", fdset_id=number, flags=RO)
    equal(c.q.does("human-monitor-command",
                   command_line="drive_add dummy file=/dev/fdset/1,if=none,id=one,format=raw"),
          "OK\r\n", "drive_add")
    equal(c.q.does("human-monitor-command", command_line="drive_add dummy if=none,id=two,"
                   "file=json:{\"driver\":\"raw\"\\,,\"file\":{\"driver\":\"file\"\\,,"
                   "\"filename\":\"/dev/fdset/2\"}}".replace("\\,,", ",,")), "OK\r\n", "json:")
    equal(c.q.ask('{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "three",'
                  '"filename": "\\/dev\\u002ffds\\u0065t/3"}}'), {"return": {}}, "escaped")
    text = c.q.does("human-monitor-command", command_line="info block -n")
    equal([n for n in (1, 2, 3) if f" /dev/fdset/{n} " in text.replace('"', " ")], [1, 2, 3], text)
    names = {node["image"]["filename"] for node in c.q.does("query-named-block-nodes")}
    equal({name for name in names if not name.startswith("json:")},
          {"/dev/fdset/1", "/dev/fdset/2", "/dev/fdset/3"}, "names")


# ----------------------------------------------------------------- 1.6 closing


@row("1.6", "members stay after the last close", running=True)
def _(c):
    c.add(fdset_id=1)
    for _ in range(3):
        equal(c.open("/dev/fdset/1"), "done", "open")
        c.close()
    c.sets_are((1, ["a"]))


@row("1.6", "a chardev's log is closed behind QEMU's back", running=True)
def _(c):
    c.add(flags=WO, fdset_id=1)
    c.q.does("chardev-add", id="c", backend={"type": "null", "data":
             {"logfile": "/dev/fdset/1", "logappend": True}})
    c.q.does("chardev-remove", id="c")
    c.q.does("remove-fd", fdset_id=1)
    c.sets_are((1, []))


# ------------------------------------------------------- 1.7 hanging up, 1.9


def reconnect(c, number=0):
    c.q.close()
    c.q = c.world.client(number)


@row("1.7", "the last monitor hangs up while the machine runs", running=True)
def _(c):
    c.add(fdset_id=1)
    reconnect(c)
    c.sets_are(*([(1, ["a"])] if SINCE_9_1 else []))


@row("1.7", "the last monitor hangs up while it does not run")
def _(c):
    c.add(fdset_id=1)
    reconnect(c)
    c.sets_are((1, ["a"]))


@row("1.7", "the last monitor hangs up and the set is open", running=True)
def _(c):
    c.add(fdset_id=1)
    c.open("/dev/fdset/1")
    reconnect(c)
    c.sets_are((1, ["a"]))


@row("1.7", "one of two monitors hangs up", running=True, monitors=2)
def _(c):
    other = c.world.client(1)
    c.add(fdset_id=1)
    c.q.close()
    c.sets_are((1, ["a"]), client=other)
    c.q = c.world.client(0)
    c.sets_are((1, ["a"]))


@row("1.9", "getfd, with its descriptor or after it")
def _(c):
    fd = image("disk")
    c.refused(NO_FD, "getfd", fdname="x")
    equal(c.q.does("getfd", [fd], fdname="x"), {}, "getfd")
    c.q.send(" ", [fd])
    c.q.does("query-fdsets")
    equal(c.q.does("getfd", fdname="y"), {}, "getfd")
    c.refused(NO_FD, "getfd", fdname="z")
    c.refused(NO_FD, "add-fd")
    for name in ("x", "y"):
        equal(c.q.does("closefd", fdname=name), {}, "closefd")
        c.refused(f"File descriptor named '{name}' not found", "closefd", fdname=name)
    equal(c.q.refuses("getfd", [fd], fdname="0x"),
          "Parameter 'fdname' expects a name not starting with a digit", "error")


@row("1.9", "getfd's name stays after hanging up")
def _(c):
    c.q.does("getfd", [image("disk")], fdname="x")
    reconnect(c)
    equal(c.q.does("closefd", fdname="x"), {}, "closefd")


# --------------------------------------------------------------- what is no JSON

for bad, complaint in [
        ("42 ", "QMP input must be a JSON object"),
        ("[]", "QMP input must be a JSON object"),
        ("\"x\"", "QMP input must be a JSON object"),
        ("true\n", "QMP input must be a JSON object"),
        ("foo\n", "JSON parse error, invalid keyword 'foo'"),
        (",", "JSON parse error, expecting value"),
        ("}", "JSON parse error, expecting value"),
        ("{]", f"JSON parse error, expecting {'key' if SINCE_11_1 else 'value'}"),
        ("@\n", "JSON parse error, stray '@'"),
        ("-a\n", "JSON parse error, stray '-a'"),
        ("01\n", "JSON parse error, stray '01'"),
        ("{\"a\":@bc\n", "JSON parse error, stray '@'"),
        ("{\x01\n", "JSON parse error, stray '\x01'"),
        (b"\xff\n", "JSON parse error, stray '\ufffd'"),
        ("{\"a\" \"b\"}\n", "JSON parse error, missing : in object pair"),
        ("{[[}}", f"JSON parse error, expecting {'key' if SINCE_11_1 else 'value'}"),
        ("{\"execute\": 1}", "QMP input member 'execute' must be a string"),
        ("{\"id\": 1}", "QMP input lacks member 'execute'"),
        ("{\"execute\": \"add-fd\", \"exec-oob\": \"add-fd\"}", None),
        ("{\"execute\": \"query-fdsets\", \"id\": [1 2]}", None),
        (b"{\"execute\": \"\xff\n", None),
]:
    def malformed_row(bad, complaint):
        @row("JSON", f"{bad!r}")
        def _(c):
            reply = c.q.ask(bad)
            equal(reply["error"]["class"], "GenericError", "class")
            if complaint and "JSON" in complaint and "QMP" not in complaint:
                json_error(reply["error"]["desc"], complaint, "error")
            elif complaint:
                equal(reply["error"]["desc"], complaint, "error")
            c.q.send("\n")
            equal(c.q.ask('{"execute": "query-fdsets", "id": 5}'), {"return": [], "id": 5}, "after it")
    malformed_row(bad, complaint)


# --------------------------------------------------------------------- running


def case(kind, function, running, monitors):
    def test():
        world = kind(running=running, monitors=monitors)
        try:
            function(Case(world))
            if world.proxied:
                world.nothing_inside()
        finally:
            world.end()
    return test


def all_explained():
    """Every difference is one that was seen above."""
    equal(set(DIFFERENCES) - used, set(), "differences that there are not")
    for name, why in DIFFERENCES.items():
        print(f"# differs: {name}: {why}")


cases = []
only = sys.argv[1] if len(sys.argv) > 1 else ""
for name, function, running, monitors in ROWS:
    if only in name:
        cases.append((f"{name} (QEMU)", case(Native, function, running, monitors)))
        cases.append((f"{name} (relay)", case(Proxied, function, running, monitors)))
if not only:
    cases.append(("every difference has its reason, and is one", all_explained))
run(cases)
