#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Incus as it is, with fdset-qemu for its QEMU: the daemon, its feature check, and a virtual
machine from start to end. After each step the helper has what Incus passed, QEMU has open
what it uses, and nothing else."""

import os
import tempfile

import scene
from scene import Daemon, Instance, wrapped
from wrapped import equal

scene.enter_namespaces()
wrapped.adopt_orphans()
base = tempfile.mkdtemp(prefix="fi.", dir="/tmp")
os.chmod(base, 0o755)
tree = wrapped.Tree(os.path.join(base, "tree"))
daemon = Daemon(base, tree)
os.chdir(base)
instance = Instance(daemon, "v1")


def has(*labels):
    """The root disk and what is named, each open once, in QEMU. Since 7.0 a disk is a qcow2
    file without data and, in a set of its own, the raw file that these are in."""
    members, leases, images = instance.members(), instance.leases(), instance.images_open()
    equal({"rdwr:incus_root", *labels}, {label.removesuffix("_raw") for label in members}, "disks")
    equal(members, leases, "what is leased, and what is in the sets")
    equal(len(leases), len(images), f"images open in QEMU {images}")
    equal(["fdset-helper", "fdset-qemu: relay"], instance.companions(), "processes beside QEMU")
    if instance.state() == "Running":
        instance.goes_on()


def test_feature_check():
    """The daemon has started a QEMU to see what it can do, and that one has ended."""
    environment = daemon.asks("/1.0")["environment"]
    assert "qemu" in environment["driver"], f"{environment['driver']}: {daemon.log()}"
    with open(daemon.log_of_wrapper, encoding="ascii", errors="replace") as file:
        assert scene.EMULATOR in file.read(), "fdset-qemu was not asked"
    tree.ended()


def test_start():
    instance.does("start")
    equal("Running", instance.state(), "state")
    has()


def test_a_volume_is_plugged_and_unplugged():
    daemon.does("storage", "volume", "create", "pool", "data", "--type=block", "size=16MiB")
    for _ in range(2):
        instance.does("config device add", "data", "disk", "pool=pool", "source=data")
        has("rdwr:incus_data")
        instance.does("config device remove", "data")
        has()


def test_a_file_that_may_only_be_read_is_plugged_and_unplugged():
    file = f"{base}/cd.iso"
    with open(file, "wb") as image:
        image.truncate(1 << 20)
    instance.does("config device add", "cd", "disk", f"source={file}", "readonly=true")
    has("rdonly:incus_cd")
    instance.does("config device remove", "cd")
    has()


def test_a_snapshot():
    instance.does("snapshot create", "first")
    has()
    equal("Running", instance.state(), "state")


def test_pause_and_resume():
    instance.does("pause")
    equal("Frozen", instance.state(), "state")
    has()
    instance.does("resume")
    has()


def test_the_daemon_is_started_anew():
    """A virtual machine goes on meanwhile, and so do its helper and its relay."""
    before = instance.process()
    daemon.stop()
    daemon.start()
    equal((before, "Running"), (instance.process(), instance.state()), "QEMU and its state")
    has()
    instance.does("config device add", "data", "disk", "pool=pool", "source=data")
    has("rdwr:incus_data")
    instance.does("config device remove", "data")
    has()


def test_stop_by_force():
    instance.does("stop", "--force")
    equal("Stopped", instance.state(), "state")
    tree.ended()
    equal([], instance.answers(), "helpers that answer")


def test_state_is_kept_and_taken_up():
    """To a file and from it, through a migration; another disk is not allowed for such."""
    global instance
    instance = Instance(daemon, "v2", "-c", "migration.stateful=true", "-d", "root,size.state=128MiB")
    instance.does("start")
    has()
    instance.does("stop", "--stateful")
    equal("Stopped", instance.state(), "state")
    tree.ended()
    instance.does("start")
    equal("Running", instance.state(), "state")
    has()


def test_a_snapshot_of_the_state_is_restored():
    instance.does("snapshot create", "whole", "--stateful")
    has()
    instance.does("snapshot restore", "whole", "--stateful")
    equal("Running", instance.state(), "state")
    has()
    instance.does("delete", "--force")
    tree.ended()


wrapped.run_tests(dict(globals()), base, daemon.lasting)
