#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""libvirt as it is, with fdset-qemu for an emulator and disks by descriptor.

Every domain runs a guest that uses its disk all the time (contrib/qemu/guest.S).
What QEMU's own sets cannot do is shown first."""

import json
import os
import subprocess
import tempfile

from scene import SNAPSHOT, Domain, Failed, Session, wrapped

wrapped.adopt_orphans()
source = os.environ["FDSET_SOURCE"]
base = tempfile.mkdtemp(prefix="fdset-libvirt.", dir="/tmp")
os.chmod(base, 0o755)
tree = wrapped.Tree(os.path.join(base, "tree"))
session = Session(base)

LOCK = "Failed to get "  # and which, and "lock"
NO_MEMBER = "Permission denied|matching flags"  # of QEMU up to 9.0, and since
WRITE_LOCK = LOCK + '"write" lock'


def domain(**options):
    made = Domain(session, "/usr/bin/qemu-system-x86_64" if options.get("native") else tree.wrapper,
                  **options)
    made.images_make(source)
    made.define()
    return made


def over(machine):
    """No process and no descriptor of ours is left."""
    tree.ended()
    machine.does("undefine --managed-save")


def snapshot_and_pivot(machine, number):
    """A snapshot to a file with a name, and back."""
    file = f"{session.home}/tmp/{machine.name}.{number}"
    with open("snapshot.xml", "w", encoding="ascii") as text:
        text.write(SNAPSHOT.format(file=file))
    session.virsh(f"snapshot-create {machine.name} {os.path.abspath('snapshot.xml')} --disk-only"
                  " --no-metadata")
    machine.does("blockcommit vda --active --pivot --wait")


def test_native_pivot_after_a_commit():
    """The first commit leaves its lock."""
    machine = domain(native=True)
    machine.start()
    machine.goes_on()
    machine.does("blockcommit vda --base vda[3] --top vda[2] --wait")
    session.refused(LOCK, f"blockcommit {machine.name} vda --active --pivot --wait")
    machine.destroy()
    over(machine)


def test_native_snapshot_and_pivot():
    machine = domain(native=True)
    machine.start()
    machine.goes_on()
    try:
        for number in range(3):
            snapshot_and_pivot(machine, number)
    except Failed as failure:
        assert LOCK in str(failure), failure
    else:
        raise AssertionError("three rounds succeeded natively")
    machine.destroy()
    over(machine)


def test_probing():
    session.virsh(f"domcapabilities --virttype qemu --emulatorbin {tree.wrapper}")
    wrapped.equal([], tree.processes(), "helpers and proxies")


def test_the_relay_is_there():
    """However libvirt has made its monitor: it stands between libvirt and QEMU, answers what
    QEMU could not, and nothing that libvirt passed is in QEMU. After libvirt's restart, too."""
    machine = domain()
    machine.start()
    for again in (False, True):
        if again:
            session.restart()
        machine.goes_on()
        wrapped.equal(1, len(tree.processes("relay")), "relays")
        leases = machine.monitor("x-fdset-query-leases")
        # The images; and the serial port's log, which libvirt passes so by itself.
        wrapped.equal(["read-only", "read-only", "read-write", "write-only"],
                      sorted(lease["mode"] for lease in leases), "leases")
        for found in machine.monitor("query-fdsets"):
            for member in found["fds"]:
                link = session.run(["readlink", f"/proc/{machine.pid()}/fd/{member['fd']}"])
                assert "fdset-portal" in link, f"a member's number is {link}"
        for group in machine.modes:
            wrapped.equal(1, machine.descriptors(group), f"descriptors of {group} in QEMU")
    machine.destroy()
    over(machine)


def test_commit_in_the_middle_and_pivot():
    machine = domain()
    machine.start()
    machine.goes_on()
    machine.holds(over="read-write", mid="read-only", base="read-only")
    machine.does("blockcommit vda --base vda[3] --top vda[2] --wait")
    machine.goes_on()
    machine.holds(over="read-write", base="read-only")
    machine.does("blockcommit vda --active --pivot --wait")
    machine.goes_on()
    machine.holds(base="read-write")
    machine.destroy()
    over(machine)
    subprocess.run(["qemu-img", "check", "-q", machine.path("base")], check=True)


def test_snapshot_and_pivot_over_a_restart():
    machine = domain(chain=["base"])
    machine.start()
    machine.goes_on()
    for number in range(3):
        snapshot_and_pivot(machine, number)
        machine.goes_on()
        machine.holds(base="read-write")
        if number == 0:
            session.restart()
    machine.destroy()
    over(machine)


