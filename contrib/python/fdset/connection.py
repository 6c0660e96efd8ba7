# SPDX-License-Identifier: MIT
"""A connection to fdset-helper: packets, serials, errors."""

import array
import collections
import errno
import os
import socket
import sys

from . import fdset_pb2 as proto

VERSION = 1
FEATURES = 1 << proto.FEATURE_LOOK | 1 << proto.FEATURE_ENDPOINTS
PACKET_BYTES = 16384
PACKET_DESCRIPTORS = 253

# Packets of events kept while nobody asks for them; what falls out counts as lost.
EVENT_PACKETS = 256


class Refused(OSError):
    """The helper said no. `errno` is what open(2) would have said, `strerror` a
    sentence for people, `code` the protocol's (proto.CODE_...)."""

    def __init__(self, error):
        super().__init__(error.error_number, error.text)
        self.code = error.code


def close_all(descriptors):
    for descriptor in descriptors:
        os.close(descriptor)


def has_null(value):
    """Has a text in it a null character? The helper's texts end there, as all in C."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, (int, float, bytes)):
        return False
    inside = (each for _, each in value.ListFields()) if hasattr(value, "ListFields") else value
    return any(map(has_null, inside))


class Connection:
    """What managers, observers and VMMs have in common.

    `where` is the path of the helper's socket, or a connected socket.socket of
    type SOCK_SEQPACKET, which then belongs to the connection. `name` is for
    people who look at the helper's tables. `timeout` (seconds, None for ever)
    is how long to wait for an answer; TimeoutError.
    """

    def __init__(self, where, name=None, owner="", timeout=None):
        if isinstance(where, socket.socket):
            self.socket = where
        else:
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self.socket.settimeout(timeout)
            if self.socket is not where:
                self.socket.connect(os.fspath(where))
            self._serial = 0
            self._early = {}  # replies that came before somebody asked for them
            self._abandoned = set()  # serials that nobody will ask for
            self._events = collections.deque()
            self._events_lost = 0
            name = os.path.basename(sys.argv[0]) if name is None else name
            #: The helper's HelloReply: its version, limits, this connection's role.
            hello = proto.Hello(
                version=VERSION, features=FEATURES, name=name, owner=owner, pid=os.getpid()
            )
            self.hello = self.call(hello=hello)[0].hello
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Hang up. Ends leases, waiting opens, holds and the connection's sets."""
        for _, descriptors in self._early.values():
            close_all(descriptors)
        self._early.clear()
        self.socket.close()

    def fileno(self):
        """For select: readable when there is a reply or an event to receive."""
        return self.socket.fileno()

    # ---------------------------------------------------------------- requests

    def send(self, descriptors=(), **body):
        """Send a request, as in send(query=proto.Query(set=1)), with descriptors,
        which are borrowed. Returns its serial, for receive()."""
        self._serial = self._serial % 0xFFFFFFFF + 1
        request = proto.Request(serial=self._serial, descriptors=len(descriptors), **body)
        if has_null(request):
            raise ValueError("embedded null character")
        data = request.SerializeToString()
        if len(data) > PACKET_BYTES or len(descriptors) > PACKET_DESCRIPTORS:
            raise OSError(errno.E2BIG, "the request does not fit in a packet")
        rights = array.array("i", descriptors)
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
        self.socket.sendmsg([data], control)
        return self._serial

    def receive(self, serial):
        """The reply to request `serial` and its descriptors, which are the
        caller's. Raises Refused."""
        while serial not in self._early:
            try:
                self._read_packet()
            except TimeoutError:
                # Its reply may still come, and descriptors with it.
                self._abandoned.add(serial)
                raise
        reply, descriptors = self._early.pop(serial)
        if reply.HasField("error"):
            raise Refused(reply.error)
        return reply, descriptors

    def call(self, descriptors=(), **body):
        """send() and receive()."""
        return self.receive(self.send(descriptors, **body))

    # ----------------------------------------------------------------- packets

    def _read_packet(self):
        # Not socket.recv_fds(), which forgets its flags before Python 3.12.
        data, control, flags, _ = self.socket.recvmsg(
            PACKET_BYTES, socket.CMSG_SPACE(4 * PACKET_DESCRIPTORS), socket.MSG_CMSG_CLOEXEC
        )
        descriptors = array.array("i")
        for _, _, rights in control:
            descriptors.frombytes(rights)
        descriptors = list(descriptors)
        try:
            if not data and not descriptors:
                raise ConnectionResetError(errno.ECONNRESET, "the helper has hung up")
            if flags & socket.MSG_TRUNC:
                raise OSError(errno.EPROTO, "the helper's packet was cut short")
            reply = proto.Reply.FromString(data)
            kept = self._sort_in(reply, descriptors, bool(flags & socket.MSG_CTRUNC))
        except BaseException:
            close_all(descriptors)
            raise
        if not kept:
            close_all(descriptors)

    def _sort_in(self, reply, descriptors, cut):
        """Whether the descriptors were kept."""
        if reply.HasField("events"):
            self._keep_events(reply.events)
            return False
        if reply.serial == 0 and reply.HasField("error"):
            raise Refused(reply.error)
        if cut or len(descriptors) != reply.descriptors:
            self._return_leases(reply)
            error = proto.Error(
                code=proto.CODE_DESCRIPTORS,
                error_number=errno.EMFILE,
                text="not all descriptors arrived; raise the limit of open files",
            )
            self._early[reply.serial] = proto.Reply(error=error), []
            return False
        if reply.serial in self._abandoned:
            self._abandoned.discard(reply.serial)
            self._return_leases(reply)
            return False
        self._early[reply.serial] = reply, descriptors
        return True

    def _return_leases(self, reply):
        """Nobody has a use for what was opened."""
        opened = [result.opened for result in reply.opened_many.results]
        opened.append(reply.opened)
        leases = [each.lease for each in opened if each.lease]
        if leases:
            self.send(close=proto.Close(leases=leases))

    def _keep_events(self, events):
        self._events.append(events)
        if len(self._events) > EVENT_PACKETS:
            dropped = self._events.popleft()
            self._events_lost += len(dropped.events) + dropped.lost
