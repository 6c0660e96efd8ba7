# SPDX-License-Identifier: MIT
"""What passes through the relay, and in what order, with this program at both its
ends: it is the client and the emulator. The helper is real."""

import array
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time

from monitors import (MONITOR, PORTAL_AT, PORTAL_CLOSED, STRAY, Client, Failure, Peer, Proxied,
                      descriptors_of, end_of_file, equal, image, run, until)
from played import Played, events, message

GREETING = b'{"QMP": {"version": {}, "capabilities": ["oob"]}}\r\n'
DONE = b'{"return": {}}\r\n'
NO_FD = "No file descriptor supplied via SCM_RIGHTS"
OWN = '{"execute": "x-fdset-query-leases"}'


def portal_of(fd):
    """What a portal says: its flags, whether it is hidden, set, member, whether it is bound."""
    content = os.pread(fd, 64, 0)
    equal(content[:15], b"fdset-portal 1\n", "it is a portal")
    return dict(zip(("flags", "hidden", "set", "member", "bound"), struct.unpack("iIiII", content[16:36])))


class Emulator:
    """What QEMU has, whatever the monitor: its sets, as it keeps them itself."""

    def __init__(self, joint):
        self.joint = joint
        self.sets = {}  # number of a set: [number of the member, its descriptor, label]
        self.numbers = 100

    def tell(self, kind, number=0, portal=None, text=b"", fds=()):
        of_whom = portal or {"set": 0, "member": 0}
        data = struct.pack("IiiI176s", kind, number, of_whom["set"], of_whom["member"], text)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.joint.sendmsg([data], rights)

    def close(self, member):
        self.tell(PORTAL_CLOSED, member[0], portal_of(member[1]))
        os.close(member[1])

    def add(self, fd, number=None, label=None):
        if number is None:
            number = next(n for n in range(1000) if n not in self.sets)
        self.numbers += 1
        self.sets.setdefault(number, []).append([self.numbers, fd, label])
        return {"fd": self.numbers, "fdset-id": number}

    def remove(self, number, which=None):
        gone = [m for m in self.sets.get(number, []) if which in (None, m[0])]
        for member in gone:
            self.sets[number].remove(member)
            self.close(member)
        if not self.sets.get(number):
            self.sets.pop(number, None)
        return gone

    def listing(self):
        return [{"fds": [{"fd": m[0]} | ({"opaque": m[2]} if m[2] is not None else {})
                         for m in self.sets[number]], "fdset-id": number}
                for number in sorted(self.sets, reverse=True)]


