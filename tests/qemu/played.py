# SPDX-License-Identifier: MIT
"""A helper that is played, packet by packet, and a journal's entries."""

import os
import socket
import struct
import threading

OBSERVER, MANAGER = 3, 2

# The numbers of Request's fields.
ASKED = {3: "hello", 6: "close", 7: "add", 8: "remove", 9: "query", 12: "subscribe"}


def varint(number):
    number &= 2**64 - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out + bytes([number]))


def message(**fields):
    """f1=..., f2=...: a number, text, a message's bytes or a list of these."""
    out = b""
    for name, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            number = int(name[1:])
            if isinstance(value, int):
                out += varint(number << 3) + varint(value)
                continue
            data = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def request_read(packet):
    """Its serial, and which request it is."""
    serial, at, body = 0, 0, None

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = packet[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if not byte & 128:
                return value

    while at < len(packet):
        tag = number()
        value = number()
        if tag & 7 == 2:
            at += value
            body = tag >> 3
        elif tag >> 3 == 1:
            serial = value
    return serial, ASKED.get(body)


def hello(serial, role=MANAGER, version="9.9", limits=message(f1=10, f2=20)):
    more = {} if limits is None else {"f5": limits}
    return message(f1=serial, f4=message(f1=1, f3=role, f4=version, **more))


def query(serial, *sets, **more):
    return message(f1=serial, f9=message(f1=list(sets), f3=message(f1=len(sets)), **more))


def error(serial, text):
    return message(f1=serial, f3=message(f1=4, f2=22, f3=text))


def events(*all_of_them, lost=0):
    return message(f11=message(f1=list(all_of_them), f2=lost))


class Played:
    """A helper at `path`; `answers` has, for each request, what makes its reply of the
    serial: bytes, a list of them, None for silence, or "hang up"."""

    def __init__(self, path, **answers):
        self.answers = {
            "hello": hello,
            "query": query,
            "subscribe": lambda serial: message(f1=serial, f10=b""),
        } | answers
        self.connections = []
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            while packet := connection.recv(1 << 17):
                serial, asked = request_read(packet)
                answer = self.answers.get(asked, lambda serial: error(serial, "no"))(serial)
                if answer == "hang up":
                    break
                for reply in answer if isinstance(answer, list) else [answer]:
                    if reply is not None:
                        connection.send(reply)
        except OSError:
            pass
        connection.shutdown(socket.SHUT_RDWR)

    def end(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            connection.close()


def entry_read(datagram):
    """The journal's native protocol: KEY=value, or KEY and the value's length and the value."""
    fields = {}
    while datagram:
        line, _, rest = datagram.partition(b"\n")
        key, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack("<Q", rest[:8])
            value, rest = rest[8 : 8 + length], rest[8 + length :]
            assert rest[:1] == b"\n"
            rest = rest[1:]
        assert key.decode() not in fields, key
        fields[key.decode()] = value.decode()
        datagram = rest
    return fields
