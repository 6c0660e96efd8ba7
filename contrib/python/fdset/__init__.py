# SPDX-License-Identifier: MIT
"""Client of fdset-helper: descriptors into sets, and out of them.

    with fdset.Manager("/run/vm1/manage") as manager, open("disk.img", "r+b") as disk:
        manager.add(1, disk, opaque="base", lifetime=fdset.proto.LIFETIME_KEEP)

    with fdset.Vmm("/run/vm1/vmm") as vmm, vmm.open("/dev/fdset/1", os.O_RDWR) as lease:
        os.pread(lease.fileno(), 4096, 0)

Messages are those of fdset.proto as protoc generates them: fdset.proto.Query,
fdset.proto.EVENT_WANTED. What each field means is written in that file. What the
helper refuses is raised as fdset.Refused, an OSError that bears the protocol's code.

No object of this package may be used by several threads at once.
"""

from . import fdset_pb2 as proto
from .connection import Connection, Refused
from .manager import Manager, Observer
from .vmm import Lease, Vmm

__all__ = ["Connection", "Lease", "Manager", "Observer", "Refused", "Vmm", "proto"]