class Monitor(Peer):
    """QEMU's end of a monitor. The test says what it answers, or lets it answer as QEMU does."""

    def __init__(self, sock, emulator):
        super().__init__(sock)
        self.emulator = emulator
        self.pending = None

    def receive(self, size=65536):
        try:
            data, ancillary, _, _ = self.socket.recvmsg(size, socket.CMSG_SPACE(64))
        except (ConnectionResetError, BrokenPipeError):
            return b""
        fds = array.array("i")
        for _, _, content in ancillary:
            fds.frombytes(content[: len(content) // 4 * 4])
        if fds:
            self.drop()
            self.pending = fds[0]
        return data

    def drop(self):
        """Closes what was not used."""
        if self.pending is not None:
            try:
                self.emulator.close([-2, self.pending])
            except Failure:
                os.close(self.pending)
        self.pending = None

    def command(self):
        while True:
            try:
                found, end = json.JSONDecoder().raw_decode(self.buffer.decode().lstrip())
                self.buffer = self.buffer.decode().lstrip()[end:].encode()
                return found
            except ValueError:
                data = self.receive()
                if not data:
                    raise Failure(f"no command, but {self.buffer!r}") from None
                self.buffer += data

    def answers(self, command=None):
        """Does the next command as QEMU does, and returns it."""
        command = command or self.command()
        name, arguments, reply = command["execute"], command.get("arguments", {}), {}
        if name == "add-fd" and self.pending is None:
            reply["error"] = {"class": "GenericError", "desc": NO_FD}
        elif name == "add-fd":
            reply["return"] = self.emulator.add(self.pending, arguments.get("fdset-id"),
                                                arguments.get("opaque"))
            self.pending = None
        elif name == "remove-fd" and not self.emulator.remove(arguments["fdset-id"], arguments.get("fd")):
            reply["error"] = {"class": "GenericError", "desc": "not found"}
        else:
            reply["return"] = self.emulator.listing() if name == "query-fdsets" else {}
        if "id" in command:
            reply["id"] = command["id"]
        self.send(json.dumps(reply) + "\r\n")
        return command


class Bench(Proxied):
    """A helper, the proxy, and what the preload library in an emulator would tell it."""

    def begin(self):
        self.helper_start()
        self.proxy_start()
        self.qemu = Emulator(self.joint)

    def proxy_restart(self, **more):
        self.programs.kill(self.proxy, signal.SIGTERM)
        self.joint.close()
        self.proxy_start(**more)
        self.qemu.joint = self.joint

    def both(self):
        """A client, and the emulator's end of its connection."""
        client, clients = socket.socketpair()
        emulator, emulators = socket.socketpair()
        self.qemu.tell(MONITOR, 7, fds=[clients.fileno(), emulators.fileno()])
        clients.close()
        emulators.close()
        return Client(client), Monitor(emulator, self.qemu)

    def negotiated(self, arguments=b""):
        client, emulator = self.both()
        emulator.send(GREETING)
        equal(client.line(), GREETING, "greeting")
        client.send(b'{"execute": "qmp_capabilities"' + arguments + b'}\n')
        emulator.line()
        emulator.send(DONE)
        equal(client.line(), DONE, "negotiation")
        return client, emulator

    def does(self, client, emulator, text, fds=()):
        """What the client gets for a command, which QEMU answers."""
        client.send(text, fds)
        emulator.answers()
        return client.message()

    def helper_lists(self):
        """The helper's sets: number of the set: [number and label of the members]."""
        sets = json.loads(self.fdsetctl("list", "--json"))["sets"]
        return {s["set"]: [(m["member"], m.get("opaque")) for m in s["members"]] for s in sets}


CASES = []


def case(function):
    def test():
        bench = Bench()
        try:
            function(bench)
        finally:
            bench.end()
    CASES.append((function.__name__.replace("_", " "), test))
    return function


def taken(peer):
    """The proxy has read all that this end sent."""
    until(lambda: unread(peer) == 0, "the proxy reads")


def exactly(peer, wanted, what):
    parts, length = [peer.buffer], len(peer.buffer)
    while length < len(wanted):
        parts.append(peer.receive())
        if not parts[-1]:
            break
        length += len(parts[-1])
    found = b"".join(parts)
    if len(wanted) > 1 << 20:
        equal(found[:len(wanted)] == wanted, True, what)
    equal(found[:len(wanted)], wanted, what)
    peer.buffer = found[len(wanted):]


def receive_fds(peer):
    data, ancillary, _, _ = peer.socket.recvmsg(65536, socket.CMSG_SPACE(64))
    fds = array.array("i")
    for _, _, content in ancillary:
        fds.frombytes(content[: len(content) // 4 * 4])
    return data, list(fds)


# ------------------------------------------------------------------- bytes

# None names a set, which would wait for an answer to those before.
COMMANDS = [
    b'{"execute":"a"}\n',
    b'{"execute":"a"}{"execute":"b"}\r\n',
    b'  { "execute" : "a" ,\r\n\t"arguments" : { "x" : [ 1.50 , -0 , 1E9 , true ] } }\n\n\n',
    b"{'execute': 'a\\'b', 'id': \"'\"}\n",
    '{"execute": "ä€😀"}\n'.encode(),
    b'{"execute": 1}{"id": 2}{}\n',
    b'{"execute" "a"}{,}{"execute": "add-fd" : 1}{[[}}\n',
    b'{"execute": "' + b"x" * 300000 + b'"}\n',
]
NAMING = [
    b'{"arguments": {"\\u0061": "\\/dev\\/fdset", "b": "/dev/fdset"}, "execute": "c", "id": [1]}\n',
    b'{"execute":"/dev/fdset/0","id":"/dev/fdset/1",  "arguments":{"f":"//dev/fdset/2","/dev/fdset/3":'
    b'["a /dev/fdset/4",\'/dev/fdset/5\',{"x":"file:\\/dev\\u002Ffdset/6"}]}, "foo":"/dev/fdset/7"}\n',
    b'{"execute": "human-monitor-command", "arguments": {"command-line": "change cd /dev/fdset/1"}}\n',
]


@case
def commands_pass_byte_for_byte(bench):
    client, emulator = bench.negotiated()
    for command in COMMANDS:
        client.send(command)
        exactly(emulator, command, "command")
    small = b"".join(COMMANDS[:-1])
    for byte in small:
        client.send(bytes([byte]))
    exactly(emulator, small, "commands, a byte at a time")


@case
def commands_that_name_sets_pass_byte_for_byte(bench):
    client, emulator = bench.negotiated()
    for parts in (1, 1000):
        for command in NAMING:
            for at in range(0, len(command), parts):
                client.send(command[at : at + parts])
            exactly(emulator, command, "command")
            emulator.send(DONE)
            equal(client.line(), DONE, "reply")


MESSAGES = [
    b'{"return": {}}\r\n',
    b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "X", "data": {"a": "/dev/fdset/1"}}\r\n',
    b'{\r\n    "return": [\r\n        1\r\n    ]\r\n}\r\n',
    b'{"return": "//dev/fdse"}\r\n{"error": {"class": "GenericError", "desc": "//dev/fdset"}}\r\n',
    b'{"id": "//dev/fdset/1", "return": {}}\r\n',
    b'nonsense }{ \xff @\r\n\r\n[1]\r\n',
    b'{"return": {}}   {"return": {}}\r\n',
    b'{"return": "' + b"x" * 300000 + b'"}\r\n',
]


@case
def replies_and_events_pass_byte_for_byte(bench):
    client, emulator = bench.negotiated()
    for message in MESSAGES:
        emulator.send(message)
        exactly(client, message, "message")
    small = b"".join(MESSAGES[:-1])
    for byte in small:
        emulator.send(bytes([byte]))
    exactly(client, small, "messages, a byte at a time")


@case
def lists_of_commands(bench):
    client, emulator = bench.negotiated()
    client.send(b'{"execute": "query-commands", "id": 1}')
    exactly(emulator, b'{"execute": "query-commands", "id": 1}', "command")
    emulator.send(b'{"return": [{"name": "a"}, {"name": "add-fd"}], "id": 1}\r\n')
    names = [entry["name"] for entry in client.reply()["return"]]
    equal(names, ["a", "add-fd", "x-fdset-query-leases", "x-fdset-events"], "commands")
    client.send(b'{"execute": "query-commands"}\n')
    emulator.line()
    emulator.send(b'{"return": []}\r\n')
    equal(len(client.reply()["return"]), 2, "commands")
    client.send(b'{"execute": "query-commands"}\n')
    emulator.line()
    emulator.send(b'{"return": [{"name": "x-fdset-query-leases"}, {"name": "x-fdset-events"}]}\r\n')
    equal(len(client.reply()["return"]), 2, "commands that are there")
    client.send(b'{"execute": "query-commands"}\n')
    emulator.line()
    emulator.send(b'{"error": {}}\r\n')
    exactly(client, b'{"error": {}}\r\n', "error")


# ------------------------------------------------------------------- order


@case
def own_replies_wait_for_those_before(bench):
    client, emulator = bench.negotiated()
    client.send(b'{"execute": "slow", "id": 1}{"execute": "x-fdset-query-leases", "id": 2}'
                b'{"execute": "quick", "id": 3}{"execute": "x-fdset-query-leases", "id": 4}')
    exactly(emulator, b'{"execute": "slow", "id": 1}', "command")
    emulator.send(b'{"event": "X"}\r\n{"return": {}, "id": 1}\r\n')
    equal([client.message() for _ in range(3)],
          [{"event": "X"}, {"return": {}, "id": 1}, {"return": [], "id": 2}], "replies")
    exactly(emulator, b'{"execute": "quick", "id": 3}', "command")
    emulator.send(b'{"error": {}, "id": 3}\r\n')
    equal([client.message() for _ in range(2)], [{"error": {}, "id": 3}, {"return": [], "id": 4}],
          "replies")


@case
def what_comes_after_an_own_command_waits_for_it(bench):
    """The helper does not answer: the emulator is not asked, but by another client."""
    client, emulator = bench.negotiated()
    other, other_emulator = bench.negotiated()
    bench.helper.send_signal(signal.SIGSTOP)
    client.send(b'{"execute": "x-fdset-query-leases", "id": 1}{"execute": "next", "id": 2}\n')
    taken(client)
    other.send(b'{"execute": "other"}\n')
    exactly(other_emulator, b'{"execute": "other"}\n', "command")
    other_emulator.send(DONE)
    equal(other.line(), DONE, "reply")
    equal(emulator.is_quiet(), True, "the emulator has heard nothing")
    emulator.send(b'{"event": "X"}\r\n')
    equal(client.message(), {"event": "X"}, "event")
    bench.helper.send_signal(signal.SIGCONT)
    equal(client.message(), {"return": [], "id": 1}, "reply")
    exactly(emulator, b'{"execute": "next", "id": 2}\n', "command")


@case
def add_fd_reaches_the_helper_at_once_and_is_answered_in_its_turn(bench):
    """Where opens wait: the command before it may wait for what it brings."""
    bench.environment = {"FDSET_WAIT_MS": "60000"}
    bench.proxy_restart()
    client, emulator = bench.negotiated()
    client.send('{"execute": "slow", "id": 1}')
    exactly(emulator, b'{"execute": "slow", "id": 1}', "command")
    for number in (2, 3):
        client.send(f'{{"execute": "add-fd", "id": {number}, "arguments": {{"fdset-id": {number}}}}}',
                    [image("disk")])
    client.send('{"execute": "add-fd", "id": 4}{"execute": "next", "id": 5}')
    until(lambda: len(bench.helper_lists()) == 2, "both are added")
    equal([client.is_quiet(), emulator.is_quiet()], [True, True], "no reply, and nothing forwarded")
    emulator.send(b'{"event": "X"}\r\n{"return": {}, "id": 1}\r\n')
    equal([client.message().get("id") for _ in range(2)], [None, 1], "order")
    for number in (2, 3):
        equal(emulator.answers()["id"], number, "command")
        equal(client.message()["return"]["fdset-id"], number, "reply")
    emulator.answers()
    equal(client.message()["error"]["desc"], NO_FD, "error")
    exactly(emulator, b'{"execute": "next", "id": 5}', "command")
    equal({number: len(members) for number, members in bench.helper_lists().items()}, {2: 1, 3: 1},
          "members")


@case
def what_the_emulator_refuses_is_no_member(bench):
    """It was added at the helper at once, where opens wait."""
    bench.environment = {"FDSET_WAIT_MS": "60000"}
    bench.proxy_restart()
    client, emulator = bench.negotiated()
    client.send('{"execute": "add-fd", "arguments": {"fdset-id": 2, "foo": 1}}', [image("disk")])
    emulator.command()
    emulator.send('{"error": {"class": "GenericError", "desc": "no"}}\r\n')
    equal(client.message()["error"]["desc"], "no", "error")
    until(lambda: bench.helper_lists() == {}, "it is removed")


STRAY_ERROR = b'{"error": {"class": "GenericError", "desc": "JSON parse error, stray \'@\'"}}\r\n'
NO_OBJECT = b'{"error": {"class": "GenericError", "desc": "QMP input must be a JSON object"}}\r\n'


@case
def malformed_is_the_emulators_to_answer_in_its_turn(bench):
    """With an end of line, at which the emulator begins anew; what it would skip is left out."""
    client, emulator = bench.negotiated()
    client.send(b'{"execute": "slow"}\n@ skipped{"execute": "x-fdset-query-leases", "id": 1}[]{"execute": "next"}\n')
    exactly(emulator, b'{"execute": "slow"}\n@\n', "command, and what is none")
    taken(client)
    equal([client.is_quiet(), emulator.is_quiet()], [True, True], "what comes after waits")
    emulator.send(DONE)
    equal(client.line(), DONE, "reply")
    equal(client.is_quiet(), True, "our own waits for the error before it")
    emulator.send(STRAY_ERROR)
    equal(client.line(), STRAY_ERROR, "error")
    equal(client.message(), {"return": [], "id": 1}, "our own")
    exactly(emulator, b'[]\n{"execute": "next"}\n', "the next")
    emulator.send(NO_OBJECT + DONE)
    equal([client.line(), client.line()], [NO_OBJECT, DONE], "error and reply")


@case
def before_the_negotiation_all_bytes_pass(bench):
    """It may be no monitor."""
    client, emulator = bench.both()
    client.send("@[]skipped x-fdset-events {}\0")
    exactly(emulator, b"@[]skipped x-fdset-events {}\0", "what is none")
    equal(client.is_quiet(), True, "nothing is said")
    emulator.send(GREETING + STRAY_ERROR + NO_OBJECT)
    equal([client.line() for _ in range(3)], [GREETING, STRAY_ERROR, NO_OBJECT], "greeting, errors")


@case
def own_replies_do_not_come_into_the_midst_of_others(bench):
    client, emulator = bench.negotiated()
    other, _ = bench.negotiated()
    for begin, end in ((b'{"event"', b': "X"}\r\n'), (b'{"event": "X"}', b"\r\n"),
                       (b'{"event": "X"}\r', b"\n"), (b'{"event": "X\\', b'""}\r\n')):
        emulator.send(begin)
        taken(emulator)
        client.send(b'{"execute": "x-fdset-query-leases", "id": 1}\n')
        taken(client)
        # The helper is asked one after another: it has answered the first as well.
        equal(other.ask('{"execute": "x-fdset-query-leases"}'), {"return": []}, "other")
        emulator.send(end)
        equal([client.line(), client.line()], [begin + end, b'{"return": [], "id": 1}\r\n'], "lines")
        exactly(emulator, b"", "nothing")
        emulator.buffer = b""


@case
def out_of_band_overtakes(bench):
    client, emulator = bench.negotiated(b', "arguments": {"enable": ["oob"]}')
    client.send(b'{"execute": "slow", "id": 1}')
    exactly(emulator, b'{"execute": "slow", "id": 1}', "command")
    client.send(b'{"execute": "x-fdset-query-leases", "id": 2}{"execute": "next", "id": 3}'
                b'{"exec-oob": "quick", "id": {"a": 1.0, "b": "x"}, "arguments": {"f": "/dev/fdset/1"}}')
    exactly(emulator, b'{"exec-oob": "quick", "id": {"a": 1.0, "b": "x"}, "arguments": {"f": "/dev/fdset/1"}}',
            "out of band")
    emulator.send(b'{"return": {}, "id": {"b": "x", "a": 1.0}}\r\n')
    equal(client.message()["id"], {"a": 1.0, "b": "x"}, "reply out of band")
    equal(emulator.is_quiet(), True, "the others wait still")
    emulator.send(b'{"return": {}, "id": 1}\r\n')
    equal([client.message()["id"] for _ in range(2)], [1, 2], "replies")
    exactly(emulator, b'{"execute": "next", "id": 3}', "command")


@case
def out_of_band_that_was_not_negotiated_keeps_its_place(bench):
    client, emulator = bench.negotiated()
    client.send(b'{"execute": "slow"}{"execute": "x-fdset-query-leases", "id": 2}{"exec-oob": "quick"}')
    exactly(emulator, b'{"execute": "slow"}', "command")
    emulator.send(DONE)
    equal([client.message(), client.message()], [{"return": {}}, {"return": [], "id": 2}], "replies")
    exactly(emulator, b'{"exec-oob": "quick"}', "command")


@case
def a_failed_negotiation_is_none(bench):
    client, emulator = bench.both()
    emulator.send(GREETING)
    client.line()
    client.send(b'{"execute": "qmp_capabilities", "arguments": {"enable": ["x"]}}\n{"execute": "x-fdset-query-leases"}\n')
    emulator.line()
    emulator.send(b'{"error": {"class": "GenericError", "desc": "no"}}\r\n')
    client.line()
    exactly(emulator, b'{"execute": "x-fdset-query-leases"}\n', "it is the emulator's to say no")


# ------------------------------------------------------------- descriptors


@case
def descriptors_go_with_getfd_alone(bench):
    client, emulator = bench.negotiated()
    fd = image("disk")
    client.send('{"execute": "a"}', [fd])
    equal(receive_fds(emulator), (b'{"execute": "a"}', []), "command")
    emulator.send(DONE)
    client.line()
    client.send('{"execute": "getfd"}{"execute": "getfd"}')
    data, fds = receive_fds(emulator)
    emulator.buffer += data
    exactly(emulator, b'{"execute": "getfd"}{"execute": "getfd"}', "commands")
    equal([os.path.sameopenfile(fds[0], fd), len(fds)], [True, 1], "descriptor")


@case
def no_reply_has_descriptors(bench):
    client, emulator = bench.negotiated()
    fds = [image("one"), image("two")]
    number = descriptors_of(bench.proxy)
    emulator.send(b'{"return": {"x": "//dev/fdset/1"}}\r\n', fds)
    data, found = receive_fds(client)
    equal(data, b'{"return": {"x": "//dev/fdset/1"}}\r\n', "reply")
    equal([found, descriptors_of(bench.proxy)], [[], number], "descriptors")


@case
def the_emulator_gets_a_portal_and_the_helper_the_descriptor(bench):
    client, emulator = bench.negotiated()
    fd = image("disk", os.O_RDWR | os.O_APPEND)
    sent = b'{"execute":"add-fd" , "arguments": {"opaque": "x",  "fdset-id": 4}, "id": [1]}'
    client.send(sent, [fd])
    data, fds = receive_fds(emulator)
    equal(data, sent, "command")
    portal = portal_of(fds[0])
    equal([portal["flags"], portal["bound"]], [fcntl.fcntl(fd, fcntl.F_GETFL), 0], "portal")
    equal(bench.helper_lists(), {}, "nothing before the emulator has it")
    emulator.send(b'{"return": {"fd": 33, "fdset-id": 4}, "id": [ 1 ]}\r\n')
    equal(client.line(), b'{"return": {"fd": 33, "fdset-id": 4}, "id": [ 1 ]}\r\n', "reply")
    ((member, label),) = bench.helper_lists()[4]
    equal(label, "x", "label")
    portal = portal_of(fds[0])
    equal([portal[key] for key in ("set", "member", "bound", "hidden")], [4, member, 1, 0], "portal")


@case
def what_comes_after_an_add_fd_waits_for_the_helper(bench):
    client, emulator = bench.negotiated()
    client.send('{"execute": "add-fd"}{"execute": "next"}', [image("disk")])
    emulator.command()
    bench.helper.send_signal(signal.SIGSTOP)
    emulator.send('{"return": {"fd": 33, "fdset-id": 0}}\r\n{"event": "X"}\r\n')
    equal(client.message(), {"event": "X"}, "event")
    taken(emulator)
    equal([client.is_quiet(), emulator.is_quiet()], [True, True], "reply and next command wait")
    bench.helper.send_signal(signal.SIGCONT)
    equal(client.message(), {"return": {"fd": 33, "fdset-id": 0}}, "reply")
    exactly(emulator, b'{"execute": "next"}', "command")


@case
def what_the_helper_refuses_is_taken_out_of_the_emulator_again(bench):
    client, emulator = bench.negotiated()
    client.send('{"execute": "add-fd", "arguments": {"fdset-id": 4}, "id": 7}{"execute": "next"}',
                [os.open(".", os.O_RDONLY)])
    emulator.answers()
    equal(bench.qemu.listing(), [{"fdset-id": 4, "fds": [{"fd": 101}]}], "it has it")
    equal(emulator.answers()["arguments"], {"fdset-id": 4, "fd": 101}, "removed")
    equal(bench.qemu.listing(), [], "it has it not")
    reply = client.message()
    equal([reply["id"], "is of a directory" in reply["error"]["desc"]], [7, True], f"{reply}")
    equal(emulator.command(), {"execute": "next"}, "command")


@case
def a_descriptor_that_waits_in_the_emulator_becomes_no_member(bench):
    """QEMU keeps one of a getfd that it refuses for the next add-fd."""
    client, emulator = bench.negotiated()
    client.send('{"execute": "getfd"}', [image("disk")])
    emulator.command()
    emulator.send('{"error": {"class": "GenericError", "desc": "Parameter \'fdname\' is missing"}}\r\n')
    client.message()
    client.send('{"execute": "add-fd"}')
    emulator.command()
    emulator.send('{"return": {"fd": 33, "fdset-id": 0}}\r\n')
    equal(emulator.command(), {"execute": "remove-fd", "arguments": {"fdset-id": 0, "fd": 33},
                               "id": "fdset-qemu"}, "removed")
    emulator.send(DONE)
    equal(client.message()["error"]["desc"], NO_FD, "error")


@case
def a_refused_descriptor_waits_where_the_emulator_keeps_it(bench):
    client, emulator = bench.negotiated()
    error = '{"error": {"class": "GenericError", "desc": "no"}}\r\n'
    client.send('{"execute": "add-fd", "arguments": {"fdset-id": "1"}}', [image("disk")])
    emulator.command()
    emulator.send(error)
    client.message()
    client.send('{"execute": "add-fd", "arguments": {"fdset-id": -1}}')
    emulator.command()
    emulator.drop()
    emulator.send(error)
    client.message()
    equal(bench.does(client, emulator, '{"execute": "add-fd"}')["error"]["desc"], NO_FD, "used up")


@case
def pipelined_descriptors_each_go_with_their_command(bench):
    """In QEMU the second would take the place of the first."""
    client, emulator = bench.negotiated()
    client.send('{"execute": "slow"}')
    exactly(emulator, b'{"execute": "slow"}', "command")
    for number in range(4):
        client.send('{"execute": "add-fd", "arguments": {"fdset-id": %d}}' % number,
                    [image(f"disk{number}")])
    emulator.send(DONE)
    client.line()
    for number in range(4):
        emulator.answers()
        equal(client.message()["return"]["fdset-id"], number, "set")
    equal(len(bench.helper_lists()), 4, "sets")


@case
def a_descriptor_that_got_lost_is_told(bench):
    bench.proxy_restart()
    client, emulator = bench.negotiated()
    number = descriptors_of(bench.proxy)
    resource.prlimit(bench.proxy.pid, resource.RLIMIT_NOFILE, (number + 4, number + 4))
    client.send('{"execute": "add-fd"}', [image("disk")] * 20)
    text = client.message()["error"]["desc"]
    if "lost on its way" not in text:
        raise Failure(text)
    equal(descriptors_of(bench.proxy), number, "descriptors")
    equal(bench.does(client, emulator, '{"execute": "add-fd"}')["error"]["desc"], NO_FD, "error")
    added = bench.does(client, emulator, '{"execute": "add-fd"}', [image("disk")])
    equal(added["return"]["fdset-id"], 0, "set")


# ---------------------------------------------------------------- what is removed


ADD = '{"execute": "add-fd", "arguments": {"fdset-id": 1}}'


@case
def what_the_emulator_closes_is_removed_at_the_helper(bench):
    """By command, and by itself, as QEMU up to 9.0 does when the last monitor hangs up."""
    client, emulator = bench.negotiated()
    read, write = os.pipe()
    member = bench.does(client, emulator, ADD, [write])["return"]["fd"]
    os.close(write)
    equal(bench.does(client, emulator, '{"execute": "remove-fd", "arguments": {"fdset-id": 1, "fd": %d}}'
                     % member), {"return": {}}, "removed")
    end_of_file(read)
    equal(bench.helper_lists(), {}, "at the answer it is gone")
    bench.does(client, emulator, ADD, [image("disk")])
    bench.does(client, emulator, ADD, [image("other")])
    equal(len(bench.helper_lists()[1]), 2, "members")
    bench.qemu.remove(1)
    until(lambda: bench.helper_lists() == {}, "they are removed")


@case
def what_the_emulator_keeps_is_removed_all_the_same(bench):
    """QEMU up to 9.0, while the machine does not run."""
    client, emulator = bench.negotiated()
    kept = bench.does(client, emulator, ADD, [image("disk")])["return"]["fd"]
    client.send('{"execute": "remove-fd", "arguments": {"fdset-id": 1}}')
    emulator.command()
    emulator.send(DONE)
    equal(client.line(), DONE, "reply")
    equal(bench.helper_lists(), {}, "sets")
    equal(bench.does(client, emulator, '{"execute": "query-fdsets"}'), {"return": []}, "what is shown")
    other = bench.does(client, emulator, ADD, [image("disk")])["return"]["fd"]
    shown = [{"fds": [{"fd": other}], "fdset-id": 1}]
    equal(bench.does(client, emulator, '{"execute": "query-fdsets"}'), {"return": shown}, "what is shown")
    bench.qemu.remove(1, kept)
    bench.does(client, emulator, '{"execute": "query-fdsets"}')
    equal(len(bench.helper_lists()[1]), 1, "its close does not touch the other")


@case
def a_removal_that_is_refused_removes_nothing(bench):
    client, emulator = bench.negotiated()
    bench.does(client, emulator, ADD, [image("disk")])
    equal("error" in bench.does(client, emulator, '{"execute": "remove-fd", "arguments": '
                                '{"fdset-id": 1, "fd": 5}}'), True, "refused")
    equal(len(bench.helper_lists()[1]), 1, "members")


# ------------------------------------------------------ what others add and remove


def member_add(bench, number, label="x", *more):
    open("disk", "wb").close()
    bench.fdsetctl("add", "--set", str(number), "-o", label, *more, "disk")


@case
def what_others_add_is_put_into_the_emulator(bench):
    """Before the negotiation, after it, and right before a command that may name it."""
    member_add(bench, 3, "first")
    client, emulator = bench.both()
    emulator.send(GREETING)
    client.line()
    client.send(b'{"execute": "qmp_capabilities"}{"execute": "query-fdsets"}')
    emulator.answers()
    equal(client.line(), DONE, "negotiation")
    for label, more, mode in (("first", [], os.O_RDONLY), ("second", ["-w"], os.O_RDWR)):
        command = emulator.command()
        equal([command["execute"], command["arguments"]], ["add-fd", {"fdset-id": 3, "opaque": label}],
              "put in")
        portal = portal_of(emulator.pending)
        member = dict(map(reversed, bench.helper_lists()[3]))[label]
        equal([portal[key] for key in ("set", "member", "bound", "hidden")], [3, member, 1, 0], "portal")
        equal(portal["flags"] & os.O_ACCMODE, mode, "mode")
        emulator.answers(command)
        emulator.answers()
        shown = [{"fds": [{"fd": 101, "opaque": "first"}], "fdset-id": 3}]
        if label == "first":
            equal(client.message(), {"return": shown}, "shown")
            member_add(bench, 3, "second", "-w")
            client.send('{"execute": "query-fdsets"}')
    equal(len(client.message()["return"][0]["fds"]), 2, "shown")
    member_add(bench, 4, "third")
    equal(emulator.answers()["arguments"], {"fdset-id": 4, "opaque": "third"}, "put in by itself")


@case
def what_others_remove_is_taken_out_of_the_emulator(bench):
    client, emulator = bench.negotiated()
    bench.does(client, emulator, ADD, [image("disk")])
    added = bench.does(client, emulator, ADD, [image("disk")])["return"]["fd"]
    bench.fdsetctl("remove", "1", str(bench.helper_lists()[1][1][0]))
    equal(emulator.answers()["arguments"], {"fdset-id": 1, "fd": added}, "taken out")
    equal(len(bench.helper_lists()[1]), 1, "the other is there")
    member_add(bench, 2)
    emulator.answers()
    bench.fdsetctl("remove", "2")
    client.send('{"execute": "query-fdsets"}')
    equal(emulator.answers()["execute"], "remove-fd", "before the command")
    emulator.answers()
    equal([s["fdset-id"] for s in client.message()["return"]], [1], "shown")


@case
def a_link_that_ends_leaves_the_rest_to_another(bench):
    client, emulator = bench.negotiated()
    member_add(bench, 3)
    emulator.command()
    other, other_emulator = bench.negotiated()
    emulator.close()
    equal(client.line(), b"", "the end")
    equal(other_emulator.answers()["arguments"], {"fdset-id": 3, "opaque": "x"}, "put in")
    other.send('{"execute": "query-fdsets"}')
    other_emulator.answers()
    equal(len(other.message()["return"]), 1, "shown")


@case
def members_of_the_command_line_are_known(bench):
    member_add(bench, 3)
    member = bench.helper_lists()[3][0][0]
    bench.qemu.tell(PORTAL_AT, 12, {"set": 3, "member": member})
    client, emulator = bench.negotiated()
    equal(bench.does(client, emulator, '{"execute": "query-fdsets"}'), {"return": []}, "nothing is put in")
    bench.fdsetctl("remove", "3")
    equal(emulator.command()["arguments"], {"fdset-id": 3, "fd": 12}, "taken out")


@case
def a_member_that_serves_others_modes_too(bench):
    client, emulator = bench.negotiated()
    member_add(bench, 3, "x", "-w", "--serves-read-only")
    equal(emulator.answers()["arguments"], {"fdset-id": 3, "opaque": "x"}, "the member")
    command = emulator.command()
    portal = portal_of(emulator.pending)
    equal([portal[key] for key in ("flags", "set", "member", "hidden")], [os.O_RDONLY, 3, 0, 1], "hidden")
    emulator.answers(command)
    shown = [{"fds": [{"fd": 101, "opaque": "x"}], "fdset-id": 3}]
    equal(bench.does(client, emulator, '{"execute": "query-fdsets"}'), {"return": shown}, "shown")


@case
def where_opens_wait_sets_that_are_named_can_be_opened(bench):
    bench.environment = {"FDSET_WAIT_MS": "60000"}
    bench.proxy_restart()
    client, emulator = bench.negotiated()
    client.send('{"execute": "a", "arguments": {"x": "/dev/fdset/7,b=\\/dev\\/fdset\\/8", "y": "/dev/fdset/7"}}')
    flags = []
    for number in (7, 7, 7, 7, 8, 8, 8, 8):
        command = emulator.command()
        equal(command["arguments"], {"fdset-id": number}, "set")
        portal = portal_of(emulator.pending)
        equal([portal[key] for key in ("set", "member", "bound", "hidden")], [number, 0, 1, 1], "portal")
        flags.append(portal["flags"])
        emulator.answers(command)
    equal(sorted(flags[:4]), sorted([os.O_RDONLY, os.O_RDWR, os.O_RDONLY | os.O_DIRECT,
                                     os.O_RDWR | os.O_DIRECT]), "modes")
    equal(emulator.answers()["execute"], "a", "the command")
    client.line()
    equal(bench.does(client, emulator, '{"execute": "query-fdsets"}'), {"return": []}, "shown")
    client.send('{"execute": "a", "arguments": {"x": "/dev/fdset/7"}}')
    equal(emulator.answers()["execute"], "a", "once is enough")


@case
def a_stray_is_told_to_those_who_ask(bench):
    client, _ = bench.negotiated()
    client.send('{"execute": "x-fdset-events", "arguments": {"enable": true}}')
    equal(client.message(), {"return": {}}, "reply")
    for count in (1, 2):
        bench.qemu.tell(STRAY, 12, text=b"a file came in")
        found = client.message()
        equal([found["event"], found["data"]], ["FDSET_STRAY", {"what": "a file came in", "count": count}],
              "event")


@case
def nonsense_on_the_joint_harms_nobody(bench):
    client, emulator = bench.negotiated()
    for data in (b"x", b"\0" * 192, b"\xff" * 192, struct.pack("IiiI176s", MONITOR, 1, 2, 3, b""),
                 struct.pack("IiiI176s", PORTAL_CLOSED, -1, -1, 77, b"\xff" * 176)):
        bench.joint.send(data)
        bench.joint.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))])
    equal(bench.does(client, emulator, '{"execute": "query-fdsets"}'), {"return": []}, "reply")


