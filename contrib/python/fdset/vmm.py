# SPDX-License-Identifier: MIT
"""The VMM's side: open, close, hold."""

import errno
import os
import warnings

from . import fdset_pb2 as proto
from .connection import Connection, Refused


class Lease:
    """A descriptor that the helper gave, until close(). A context manager;
    anything that wants a fileno() takes it."""

    def __init__(self, vmm, descriptor, opened):
        self._vmm = vmm
        self._descriptor = descriptor
        self.lease = opened.lease
        self.member = opened.member

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if getattr(self, "_descriptor", -1) >= 0:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self)
            self.close()

    def __repr__(self):
        return f"<fdset.Lease {self.lease} of member {self.member}>"

    def fileno(self):
        if self._descriptor < 0:
            raise ValueError("the lease has been closed")
        return self._descriptor

    def close(self):
        """Close the descriptor and tell the helper so."""
        if self._descriptor < 0:
            return
        os.close(self._descriptor)
        self._descriptor = -1
        try:
            self._vmm.send(close=proto.Close(leases=[self.lease]))
        except OSError:
            pass  # who has hung up has ended the lease already


class Vmm(Connection):
    """A connection to the helper's VMM socket."""

    def open(self, path, flags, wait_ms=0):
        """Open /dev/fdset/ID or /dev/fdset/NAME with the flags of os.open().
        Returns a Lease. With `wait_ms`, waits so long for a member that fits."""
        return self.finish_open(self.begin_open(path, flags, wait_ms))

    def begin_open(self, path, flags, wait_ms=0):
        """The first half of open(). Returns what finish_open() takes."""
        return self.send(open=proto.Open(path=path, flags=flags, wait_ms=wait_ms))

    def finish_open(self, serial):
        reply, descriptors = self.receive(serial)
        return self._lease(reply.opened, descriptors[0])

    def open_many(self, opens):
        """Several (path, flags) in one packet, at most 250. Returns a list of a
        Lease or a Refused for each."""
        many = proto.OpenMany(opens=[proto.Open(path=path, flags=flags) for path, flags in opens])
        reply, descriptors = self.call(open_many=many)
        left = iter(descriptors)
        return [
            self._lease(result.opened, next(left))
            if result.HasField("opened")
            else Refused(result.error)
            for result in reply.opened_many.results
        ]

    def look(self, path):
        """What os.stat() and os.access() would say of the set, without opening it: a
        Looked, with modes, a bit 1 << O_RDONLY, O_WRONLY, O_RDWR for each access mode
        that a member has, and what stat(2) tells. No lease comes of it."""
        if not self.hello.features & 1 << proto.FEATURE_LOOK:
            raise OSError(errno.EOPNOTSUPP, "this fdset-helper cannot be asked about a set")
        return self.call(look=proto.Look(path=path))[0].looked

    def hold(self, path):
        """Keep the set as if it were open, until unhold()."""
        self.call(hold=proto.Hold(path=path))

    def unhold(self, path):
        self.call(unhold=proto.Unhold(path=path))

    def _lease(self, opened, descriptor):
        lease = Lease(self, descriptor, opened)
        if opened.truncate:
            os.ftruncate(descriptor, 0)
        return lease
