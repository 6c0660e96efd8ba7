# SPDX-License-Identifier: MIT
"""The manager's and the observer's side: add, remove, query, events."""

import errno

from . import fdset_pb2 as proto
from .connection import Connection


def _fileno(file):
    return file if isinstance(file, int) else file.fileno()


def _merge(sets, page):
    """Sets and members that span pages are repeated with the rest of them."""
    for info in page:
        if not sets or sets[-1].set != info.set:
            sets.append(info)
            continue
        members = sets[-1].members
        for member in info.members:
            if members and members[-1].member == member.member:
                members[-1].leases.extend(member.leases)
            else:
                members.append(member)


class Observer(Connection):
    """A connection to the helper's observe socket."""

    def query(self, **filters):
        """What there is, as one proto.QueryReply. Filters are the fields of
        proto.Query: set, name, owner, opaque; `sandbox=True` asks for its stages,
        `endpoints=True` for what each virtual machine has."""
        query = proto.Query(**filters)
        whole = page = self.call(query=query)[0].query
        while page.HasField("next"):
            query.after.CopyFrom(page.next)
            page = self.call(query=query)[0].query
            _merge(whole.sets, page.sets)
            whole.waiting.extend(page.waiting)
            whole.endpoints.extend(page.endpoints)
            whole.totals.CopyFrom(page.totals)
        whole.ClearField("next")
        return whole

    def subscribe(self, *kinds, everything=False):
        """Hear of these kinds of events (proto.EVENT_...); of none given, all
        but opens, closes and denials."""
        self.call(subscribe=proto.Subscribe(kinds=kinds, all=everything))

    def events(self):
        """The next proto.Events: waits for them if there are none yet."""
        while not self._events:
            self._read_packet()
        events = self._events.popleft()
        events.lost += self._events_lost
        self._events_lost = 0
        return events


class Manager(Observer):
    """A connection to the helper's manage socket. `owner` is a label under which
    a manager that comes back has its sets again."""

    def add(
        self,
        which,
        *files,
        opaque=None,
        sharing=0,
        serves_read_only=False,
        keep_content=False,
        keep_locks=False,
        allow_socket=False,
        **fields
    ):
        """Put files (objects with fileno(), or numbers; borrowed) into the set
        `which`: an id, or None for a new one or the one called `name`. Further
        fields are those of proto.NewMembers: lifetime, name, replace, grace_ms,
        idle_ms, mixed, reserved_for. Returns a proto.AddedSet."""
        member = proto.NewMember(
            sharing=sharing,
            serves_read_only=serves_read_only,
            keep_content=keep_content,
            keep_locks=keep_locks,
            allow_socket=allow_socket,
            opaque=opaque,
        )
        new = proto.NewMembers(set=which, members=[member] * len(files), **fields)
        return self.add_sets([new], files)[0]

    def add_sets(self, sets, files):
        """All of these proto.NewMembers, or none. One file for each member, in
        their order. Returns a list of proto.AddedSet."""
        if any(new.reserved_for for new in sets) and not (
            self.hello.features & 1 << proto.FEATURE_ENDPOINTS
        ):
            raise OSError(errno.EOPNOTSUPP, "the helper cannot reserve a set, and would not say so")
        reply, _ = self.call([_fileno(file) for file in files], add_fds=proto.AddFds(sets=sets))
        return list(reply.added.sets)

    def remove(self, which, member=None, wait_ms=None):
        """Take a member, or all, out of set `which`. Returns how many went, when they
        are closed: see removal()."""
        return self.removal(which, member, wait_ms).members

    def removal(self, which, member=None, wait_ms=None):
        """The same, with all that is told: a proto.Removed. The answer waits for the close,
        up to `wait_ms` or ten seconds, while no lease is open."""
        wanted = proto.RemoveFd(set=which, member=member, wait_ms=wait_ms)
        return self.call(remove_fd=wanted)[0].removed