# ------------------------------------------------------------ back-pressure


def unread(peer):
    """Bytes that this end sent and the proxy has not read."""
    size = fcntl.ioctl(peer.socket.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    return struct.unpack("i", size)[0]


def send_until_full(peer, line, most):
    """Sends lines until the other end has taken no more for a while, but not more than
    `most` bytes; returns how many, and what is left of a line."""
    total = 0
    peer.socket.setblocking(False)
    while total < most:
        try:
            total += peer.socket.send(line[total % len(line):])
        except BlockingIOError:
            before = unread(peer)
            time.sleep(0.1)
            if before == unread(peer):
                break
    peer.socket.settimeout(60)
    return total, line[total % len(line):] if total % len(line) else b""


@case
def an_emulator_that_does_not_read_stops_its_client_alone(bench):
    client, emulator = bench.negotiated()
    other, other_emulator = bench.negotiated()
    command = b'{"execute": "a", "arguments": {"x": "' + b"x" * 100000 + b'"}}\n'
    sent, rest = send_until_full(client, command, 64 << 20)
    equal(sent < 16 << 20, True, f"{sent} bytes were taken")
    other.send(b'{"execute": "other"}\n')
    exactly(other_emulator, b'{"execute": "other"}\n', "command")
    other_emulator.send(DONE)
    equal(other.line(), DONE, "reply")
    sender = threading.Thread(target=client.send, args=(rest + command,), daemon=True)
    sender.start()
    for _ in range((sent + len(rest) + len(command)) // len(command)):
        equal(emulator.line() == command, True, "the command as it was sent")
        emulator.send(DONE)
        equal(client.line(), DONE, "reply")
    sender.join()


@case
def a_client_that_does_not_read_stops_its_emulator_alone(bench):
    client, emulator = bench.negotiated()
    other, other_emulator = bench.negotiated()
    event = b'{"event": "' + b"x" * 1000 + b'"}\r\n'
    sent, rest = send_until_full(emulator, event, 64 << 20)
    equal(sent < 16 << 20, True, f"{sent} bytes were taken")
    other_emulator.send(event)
    equal(other.line(), event, "event")
    sender = threading.Thread(target=emulator.send, args=(rest + event,), daemon=True)
    sender.start()
    for _ in range((sent + len(rest) + len(event)) // len(event)):
        equal(client.line() == event, True, "the event as it was sent")
    sender.join()


@case
def a_client_that_does_not_read_keeps_no_member_from_the_emulator(bench):
    """Neither one that has been put to the emulator before, nor the next."""
    client, emulator = bench.negotiated()
    member_add(bench, 3)
    command = emulator.command()
    event = b'{"event": "' + b"x" * 1000 + b'"}\r\n'
    emulator.socket.settimeout(1)
    try:
        for _ in range(2000):
            emulator.socket.sendall(event)
    except socket.timeout:
        raise Failure("the proxy stops reading before its own command is answered") from None
    emulator.socket.settimeout(60)
    emulator.answers(command)
    send_until_full(emulator, event, 64 << 20)
    other, other_emulator = bench.negotiated()
    member_add(bench, 4)
    equal(other_emulator.answers()["arguments"], {"fdset-id": 4, "opaque": "x"}, "put in")
    equal(bench.does(other, other_emulator, '{"execute": "a"}'), {"return": {}}, "reply")


@case
def a_client_that_does_not_read_its_replies_is_not_read(bench):
    client, _ = bench.negotiated()
    sent, _ = send_until_full(client, OWN.encode() + b"\n", 64 << 20)
    equal(sent < 16 << 20, True, f"{sent} bytes were taken")
    other, _ = bench.negotiated()
    equal(other.ask(OWN), {"return": []}, "another")


def peak_memory(process):
    """In bytes."""
    with open(f"/proc/{process.pid}/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))


@case
def a_command_that_is_too_large(bench):
    client, emulator = bench.negotiated()
    client.send(b'{"execute": "' + b"x" * (65 << 20))
    equal(client.message()["error"]["desc"], "JSON token size limit exceeded", "error")
    client.send(b"x" * (200 << 20) + b'"}\n{"execute": "next"}\n')
    exactly(emulator, b'{"execute": "next"}\n', "command")
    equal(peak_memory(bench.proxy) < 512 << 20, True, "memory")


@case
def an_own_command_that_is_too_large(bench):
    """Read into memory it would be many times as much."""
    client, emulator = bench.negotiated()
    for command in ("add-fd", "query-fdsets"):
        client.send(b'{"arguments": {"opaque": [' + b"[]," * (10 << 20) + b'1]}, "execute": "%s"}'
                    % command.encode())
        equal(client.message()["error"]["desc"], "JSON token size limit exceeded", "error")
    equal(peak_memory(bench.proxy) < 512 << 20, True, "memory")
    client.send('{"execute": "next"}')
    exactly(emulator, b'{"execute": "next"}', "command")


@case
def a_reply_that_is_too_large_passes(bench):
    client, emulator = bench.negotiated()
    client.send('{"execute": "large"}' + OWN)
    exactly(emulator, b'{"execute": "large"}', "command")
    reply = b'{"return": "' + b"//dev/fdset/ " * (10 << 20) + b'"}\r\n'
    sender = threading.Thread(target=emulator.send, args=(reply,), daemon=True)
    sender.start()
    exactly(client, reply, "reply")
    equal(client.message(), {"return": []}, "own reply")
    sender.join()


# ----------------------------------------------------------------- the ends


@case
def each_client_is_greeted_and_has_its_own_connection(bench):
    pairs = [bench.negotiated() for _ in range(5)]
    for number, (client, emulator) in enumerate(pairs):
        client.send(f'{{"execute": "a{number}"}}\n')
        exactly(emulator, f'{{"execute": "a{number}"}}\n'.encode(), "command")
        emulator.send(DONE)
        equal(client.line(), DONE, "reply")
    pairs[1][0].close()
    equal(pairs[1][1].line(), b"", "the emulator hears of it")
    pairs[2][1].close()
    equal(pairs[2][0].line(), b"", "the client hears of it")
    pairs[3][0].send('{"execute": "b"}\n')
    exactly(pairs[3][1], b'{"execute": "b"}\n', "the others go on")


@case
def last_words_reach_the_client(bench):
    client, emulator = bench.negotiated()
    client.send('{"execute": "quit"}\n' + OWN)
    emulator.line()
    emulator.send(DONE + b'{"event": "SHUTDOWN"}\r\n{"eve')
    emulator.close()
    equal([client.line() for _ in range(2)], [DONE, b'{"event": "SHUTDOWN"}\r\n'], "lines")
    rest = client.line()
    while rest in (b'{"return": []}\r\n', b'{"eve'):
        rest = client.line()
    equal(rest, b"", "end of file")


@case
def what_a_client_asked_before_it_hung_up_is_done(bench):
    client, emulator = bench.negotiated()
    client.send('{"execute": "add-fd", "arguments": {"fdset-id": 1}}', [image("disk")])
    client.send('{"execute": "a"}\n')
    client.socket.shutdown(socket.SHUT_WR)
    emulator.answers()
    exactly(emulator, b'{"execute": "a"}\n', "command")
    emulator.send(DONE)
    equal(client.message()["return"]["fdset-id"], 1, "add")
    equal(client.line(), DONE, "reply")
    equal(client.line(), b"", "end of file")
    equal(emulator.line(), b"", "end of file")


@case
def what_the_emulator_has_of_a_client_that_has_gone_is_a_member(bench):
    """As natively: the command was read before the hang-up."""
    client, emulator = bench.negotiated()
    client.send('{"execute": "add-fd", "arguments": {"fdset-id": 1}}', [image("disk")])
    command = emulator.command()
    client.close()
    emulator.answers(command)
    until(lambda: len(bench.helper_lists().get(1, [])) == 1, "it is a member")
    equal(emulator.line(), b"", "end of file")


@case
def what_the_helper_refuses_of_a_client_that_has_gone_is_taken_out(bench):
    client, emulator = bench.negotiated()
    other, other_emulator = bench.negotiated()
    client.send('{"execute": "add-fd", "arguments": {"fdset-id": 1}}', [os.open(".", os.O_RDONLY)])
    command = emulator.command()
    bench.helper.send_signal(signal.SIGSTOP)
    client.close()
    emulator.answers(command)
    equal(emulator.line(), b"", "end of file")
    bench.helper.send_signal(signal.SIGCONT)
    other_emulator.answers()
    equal(bench.qemu.listing(), [], "sets")
    equal(bench.does(other, other_emulator, '{"execute": "query-fdsets"}'), {"return": []}, "shown")


@case
def more_clients_than_descriptors(bench):
    """Who finds no room is hung up on, and nobody else."""
    bench.proxy_restart()
    client, emulator = bench.negotiated()
    number = descriptors_of(bench.proxy)
    resource.prlimit(bench.proxy.pid, resource.RLIMIT_NOFILE, (number + 5, number + 5))
    pairs = [bench.both() for _ in range(6)]
    said = []
    for other, other_emulator in pairs:
        try:
            other_emulator.send(GREETING)
        except BrokenPipeError:
            pass
        said.append(other.line())
        other.close()
        equal(other_emulator.line(), b"", "end of file")
    equal(set(said), {GREETING, b""}, "greeted or hung up on")
    until(lambda: descriptors_of(bench.proxy) == number, "the proxy closes all")
    equal(bench.does(client, emulator, '{"execute": "a"}'), {"return": {}}, "reply")


# Of 400 events each: a hundred times what one waits for who is served in its turn.
MANY_PACKETS = 20000


@case
def events_without_end_hold_up_nobody(bench):
    bench.programs.kill(bench.helper)
    os.unlink("manage")
    played = Played(os.path.abspath("manage"))
    bench.proxy_restart()
    client, _ = bench.negotiated()
    client.send(b'{"execute": "x-fdset-events", "arguments": {"enable": true}}')
    equal(client.reply(), {"return": {}}, "reply")
    packet, sent, done = events(*[message(f1=5, f3=7)] * 400), [0], threading.Event()

    def flood():
        while not done.is_set() and sent[0] < MANY_PACKETS:
            played.connections[0].send(packet)
            sent[0] += 1

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        equal("event" in client.message(), True, "events come")
        before = sent[0]
        bench.negotiated()
        until(lambda: sent[0] > before, "the flood goes on")
        equal(sent[0] < MANY_PACKETS, True, "served before the flood is over")
    finally:
        done.set()
        thread.join()
    played.end()


# ------------------------------------------------------- the beginning and the end


def it_is_confined(bench):
    """All of its threads, and there is nothing that it was not given or made."""
    bench.negotiated()
    process = f"/proc/{bench.proxy.pid}"
    for task in os.listdir(f"{process}/task"):
        with open(f"{process}/task/{task}/status", encoding="utf-8") as file:
            status = dict(line.split(":", 1) for line in file)
        for name, wanted in (("CapPrm", "0" * 16), ("CapEff", "0" * 16), ("NoNewPrivs", "1"),
                             ("Seccomp", "2")):
            equal(status[name].strip(), wanted, name)
    kinds = {os.readlink(f"{process}/fd/{number}").split(":")[0]
             for number in os.listdir(f"{process}/fd") if int(number) > 2}
    equal(kinds, {"socket", "anon_inode"}, "what it has open")


if not os.environ.get("FDSET_WITHOUT_SANDBOX"):  # in which no sanitizer can live
    case(it_is_confined)


@case
def it_ends_with_the_emulator(bench):
    client, emulator = bench.negotiated()
    bench.joint.close()
    emulator.send(b'{"event": "SHUTDOWN"}\r\n')
    emulator.close()
    equal([client.line(), client.line()], [b'{"event": "SHUTDOWN"}\r\n', b""], "last words")
    equal(bench.programs.wait(bench.proxy), 0, "status")


@case
def it_ends_with_an_emulator_that_never_began(bench):
    bench.joint.close()
    equal(bench.programs.wait(bench.proxy), 0, "status")


@case
def it_does_not_wait_for_ever_for_last_words(bench):
    client, _ = bench.negotiated()
    bench.joint.close()
    equal(bench.programs.wait(bench.proxy), 0, "status")
    equal(client.line(), b"", "end of file")


@case
def without_standard_descriptors(bench):
    bench.proxy_restart(preexec_fn=lambda: os.closerange(0, 3))
    for number in range(3):
        equal(os.readlink(f"/proc/{bench.proxy.pid}/fd/{number}"), "/dev/null", "descriptor")
    bench.negotiated()


@case
def without_a_helper_it_does_not_begin(bench):
    theirs, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    done = subprocess.run([os.environ["FDSET_RELAY"], "--manage", "nowhere", "--joint", str(theirs.fileno())],
                          pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    equal([done.returncode, b"nowhere: No such file" in done.stdout], [1, True], f"{done.stdout}")


only = sys.argv[1] if len(sys.argv) > 1 else ""
run([case for case in CASES if only in case[0]])