def test_pull():
    machine = domain()
    machine.start()
    machine.goes_on()
    machine.does("blockpull vda --base vda[3] --wait")
    machine.goes_on()
    machine.holds(over="read-write", base="read-only")
    machine.does("blockpull vda --wait")
    machine.goes_on()
    machine.holds(over="read-write")
    machine.destroy()
    over(machine)


def test_save_and_restore():
    machine = domain()
    machine.start()
    machine.goes_on()
    file = f"{session.home}/tmp/{machine.name}.save"
    machine.does(f"save {file}")
    tree.ended()
    machine.start(f"restore {file}")
    machine.goes_on()
    machine.holds(over="read-write", mid="read-only", base="read-only")
    machine.does("managedsave")
    tree.ended()
    machine.start()
    machine.goes_on()
    machine.holds(over="read-write", mid="read-only", base="read-only")
    machine.destroy()
    over(machine)


def test_unplug_destroy_and_start_again():
    machine = domain()
    machine.modes["data"] = [os.O_RDONLY, os.O_RDWR]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", machine.path("data"), "1M"],
                   check=True)
    machine.more_disks = DISK_OF_DATA.format(path=machine.path("data"))
    machine.define()
    for _ in range(2):
        machine.start()
        machine.goes_on()
        machine.holds(over="read-write", mid="read-only", base="read-only", data="read-write")
        machine.does("detach-disk sda")
        wrapped.until(lambda: "sda" not in machine.does("domblklist"), "the disk's end")
        machine.holds(over="read-write", mid="read-only", base="read-only")
        machine.goes_on()
        machine.destroy()
        tree.ended()
    over(machine)


DISK_OF_DATA = """<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
<source file='{path}' fdgroup='data'/><backingStore/><target dev='sda' bus='scsi'/></disk>"""


def test_write_granted_and_taken_back():
    """The base may not be written to, then it may, then it may not."""
    machine = domain(chain=["over", "base"])
    machine.modes["base"] = [os.O_RDONLY, os.O_RDONLY]
    machine.start()
    machine.goes_on()
    commit = f"blockcommit {machine.name} vda --active --pivot --wait"
    session.refused(NO_MEMBER, commit)
    before = machine.descriptors("base")
    number = machine.set_of("base")
    grant = os.open(machine.path("base"), os.O_RDWR)
    session.virsh(f"qemu-monitor-command {machine.name} --pass-fds {grant} "
                  f"'{{\"execute\":\"add-fd\",\"arguments\":{{\"fdset-id\":{number},"
                  "\"opaque\":\"base:rw\"}}'",
                  fds=[grant])
    os.close(grant)
    wrapped.equal(before, machine.descriptors("base"), "descriptors of the base in QEMU")
    machine.holds(over="read-write", base="read-only")
    session.virsh(commit)
    machine.goes_on()
    machine.holds(base="read-write")
    machine.destroy()
    over(machine)


def test_write_taken_back_before_it_is_used():
    machine = domain(chain=["over", "base"])
    machine.modes["base"] = [os.O_RDONLY, os.O_RDONLY]
    machine.start()
    machine.goes_on()
    number = machine.set_of("base")
    grant = os.open(machine.path("base"), os.O_RDWR)
    reply = session.virsh(f"qemu-monitor-command {machine.name} --pass-fds {grant} "
                          f"'{{\"execute\":\"add-fd\",\"arguments\":{{\"fdset-id\":{number}}}}}'",
                          fds=[grant])
    os.close(grant)
    member = json.loads(reply)["return"]["fd"]
    session.virsh(f"qemu-monitor-command {machine.name} '{{\"execute\":\"remove-fd\","
                  f"\"arguments\":{{\"fdset-id\":{number},\"fd\":{member}}}}}'")
    session.refused(NO_MEMBER, f"blockcommit {machine.name} vda --active --pivot --wait")
    machine.goes_on()
    machine.holds(over="read-write", base="read-only")
    machine.destroy()
    over(machine)


def test_two_domains_on_one_image():
    """And its error is told; and nothing of it is left."""
    first = domain(chain=["base"])
    second = Domain(session, tree.wrapper, chain=["base"])
    second.define()
    first.start()
    first.goes_on()
    try:
        second.start()
    except Failed as failure:
        assert WRITE_LOCK in str(failure), failure
    else:
        raise AssertionError("both domains run")
    wrapped.until(lambda: len(tree.processes()) == 2, "the end of the second's helper")
    first.goes_on()
    first.destroy()
    tree.ended()
    second.start()
    second.goes_on()
    second.destroy()
    second.does("undefine")
    over(first)


try:
    wrapped.run_tests(dict(globals()), base,
                      lasting=lambda: [session.libvirtd.pid, session.virtlogd.pid])
finally:
    session.end()
