# SPDX-License-Identifier: MIT
"""What goes wrong around the relay: clients that hang up half-way, QEMU that dies
under it, a helper that dies or does not answer, input that is none. Everybody
gets an error or the end of file, nothing hangs, and no descriptor is left."""

import os
import random
import signal
import socket
import sys

from monitors import (STORAGE_DAEMON, Failure, Native, Proxied, descriptors_of, end_of_file, equal,
                      image, run, until)

CASES = []


def case(**options):
    def add(function):
        def test():
            world = Proxied(**options)
            try:
                function(world)
            finally:
                world.end()
        CASES.append((function.__name__.replace("_", " "), test))
        return function
    return add


def back_to(process, number, what):
    until(lambda: descriptors_of(process) == number, f"{what}'s descriptors are {number} again")


def hung_up(client):
    """What is left to be read, then the end."""
    while client.line():
        pass


def is_served(client, number=1):
    equal(client.ask('{"execute": "query-status", "id": %d}' % number)["id"], number, "query-status")


def processor_ticks(process):
    with open(f"/proc/{process.pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def waits(process):
    """It does nothing while nothing happens: 0.3 s are 30 ticks for who does."""
    before = processor_ticks(process)
    try:
        process.wait(0.3)
    except Exception:  # pylint: disable=broad-except
        pass
    equal(processor_ticks(process) - before < 10, True, "it uses no processor time")


# ---------------------------------------------------------------- hanging up

ADD = '{"execute": "add-fd", "arguments": {"fdset-id": 1, "opaque": "x"}}\n'


@case(running=True)
def hanging_up_anywhere_in_a_command(world):
    proxy, helper = descriptors_of(world.proxy), descriptors_of(world.helper)
    read, write = os.pipe()
    for length in range(1, len(ADD) + 1, 3):
        client = world.client()
        client.send(ADD[:length], [write])
        client.close()
    client = world.client()
    client.does("add-fd", [write], fdset_id=1)
    client.does("remove-fd", fdset_id=1)
    os.close(write)
    end_of_file(read)
    equal(client.does("query-fdsets"), [], "sets")
    client.close()
    back_to(world.proxy, proxy, "the proxy")
    back_to(world.helper, helper, "the helper")


@case(running=True)
def hanging_up_while_the_helper_has_the_command(world):
    proxy = descriptors_of(world.proxy)
    world.helper.send_signal(signal.SIGSTOP)
    read, write = os.pipe()
    for _ in range(3):
        client = world.client()
        client.send(ADD, [write])
        client.close()
    os.close(write)
    is_served(world.client())
    world.helper.send_signal(signal.SIGCONT)
    client = world.client()
    # Those that have gone were served as well: their members are there.
    if client.does("query-fdsets"):
        client.does("remove-fd", fdset_id=1)
    end_of_file(read)
    client.close()
    back_to(world.proxy, proxy, "the proxy")


# ------------------------------------------------------------- QEMU has gone


@case(monitors=2)
def qemu_is_killed(world):
    helper = descriptors_of(world.helper)
    one, two = world.client(0), world.client(1)
    one.does("add-fd", [image("disk")], fdset_id=1)
    one.does("blockdev-add", driver="file", filename="/dev/fdset/1", node_name="n")
    one.send(" ", [image("other")])
    two.send('{"execute": "query-st')
    world.programs.kill(world.emulator)
    hung_up(one)
    hung_up(two)
    equal(world.programs.wait(world.proxy), 0, "the proxy ends as well")
    # The member, and two connections less: QEMU's and the proxy's.
    until(lambda: descriptors_of(world.helper) <= helper, "the helper closes the connections")


@case(monitors=2)
def qemu_is_killed_while_it_has_commands(world):
    one, two = world.client(0), world.client(1)
    world.emulator.send_signal(signal.SIGSTOP)
    for number in range(5):
        one.send('{"execute": "query-status"}{"execute": "query-fdsets"}\n', [image("disk")])
    two.send('{"execute": "x-fdset-query-leases"}{"execute": "query-status"}')
    equal(two.reply(), {"return": []}, "the helper's")
    world.programs.kill(world.emulator)
    hung_up(one)
    hung_up(two)


@case()
def qemu_ends_by_itself(world):
    client = world.client()
    client.send('{"execute": "quit"}{"execute": "query-fdsets"}')
    equal(client.reply(), {"return": {}}, "quit")
    hung_up(client)
    equal(world.programs.wait(world.emulator), 0, "status")


# --------------------------------------------------------- the helper has gone


def helper_is_missed(client):
    """What it is asked fails, what QEMU is asked does not."""
    read, write = os.pipe()
    for _ in range(2):
        text = client.refuses("add-fd", [write], fdset_id=1)
        if "helper" not in text:
            raise Failure(f"'{text}' does not say who has gone")
    os.close(write)
    end_of_file(read)
    client.refuses("x-fdset-query-leases")
    is_served(client)


@case(monitors=2, running=True)
def the_helper_is_killed(world):
    client, other = world.client(0), world.client(1)
    client.does("add-fd", [image("disk")], fdset_id=1)
    client.does("blockdev-add", driver="file", filename="/dev/fdset/1", node_name="n")
    client.does("x-fdset-events", enable=True)
    world.programs.kill(world.helper)
    helper_is_missed(client)
    helper_is_missed(other)
    client.refuses("blockdev-add", driver="file", filename="/dev/fdset/1", node_name="m")
    client.does("human-monitor-command", command_line='qemu-io n "write -P 7 0 4k"')
    with open("disk", "rb") as file:
        equal(file.read(4096), b"\7" * 4096, "what the guest wrote without a helper")
    waits(world.proxy)
    client.does("remove-fd", fdset_id=1)
    client.does("blockdev-del", node_name="n")
    equal(client.does("query-fdsets"), [], "sets")


@case(monitors=2)
def the_helper_does_not_answer(world):
    client, other = world.client(0), world.client(1)
    world.helper.send_signal(signal.SIGSTOP)
    client.send(ADD, [image("disk")])
    other.send('{"execute": "query-fdsets", "id": 1}')
    client.send('{"execute": "query-status", "id": 2}')
    world.helper.send_signal(signal.SIGCONT)
    equal(client.reply()["return"]["fdset-id"], 1, "add")
    equal(client.reply()["id"], 2, "query-status")
    equal(other.reply()["id"], 1, "query-fdsets")


@case(limits=("--limit", "members=3"))
def the_helper_has_no_room(world):
    client = world.client()
    read, write = os.pipe()
    for _ in range(3):
        client.does("add-fd", [image("disk")], fdset_id=1)
    text = client.refuses("add-fd", [write], fdset_id=1)
    if "--limit members=N" not in text:
        raise Failure(text)
    os.close(write)
    end_of_file(read)
    is_served(client)


# ---------------------------------------------------------- input that is none

PARTS = ['{', '}', '[', ']', ',', ':', '"', "'", '\\', '"a"', "'b'", '"\\u0041"', ' ', '\n', '\t', 'true',
         'foo', '0', '12', '-', '1.5', 'e', '@', '\x01', '\x7f', '{"execute": "query-status"}',
         '{"execute": "query-fdsets"}', '{"execute": "no"}', '"/dev/fdset/1"', 'null', '{"id": 1}']


def nonsense(seed):
    chooser = random.Random(seed)
    text = "".join(chooser.choice(PARTS) for _ in range(chooser.randrange(1, 40))).encode()
    # Any reader comes to its senses at a byte that UTF-8 does not have.
    return text + b"\xff\n\xff\n"


def kinds_of_replies(client, seed):
    """What becomes of it: results, classes of errors, in their order."""
    client.send(nonsense(seed) + b'{"execute": "query-status", "id": "end"}')
    kinds = []
    while True:
        reply = client.reply()
        if reply.get("id") == "end":
            return kinds
        kinds.append(reply["error"]["class"] if "error" in reply else "return")


def nonsense_is_answered_as_qemu_answers_it():
    """The same errors, as many, in the same places."""
    native = Native()
    try:
        wanted_by = native.client()
        wanted = [kinds_of_replies(wanted_by, seed) for seed in range(400)]
    finally:
        native.end()
    os.mkdir("proxied")
    os.chdir("proxied")
    world = Proxied()
    try:
        found_by = world.client()
        for seed in range(400):
            equal(kinds_of_replies(found_by, seed), wanted[seed], f"replies to {nonsense(seed)!r}")
    finally:
        world.end()


CASES.append(("nonsense is answered as QEMU answers it", nonsense_is_answered_as_qemu_answers_it))


# ---------------------------------------------------------- the storage daemon


def check_schema(entries):
    """Every type that is named is there."""
    names = {entry["name"] for entry in entries}
    equal(len(names), len(entries), "names are given once")
    for entry in entries:
        used = [entry.get(key) for key in ("arg-type", "ret-type", "element-type")]
        used += [member["type"] for member in entry.get("members", []) if "type" in member]
        equal({name for name in used if name} - names, set(), f"types of {entry['name']}")


def storage_daemon_natively():
    world = Native(program=STORAGE_DAEMON)
    try:
        equal(world.client().command("add-fd")["error"]["class"], "CommandNotFound", "add-fd")
    finally:
        world.end()


CASES.append(("the storage daemon has no add-fd", storage_daemon_natively))


@case(program=STORAGE_DAEMON)
def the_storage_daemon_behind_the_proxy(world):
    """It has no sets of its own, and opens the helper's by the name that its opens leave as it is."""
    client = world.client()
    equal(client.command("add-fd")["error"]["class"], "CommandNotFound", "add-fd")
    names = [entry["name"] for entry in client.does("query-commands")]
    mine = ["x-fdset-query-leases", "x-fdset-events"]
    equal([names.count(name) for name in mine], [1] * 2, "query-commands")
    schema = client.does("query-qmp-schema")
    check_schema(schema)
    equal([name for name in mine if name not in [entry["name"] for entry in schema]], [], "schema")
    client.does("x-fdset-events", enable=True)
    image("disk")
    world.fdsetctl("add", "--set", "5", "-w", "disk")
    client.does("blockdev-add", driver="file", filename="//dev/fdset/5", node_name="n")
    lease = client.does("x-fdset-query-leases")
    equal([(l["fdset-id"], l["mode"], l["pid"]) for l in lease],
          [(5, "read-write", world.emulator.pid)], "leases")
    client.refuses("blockdev-add", driver="file", filename="//dev/fdset/9", node_name="m")
    denied = client.event("FDSET_DENIED")
    equal([denied["data"][key] for key in ("fdset-id", "path", "reason", "mode")],
          [9, "/dev/fdset/9", "no-set", "read-write"], "event")
    world.fdsetctl("remove", "5")
    client.does("blockdev-del", node_name="n")
    closed = client.event("FDSET_CLOSED")
    equal([closed["data"][key] for key in ("fdset-id", "fd", "lease")], [5, lease[0]["fd"], lease[0]["lease"]],
          "event")
    equal(set(closed["timestamp"]), {"seconds", "microseconds"}, "timestamp")


@case()
def qemu_lists_them_once(world):
    client = world.client()
    schema = client.does("query-qmp-schema")
    check_schema(schema)
    for name in ("add-fd", "x-fdset-events", "FDSET_WANTED"):
        equal([entry["name"] for entry in schema].count(name), 1, name)


# -------------------------------------------------------------------- events


@case(environment={"FDSET_WAIT_MS": "60000"})
def what_is_wanted_is_supplied_over_the_same_monitor(world):
    """QEMU does not read its monitor while it waits for the open."""
    client = world.client()
    client.does("x-fdset-events", enable=True)
    client.send('{"execute": "blockdev-add", "id": 1, "arguments": {"driver": "file", "node-name": "n",'
                '"filename": "/dev/fdset/4"}}')
    wanted = client.event("FDSET_WANTED")["data"]
    equal([wanted[key] for key in ("fdset-id", "mode", "reason")], [4, "read-write", "no-set"], "event")
    client.send('{"execute": "add-fd", "id": 2, "arguments": {"fdset-id": 4}}', [image("disk")])
    replies = [client.reply(), client.reply()]
    equal([(reply["id"], "return" in reply) for reply in replies], [(1, True), (2, True)], "replies")


@case(monitors=2)
def events_are_for_those_who_ask(world):
    client, other = world.client(0), world.client(1)
    text = client.refuses("x-fdset-events", enable=1)
    equal(text, "Invalid parameter type for 'enable', expected: boolean", "error")
    equal(client.refuses("x-fdset-events"), "Parameter 'enable' is missing", "error")
    client.does("x-fdset-events", enable=True)
    other.does("x-fdset-events", enable=True)
    other.does("x-fdset-events", enable=False)
    client.refuses("blockdev-add", driver="file", filename="//dev/fdset/9", node_name="m")
    client.event("FDSET_DENIED")
    is_served(other)
    equal(other.events, [], "events")


only = sys.argv[1] if len(sys.argv) > 1 else ""
run([case for case in CASES if only in case[0]])
