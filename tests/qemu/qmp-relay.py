# SPDX-License-Identifier: MIT
"""What passes through the relay, and in what order, with this program at both its
ends: it is the client and the emulator. The helper is real."""

import array
import fcntl
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

from monitors import (Client, Failure, Peer, Proxied, connect, descriptors_of, equal, image,
                      listen, run, until)
from played import Played, events, message

GREETING = b'{"QMP": {"version": {}, "capabilities": ["oob"]}}\r\n'
DONE = b'{"return": {}}\r\n'


class Bench(Proxied):
    """A helper, the proxy, and a socket where the emulator would be."""

    def begin(self):
        self.helper_start()
        self.listener = listen("emulator0")
        self.listener.settimeout(60)
        self.proxy_start()

    def both(self):
        """A client, and the emulator's end of its connection."""
        client = self.connect()
        return client, Peer(self.listener.accept()[0])

    def negotiated(self, arguments=b""):
        client, emulator = self.both()
        emulator.send(GREETING)
        equal(client.line(), GREETING, "greeting")
        client.send(b'{"execute": "qmp_capabilities"' + arguments + b'}\n')
        emulator.line()
        emulator.send(DONE)
        equal(client.line(), DONE, "negotiation")
        return client, emulator


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

COMMANDS = [
    b'{"execute":"a"}\n',
    b'{"execute":"a"}{"execute":"b"}\r\n',
    b'  { "execute" : "a" ,\r\n\t"arguments" : { "x" : [ 1.50 , -0 , 1E9 , true ] } }\n\n\n',
    b'{"arguments": {"\\u0061": "\\/dev\\/fdse", "b": "/dev/fdset"}, "execute": "c", "id": [1]}\n',
    b"{'execute': 'a\\'b', 'id': \"'\"}\n",
    '{"execute": "ä€😀"}\n'.encode(),
    b'{"execute": 1}{"id": 2}{}\n',
    b'{"execute" "a"}{,}{"execute": "add-fd" : 1}{[[}}\n',
    b'{"exec-oob": "query-fdsets"}\n',
    b'{"execute": "' + b"x" * 300000 + b'"}\n',
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
def paths_are_rewritten_and_all_else_is_not(bench):
    client, emulator = bench.negotiated()
    client.send(b'{"execute":"/dev/fdset/0","id":"/dev/fdset/1",  "arguments":{"f":"/dev/fdset/2","/dev/fdset/3":'
                b'["a /dev/fdset/4",\'/dev/fdset/5\',{"x":"file:\\/dev\\u002Ffdset/6"}]}, "foo":"/dev/fdset/7"}\n')
    exactly(emulator, b'{"execute":"/dev/fdset/0","id":"/dev/fdset/1",  "arguments":{"f":"//dev/fdset/2","//dev/fdset/3":'
            b'["a //dev/fdset/4",\'//dev/fdset/5\',{"x":"file:\\//dev/fdset/6"}]}, "foo":"/dev/fdset/7"}\n', "command")
    emulator.send(b'{"return": {"f": "//dev/fdset/2", "g": ["///dev/fdset/3"]}, "id": "//dev/fdset/1"}\r\n')
    exactly(client, b'{"return": {"f": "/dev/fdset/2", "g": ["//dev/fdset/3"]}, "id": "//dev/fdset/1"}\r\n', "reply")
    emulator.send(b'{"event": "X", "data": {"f": "json:{\\"a\\": \\"//dev/fdset/2\\"}"}}\r\n')
    exactly(client, b'{"event": "X", "data": {"f": "json:{\\"a\\": \\"/dev/fdset/2\\"}"}}\r\n', "event")


@case
def a_monitor_for_people(bench):
    bench.programs.kill(bench.proxy, signal.SIGTERM)
    bench.proxy_start(pairs=["unix:proxy0", "hmp:unix:emulator0"])
    client, emulator = bench.both()
    emulator.send(b"(qemu) ")
    exactly(client, b"(qemu) ", "prompt")
    fd = image("disk")
    client.send("change cd /dev/fdset/1\ngetfd /dev/fds", [fd])
    data, fds = receive_fds(emulator)
    emulator.buffer += data
    exactly(emulator, b"change cd //dev/fdset/1\ngetfd ", "text")
    equal([os.path.sameopenfile(fds[0], fd)], [True], "descriptor")
    client.send("et/2\n/dev/")
    exactly(emulator, b"//dev/fdset/2\n", "text")
    emulator.send("a //dev/fdset/1 b/")
    exactly(client, b"a /dev/fdset/1 b", "text")
    emulator.close()
    equal(client.line(), b"/", "what was held, and the end")


@case
def lists_of_commands(bench):
    client, emulator = bench.negotiated()
    client.send(b'{"execute": "query-commands", "id": 1}')
    exactly(emulator, b'{"execute": "query-commands", "id": 1}', "command")
    emulator.send(b'{"return": [{"name": "a"}, {"name": "add-fd"}], "id": 1}\r\n')
    names = [entry["name"] for entry in client.reply()["return"]]
    equal(names, ["a", "add-fd", "remove-fd", "query-fdsets", "x-fdset-query-leases", "x-fdset-events"],
          "commands")
    client.send(b'{"execute": "query-commands"}\n')
    emulator.line()
    emulator.send(b'{"return": []}\r\n')
    equal(len(client.reply()["return"]), 5, "commands")
    client.send(b'{"execute": "query-commands"}\n')
    emulator.line()
    emulator.send(b'{"error": {}}\r\n')
    exactly(client, b'{"error": {}}\r\n', "error")


# ------------------------------------------------------------------- order


@case
def own_replies_wait_for_those_before(bench):
    client, emulator = bench.negotiated()
    client.send(b'{"execute": "slow", "id": 1}{"execute": "query-fdsets", "id": 2}'
                b'{"execute": "quick", "id": 3}{"execute": "query-fdsets", "id": 4}')
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
    client.send(b'{"execute": "query-fdsets", "id": 1}{"execute": "next", "id": 2}\n')
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
def add_fd_is_done_at_once_and_answered_in_its_turn(bench):
    """The command before it may wait for what it brings."""
    client, emulator = bench.negotiated()
    other, _ = bench.negotiated()
    client.send('{"execute": "slow", "id": 1}')
    exactly(emulator, b'{"execute": "slow", "id": 1}', "command")
    for number in (2, 3):
        client.send(f'{{"execute": "add-fd", "id": {number}, "arguments": {{"fdset-id": {number}}}}}',
                    [image("disk")])
    client.send('{"execute": "add-fd", "id": 4}{"execute": "next", "id": 5}{"execute": "query-fdsets", "id": 6}')
    until(lambda: len(other.ask('{"execute": "query-fdsets"}')["return"]) == 2, "both are added")
    equal([client.is_quiet(), emulator.is_quiet()], [True, True], "no reply, and nothing forwarded")
    emulator.send(b'{"event": "X"}\r\n{"return": {}, "id": 1}\r\n')
    replies = [client.message() for _ in range(5)]
    equal([reply.get("id") for reply in replies], [None, 1, 2, 3, 4], "order")
    equal(replies[-1]["error"]["desc"], "No file descriptor supplied via SCM_RIGHTS", "error")
    exactly(emulator, b'{"execute": "next", "id": 5}', "command")
    emulator.send(b'{"return": {}, "id": 5}\r\n')
    equal([client.message()["id"] for _ in range(2)], [5, 6], "order")


STRAY = b'{"error": {"class": "GenericError", "desc": "JSON parse error, stray \'@\'"}}\r\n'
NO_OBJECT = b'{"error": {"class": "GenericError", "desc": "QMP input must be a JSON object"}}\r\n'


@case
def malformed_is_the_emulators_to_answer_in_its_turn(bench):
    """With an end of line, at which the emulator begins anew; what it would skip is left out."""
    client, emulator = bench.negotiated()
    client.send(b'{"execute": "slow"}\n@ skipped{"execute": "query-fdsets", "id": 1}[]{"execute": "next"}\n')
    exactly(emulator, b'{"execute": "slow"}\n@\n', "command, and what is none")
    taken(client)
    equal([client.is_quiet(), emulator.is_quiet()], [True, True], "what comes after waits")
    emulator.send(DONE)
    equal(client.line(), DONE, "reply")
    equal(client.is_quiet(), True, "our own waits for the error before it")
    emulator.send(STRAY)
    equal(client.line(), STRAY, "error")
    equal(client.message(), {"return": [], "id": 1}, "our own")
    exactly(emulator, b'[]\n{"execute": "next"}\n', "the next")
    emulator.send(NO_OBJECT + DONE)
    equal([client.line(), client.line()], [NO_OBJECT, DONE], "error and reply")


@case
def nothing_is_said_before_the_greeting(bench):
    client, emulator = bench.both()
    client.send("@[]")
    exactly(emulator, b"@\n[]\n", "what is none")
    equal(client.is_quiet(), True, "nothing is said")
    emulator.send(GREETING + STRAY + NO_OBJECT)
    equal([client.line() for _ in range(3)], [GREETING, STRAY, NO_OBJECT], "greeting, errors")


@case
def own_replies_do_not_come_into_the_midst_of_others(bench):
    client, emulator = bench.negotiated()
    other, _ = bench.negotiated()
    for begin, end in ((b'{"event"', b': "X"}\r\n'), (b'{"event": "X"}', b"\r\n"),
                       (b'{"event": "X"}\r', b"\n"), (b'{"event": "X\\', b'""}\r\n')):
        emulator.send(begin)
        taken(emulator)
        client.send(b'{"execute": "query-fdsets", "id": 1}\n')
        taken(client)
        # The helper is asked one after another: it has answered the first as well.
        equal(other.ask('{"execute": "query-fdsets"}'), {"return": []}, "other")
        emulator.send(end)
        equal([client.line(), client.line()], [begin + end, b'{"return": [], "id": 1}\r\n'], "lines")
        exactly(emulator, b"", "nothing")
        emulator.buffer = b""


@case
def out_of_band_overtakes(bench):
    client, emulator = bench.negotiated(b', "arguments": {"enable": ["oob"]}')
    client.send(b'{"execute": "slow", "id": 1}')
    exactly(emulator, b'{"execute": "slow", "id": 1}', "command")
    client.send(b'{"execute": "query-fdsets", "id": 2}{"execute": "next", "id": 3}'
                b'{"exec-oob": "quick", "id": {"a": 1.0, "b": "x"}, "arguments": {"f": "/dev/fdset/1"}}')
    exactly(emulator, b'{"exec-oob": "quick", "id": {"a": 1.0, "b": "x"}, "arguments": {"f": "//dev/fdset/1"}}',
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
    client.send(b'{"execute": "slow"}{"execute": "query-fdsets", "id": 2}{"exec-oob": "quick"}')
    exactly(emulator, b'{"execute": "slow"}', "command")
    emulator.send(DONE)
    equal([client.message(), client.message()], [{"return": {}}, {"return": [], "id": 2}], "replies")
    exactly(emulator, b'{"exec-oob": "quick"}', "command")


@case
def a_failed_negotiation_is_none(bench):
    client, emulator = bench.both()
    emulator.send(GREETING)
    client.line()
    client.send(b'{"execute": "qmp_capabilities", "arguments": {"enable": ["x"]}}\n{"execute": "query-fdsets"}\n')
    emulator.line()
    emulator.send(b'{"error": {"class": "GenericError", "desc": "no"}}\r\n')
    client.line()
    exactly(emulator, b'{"execute": "query-fdsets"}\n', "it is the emulator's to say no")


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
def descriptors_from_the_emulator(bench):
    client, emulator = bench.negotiated()
    fds = [image("one"), image("two")]
    emulator.send(b'{"return": {"x": "//dev/fdset/1"}}\r\n', fds)
    data, found = receive_fds(client)
    equal(data, b'{"return": {"x": "/dev/fdset/1"}}\r\n', "reply")
    equal([os.path.sameopenfile(*pair) for pair in zip(fds, found)], [True, True], "descriptors")


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
    equal([client.message()["return"]["fdset-id"] for _ in range(4)], [0, 1, 2, 3], "sets")


@case
def a_descriptor_that_got_lost_is_told(bench):
    bench.programs.kill(bench.proxy, signal.SIGTERM)
    bench.proxy_start()
    client, emulator = bench.negotiated()
    number = descriptors_of(bench.proxy)
    resource.prlimit(bench.proxy.pid, resource.RLIMIT_NOFILE, (number + 4, number + 4))
    client.send('{"execute": "add-fd"}', [image("disk")] * 20)
    text = client.message()["error"]["desc"]
    if "lost on its way" not in text:
        raise Failure(text)
    equal(descriptors_of(bench.proxy), number, "descriptors")
    client.send('{"execute": "add-fd"}')
    equal(client.message()["error"]["desc"], "No file descriptor supplied via SCM_RIGHTS", "error")
    client.send('{"execute": "add-fd"}', [image("disk")])
    equal(client.message()["return"]["fdset-id"], 0, "set")


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
def a_client_that_does_not_read_its_replies_is_not_read(bench):
    client, _ = bench.negotiated()
    sent, _ = send_until_full(client, b'{"execute": "query-fdsets"}\n', 64 << 20)
    equal(sent < 16 << 20, True, f"{sent} bytes were taken")
    other, _ = bench.negotiated()
    equal(other.ask('{"execute": "query-fdsets"}'), {"return": []}, "another")


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
    client.send('{"execute": "large"}{"execute": "query-fdsets"}')
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
    client.send('{"execute": "quit"}\n{"execute": "query-fdsets"}\n')
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
    exactly(emulator, b'{"execute": "a"}\n', "command")
    emulator.send(DONE)
    equal(client.message()["return"]["fdset-id"], 1, "add")
    equal(client.line(), DONE, "reply")
    equal(client.line(), b"", "end of file")
    equal(emulator.line(), b"", "end of file")


@case
def an_emulator_that_does_not_greet_is_called_again(bench):
    """As QEMU can: the first is forgotten, the next is hung up on, the third is greeted."""
    client, forgotten = bench.both()
    Peer(bench.listener.accept()[0]).close()
    emulator = Peer(bench.listener.accept()[0])
    emulator.send(GREETING)
    equal(client.line(), GREETING, "greeting")
    equal(forgotten.line(), b"", "what the forgotten connection brings")
    client.send(COMMANDS[0])
    exactly(emulator, COMMANDS[0], "command")
    emulator.close()
    equal(client.line(), b"", "the end")


@case
def without_an_emulator_clients_are_hung_up_on(bench):
    bench.listener.close()
    equal(bench.connect().line(), b"", "refused")
    os.unlink("emulator0")
    equal(bench.connect().line(), b"", "not there")
    bench.listener = listen("emulator0")
    bench.listener.settimeout(60)
    bench.negotiated()


@case
def an_emulator_without_room_lets_clients_wait(bench):
    bench.listener.close()
    os.unlink("emulator0")
    bench.listener = socket.socket(socket.AF_UNIX)
    bench.listener.settimeout(60)
    bench.listener.bind("emulator0")
    bench.listener.listen(0)
    clients = [bench.connect() for _ in range(6)]
    for _ in clients:
        emulator = bench.listener.accept()[0]
        emulator.send(GREETING)
        emulator.close()
    for client in clients:
        equal(client.line(), GREETING, "greeting")


@case
def more_clients_than_descriptors(bench):
    bench.programs.kill(bench.proxy, signal.SIGTERM)
    bench.proxy_start()
    number = descriptors_of(bench.proxy)
    resource.prlimit(bench.proxy.pid, resource.RLIMIT_NOFILE, (number + 5, number + 5))
    clients = [bench.connect() for _ in range(6)]
    for client in clients:
        emulator = Peer(bench.listener.accept()[0])
        emulator.send(GREETING)
        equal(client.line(), GREETING, "greeting")
        client.close()
        equal(emulator.line(), b"", "end of file")
    until(lambda: descriptors_of(bench.proxy) == number, "the proxy closes all")


# Of 400 events each: a hundred times what one waits for who is served in its turn.
MANY_PACKETS = 20000


@case
def events_without_end_hold_up_nobody(bench):
    bench.programs.kill(bench.proxy, signal.SIGTERM)
    played = Played(os.path.abspath("played"))
    bench.proxy_start(("--manage", "played"))
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


# ----------------------------------------------------------------- beginning


def proxy_end(bench):
    """Its exit status; it says nothing."""
    return bench.programs.wait(bench.proxy)


@case
def inherited_sockets(bench):
    """A connected client, an emulator that has no name any more, and one that is connected."""
    bench.programs.kill(bench.proxy, signal.SIGTERM)
    path = os.open("emulator0", os.O_PATH)
    os.unlink("emulator0")
    front = listen("front")
    client, client_end = socket.socketpair()
    emulator, emulator_end = socket.socketpair()
    fds = [path, front.fileno(), client_end.fileno(), emulator_end.fileno()]
    bench.proxy_start(pairs=[f"fd:{fds[2]}", f"fd:{path}", f"fd:{fds[1]}", f"fd:{fds[3]}"], fds=fds)
    for sock in (front, client_end, emulator_end):
        sock.close()
    accepted = Peer(bench.listener.accept()[0])
    accepted.send(GREETING)
    client = Client(client)
    equal(client.line(), GREETING, "greeting")
    other, emulator = Client(connect("front")), Peer(emulator)
    emulator.send(GREETING)
    equal(other.line(), GREETING, "greeting")
    client.close()
    equal(accepted.line(), b"", "end of file")
    emulator.close()
    equal(other.line(), b"", "end of file")
    equal(proxy_end(bench), 0, "nobody is left to serve")


def proxy_start_with_lifeline(bench):
    """Returns a process that has the other end of the lifeline."""
    bench.programs.kill(bench.proxy, signal.SIGTERM)
    equal(os.path.exists("proxy0"), False, "its socket is gone")
    read, write = os.pipe()
    process = bench.programs.start(["sleep", "1000"], fds=[write])
    os.close(write)
    bench.proxy_start(("--manage", "manage", "--lifeline", str(read)), fds=[read])
    os.close(read)
    return process


@case
def it_ends_with_the_process(bench):
    process = proxy_start_with_lifeline(bench)
    client, emulator = bench.negotiated()
    bench.programs.kill(process)
    until(lambda: not os.path.exists("proxy0"), "no more clients")
    emulator.send(b'{"event": "SHUTDOWN"}\r\n')
    emulator.close()
    equal([client.line(), client.line()], [b'{"event": "SHUTDOWN"}\r\n', b""], "last words")
    equal(proxy_end(bench), 0, "status")


@case
def it_does_not_wait_for_ever_for_last_words(bench):
    process = proxy_start_with_lifeline(bench)
    client, _ = bench.negotiated()
    bench.programs.kill(process)
    equal(proxy_end(bench), 0, "status")
    equal(client.line(), b"", "end of file")


@case
def somebody_elses_socket_stays(bench):
    os.unlink("proxy0")
    other = listen("proxy0")
    bench.programs.kill(bench.proxy, signal.SIGTERM)
    equal(os.path.exists("proxy0"), True, "it is there")
    other.close()


@case
def what_stands_at_the_path_is_replaced(bench):
    """As QEMU does: a socket of before, that was killed, or a file that keeps the name."""
    for attempt in range(2):
        bench.programs.kill(bench.proxy, signal.SIGKILL)
        if attempt == 1:
            os.unlink("proxy0")
            with open("proxy0", "w", encoding="ascii") as file:
                file.write("not a socket")
        bench.proxy_start()
        bench.negotiated()


@case
def only_its_user_may_connect(bench):
    equal(oct(os.stat("proxy0").st_mode & 0o777), "0o600", "mode")


@case
def without_standard_descriptors(bench):
    bench.programs.kill(bench.proxy, signal.SIGTERM)
    closed = {"preexec_fn": lambda: os.closerange(0, 3)}
    bench.proxy_start(closed=closed)
    for number in range(3):
        equal(os.readlink(f"/proc/{bench.proxy.pid}/fd/{number}"), "/dev/null", "descriptor")
    bench.negotiated()


def cannot_start(bench, text, *arguments):
    done = subprocess.run([os.environ["FDSET_RELAY"], *arguments], stdin=subprocess.DEVNULL, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    equal(done.returncode, 1, f"status of {arguments}: {done.stdout}")
    if text not in done.stdout.decode():
        raise Failure(f"{arguments}: {done.stdout} and not {text!r}")


@case
def what_cannot_be_served(bench):
    cannot_start(bench, "test-relay: ", "--manage", "nowhere", "unix:a", "unix:b")
    cannot_start(bench, "cannot listen at nowhere/a: No such file", "--manage", "manage", "unix:nowhere/a", "unix:b")
    cannot_start(bench, "cannot listen at " + "a" * 200, "--manage", "manage", "unix:" + "a" * 200, "unix:b")
    cannot_start(bench, "cannot replace .: Is a directory", "--manage", "manage", "unix:.", "unix:b")
    cannot_start(bench, "cannot connect to " + "a" * 200 + ": File name too long", "--manage", "manage", "unix:a",
                 "unix:" + "a" * 200)
    cannot_start(bench, "no stream socket", "--manage", "manage", "fd:0", "unix:b")
    cannot_start(bench, "no socket of the emulator's", "--manage", "manage", "unix:a", "fd:0")


only = sys.argv[1] if len(sys.argv) > 1 else ""
run([case for case in CASES if only in case[0]])
