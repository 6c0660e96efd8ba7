#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""fdset-qemu, called as Incus calls QEMU (its sources, 7.0): by a name that it finds in
PATH, with its monitor in a -readconfig file, into the background, as another user; then
descriptors without a set's number and with labels, over a monitor that it leaves and
comes back to. And the other things that may stand in such a file."""

import os
import subprocess
import tempfile

import wrapped
from wrapped import Monitor, Tree, equal

wrapped.adopt_orphans()
base = tempfile.mkdtemp(prefix="fdset-incus.")
tree = Tree(os.path.join(base, "tree"))
UUID = "7d9fc0e6-0ee2-4b53-a5b3-6a7a5bb6a3a1"

CONFIG = """# Machine
[machine]
graphics = "off"
type = "pc"
accel = "tcg"
usb = "off"

[global]
driver = "PIIX4_PM"
property = "disable_s3"
value = "1"

[boot-opts]
strict = "on"

# Memory
[memory]
size = "64M"

# Console
[chardev "console"]
backend = "ringbuf"
size = "1048576"

# Qemu control
[chardev "monitor"]
backend = "socket"
path = "{directory}/qemu.monitor"
server = "on"
wait = "off"

# Balloon driver
[device "qemu_balloon"]
driver = "virtio-balloon-pci"
"""


def image(name):
    with open(name, "wb") as file:
        file.truncate(1 << 20)


def write(name, text):
    with open(name, "w", encoding="ascii") as file:
        file.write(text)


def name_in_path():
    """A program called qemu-system-x86_64, as the manual has it."""
    os.mkdir("bin")
    write("bin/qemu-system-x86_64", "#!/bin/sh\n"
          f'exec {tree.wrapper} --fdset-emulator /usr/bin/qemu-system-x86_64'
          f' --fdset-observe {os.getcwd()}/observe "$@"\n')
    os.chmod("bin/qemu-system-x86_64", 0o755)
    return {**os.environ, "PATH": f"{os.getcwd()}/bin:{os.environ['PATH']}"}


def start():
    user = wrapped.as_nobody() if os.geteuid() == 0 else []
    write("qemu.conf", CONFIG.format(directory=os.getcwd()))
    with open("qemu.early.log", "w+", encoding="utf-8") as log:
        done = subprocess.run(
            ["qemu-system-x86_64", "-S", "-name", "v1", "-uuid", UUID, "-daemonize", "-cpu",
             "qemu64", "-nographic", "-serial", "chardev:console", "-qmp", "chardev:monitor",
             "-nodefaults", "-no-user-config", "-readconfig", os.path.abspath("qemu.conf"),
             "-pidfile", os.path.abspath("qemu.pid"), "-D", os.path.abspath("qemu.log"), *user],
            env=name_in_path(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            timeout=wrapped.PATIENCE)
        log.seek(0)
        equal(0, done.returncode, f"status ({log.read()})")
    with open("qemu.pid", encoding="ascii") as file:
        return int(file.read())


def send_file_with_fdset(monitor, name, flags):
    descriptor = os.open("disk", flags)
    label = f"{'rdwr' if flags == os.O_RDWR else 'rdonly'}:{name}"
    answer = monitor.execute("add-fd", {"opaque": label}, fds=[descriptor])
    os.close(descriptor)
    return answer["fdset-id"]


def remove_fd_from_fdset(monitor, name):
    for found in monitor.execute("query-fdsets"):
        if any(fd["opaque"].split(":", 1)[1] == name for fd in found["fds"]):
            monitor.execute("remove-fd", {"fdset-id": found["fdset-id"]})


def list_leases():
    text = subprocess.run([tree.fdsetctl, "--socket", os.path.abspath("observe"), "list",
                           "--leases", "--no-headings"], stdout=subprocess.PIPE, check=True,
                          text=True).stdout
    return sorted((line.split()[1], line.split()[3]) for line in text.splitlines())


def test_an_instance_from_start_to_stop():
    pid = start()
    line = wrapped.command_line(pid)
    assert "qemu-system" in line[0] and UUID in line, line
    image("disk")
    monitor = Monitor("qemu.monitor")
    first = send_file_with_fdset(monitor, "root", os.O_RDWR)
    monitor.execute("blockdev-add", {
        "driver": "file", "filename": f"/dev/fdset/{first}", "node-name": "root",
        "read-only": False, "locking": "off", "aio": "threads", "discard": "unmap",
        "cache": {"direct": False, "no-flush": False}})
    monitor.execute("device_add", {"driver": "virtio-blk-pci", "drive": "root", "id": "dev-root"})
    equal([(str(first), "read-write")], list_leases(), "leases")
    monitor.close()

    # The daemon was restarted.
    monitor = Monitor("qemu.monitor")
    second = send_file_with_fdset(monitor, "cdrom", os.O_RDONLY)
    assert first != second, "a number was given twice"
    equal({"rdwr:root", "rdonly:cdrom"},
          {fd["opaque"] for found in monitor.execute("query-fdsets") for fd in found["fds"]}, "labels")
    monitor.execute("blockdev-add", {"driver": "file", "filename": f"/dev/fdset/{second}",
                                     "node-name": "cdrom", "read-only": True, "locking": "off"})
    equal(sorted([(str(first), "read-write"), (str(second), "read-only")]), list_leases(), "leases")
    monitor.execute("blockdev-del", {"node-name": "cdrom"})
    remove_fd_from_fdset(monitor, "cdrom")
    equal([first], [found["fdset-id"] for found in monitor.execute("query-fdsets")], "sets")
    remove_fd_from_fdset(monitor, "root")
    equal([(str(first), "read-write")], list_leases(), "leases of what was removed")
    monitor.execute("cont")
    monitor.quit()
    tree.ended()


def test_feature_check():
    """A monitor on the command line, at a path where there is a file already, which QEMU
    replaces whatever it is; killed."""
    write("monitor", "made by os.CreateTemp")
    process = subprocess.Popen(
        ["qemu-system-x86_64", "-S", "-nographic", "-nodefaults", "-no-user-config", "-chardev",
         f"socket,id=monitor,path={os.path.abspath('monitor')},server=on,wait=off", "-qmp",
         "chardev:monitor", "-machine", "pc", "-accel", "tcg"],
        env=name_in_path(), stdin=subprocess.DEVNULL)
    try:
        monitor = Monitor("monitor")
        monitor.execute("query-cpus-fast")
    finally:
        process.kill()
        process.wait()
    monitor.close()
    tree.ended()


# ------------------------------------------------------------------ the file

MACHINE = ["-machine", "none", "-nodefaults", "-no-user-config", "-display", "none"]


def run(config, fds=(), arguments=()):
    """The file as a pipe: once read, it is gone. Returns the process and its monitor."""
    ours, theirs = os.pipe()
    os.write(theirs, config.encode())
    os.close(theirs)
    process = subprocess.Popen(
        [tree.wrapper, *MACHINE, "-readconfig", f"/dev/fd/{ours}", *arguments],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, pass_fds=[ours, *fds])
    os.close(ours)
    return process


def test_all_of_it_in_a_file():
    """Monitor, chardev, descriptors and a path of a set; commas in values; what is no
    value at all is the emulator's to complain of."""
    image("disk")
    reader, writer = os.open("disk", os.O_RDONLY), os.open("disk", os.O_RDWR)
    process = run(f"""
[chardev "m"]
  backend = "socket"
  path = "{os.getcwd()}/mo,nitor"
  server = "on"
  wait = "off"
[mon "mon0"]
  chardev = "m"
  mode = "control"
[add-fd]
  fd = "{reader}"
  set = "5"
[add-fd]
  fd = "{writer}"
  set = "5"
  opaque = "one, two"
[drive "disk0"]
  file = "/dev/fdset/5"
  format = "raw"
  if = "none"
""", fds=[reader, writer], arguments=["--fdset-observe", os.path.abspath("observe")])
    os.close(reader)
    os.close(writer)
    try:
        monitor = Monitor("mo,nitor")
        (found,) = monitor.execute("query-fdsets")
        equal((5, "one, two"), (found["fdset-id"], found["fds"][1]["opaque"]), "set")
        (disk,) = monitor.execute("query-block")
        equal("/dev/fdset/5", disk["inserted"]["file"], "file of the drive")
        equal([("5", "read-only")], list_leases(), "leases")
        monitor.quit()
        equal(0, process.wait(), "status")
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    tree.ended()


def test_a_file_that_is_none():
    for config, text in (('[chardev "m"]\nbackend = "null"\nnonsense\n', "Invalid parameter 'nonsense'"),
                         ("[machine\n", "no option group"), ('key = "value"\n', "no group defined")):
        process = run(config)
        _, errors = process.communicate(timeout=wrapped.PATIENCE)
        equal(1, process.returncode, f"status with {config!r}")
        assert text in errors.decode(), f"{config!r}: {errors}"
    done = subprocess.run([tree.wrapper, *MACHINE, "-readconfig", "nowhere"],
                          stderr=subprocess.PIPE, text=True, timeout=wrapped.PATIENCE)
    equal(1, done.returncode, "status without a file")
    assert "nowhere" in done.stderr, done.stderr
    tree.ended()


wrapped.run_tests(dict(globals()), base)
