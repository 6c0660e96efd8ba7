# SPDX-License-Identifier: MIT
"""For incus.py: a daemon of Incus by itself, without a network, whose QEMU is fdset-qemu.

Everything runs in namespaces of its own, as root, and ends with them. What the kernel may
lack for virtual machines of Incus is stood in for by stand-in.c."""

import glob
import json
import os
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../qemu"))
import wrapped  # noqa: E402
from wrapped import PATIENCE, until  # noqa: E402

DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "kvm", "fuse", "vsock", "net/tun",
           "pts", "shm")
EMULATOR = "qemu-system-x86_64"


class Failed(Exception):
    """A command of Incus'."""


def enter_namespaces():
    """Runs this script anew in a process table, a network and mounts of its own, which end
    with it."""
    if os.environ.get("FDSET_INSIDE"):
        return
    os.environ["FDSET_INSIDE"] = "yes"
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("INCUS_"):
            del os.environ[name]
    os.execvp("unshare", ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child",
                          "--mount-proc", "--propagation", "private", sys.executable, *sys.argv])


def devices_make(directory):
    """A /dev that has what Incus asks for."""
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", directory)
    for name in DEVICES:
        place = os.path.join(directory, name)
        if os.path.isdir("/dev/" + name):
            os.mkdir(place)
        elif os.path.exists("/dev/" + name):
            os.makedirs(os.path.dirname(place), exist_ok=True)
            touch(place)
        else:
            if name in ("kvm", "vsock"):  # Incus looks whether they are there
                touch(place)
            continue
        run("mount", "--rbind", "/dev/" + name, place)
    touch(os.path.join(directory, "vhost-vsock"))
    os.symlink("/proc/self/fd", os.path.join(directory, "fd"))
    os.symlink("pts/ptmx", os.path.join(directory, "ptmx"))
    run("mount", "--rbind", directory, "/dev")


def touch(name):
    with open(name, "ab"):
        pass


def script(name, text):
    with open(name, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\n" + text + "\n")
    os.chmod(name, 0o755)


def run(*words):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=PATIENCE)
    if done.returncode:
        raise Failed(f"{' '.join(words)}: {done.stdout}")
    return done.stdout


class Daemon:
    """Of Incus, with a storage pool that is a directory."""

    def __init__(self, base, tree, native=False):
        self.base, self.tree = base, tree
        self.home = os.path.join(base, "incus")
        self.observed = os.path.join(base, "observe")
        for name in ("incus", "observe", "bin", "dev"):
            os.mkdir(os.path.join(base, name), 0o755)
        devices_make(os.path.join(base, "dev"))
        run("ip", "link", "set", "lo", "up")
        script(f"{base}/bin/modprobe", "exit 0")
        # Of its own the kernel has all that it will ever have.
        emulator = f"/usr/bin/{EMULATOR}"
        self.log_of_wrapper = f"{base}/wrapper.log"
        script(f"{base}/bin/{EMULATOR}", f"exec {emulator} \"$@\"" if native else
               f"exec {tree.wrapper} --fdset-emulator {emulator} --fdset-log {self.log_of_wrapper}"
               f" --fdset-strict --fdset-observe {self.observed}/$$ \"$@\"")
        os.environ["PATH"] = f"{base}/bin:{os.environ['PATH']}"
        os.environ["INCUS_DIR"] = self.home
        os.environ["HOME"] = os.path.join(base, "home")
        os.mkdir(os.environ["HOME"])
        self.start()
        self.does("storage", "create", "pool", "dir")
        self.does("profile", "device", "add", "default", "root", "disk", "path=/", "pool=pool",
                  "size=16MiB")

    def start(self):
        with open(f"{self.base}/incusd.log", "ab") as log:
            self.process = subprocess.Popen([os.environ["FDSET_STAND_IN"], os.environ["INCUSD"],
                                             "--verbose"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)
        try:
            run(os.environ["INCUSD"], "waitready", f"--timeout={PATIENCE // 2}")
        except Failed as failure:
            raise Failed(f"{failure}\n{self.log()}") from None

    def lasting(self):
        """What is not to end with a single test."""
        return wrapped.descendants()

    def stop(self):
        """The daemon alone: virtual machines go on."""
        self.process.terminate()
        self.process.wait(PATIENCE)

    def log(self):
        text = []
        for name in (f"{self.base}/incusd.log", self.log_of_wrapper,
                     *glob.glob(f"{self.home}/logs/*/*.log")):
            if os.path.exists(name):
                with open(name, encoding="utf-8", errors="replace") as file:
                    text.append(f"{name}:\n{file.read()[-3000:]}")
        return "\n".join(text)

    def does(self, *words):
        try:
            return run("incus", "--quiet", *words)
        except Failed as failure:
            raise Failed(f"{failure}\n{self.log()}") from None

    def asks(self, path):
        return json.loads(self.does("query", path))


RING, SECTOR = range(64, 128), 512  # where guest.S writes, round after round


class Instance:
    """A virtual machine of Incus, whose guest uses its disk all the time."""

    def __init__(self, daemon, name, *options):
        self.daemon, self.name = daemon, name
        daemon.does("init", "--empty", "--vm", name, "-c", "security.secureboot=false",
                    "-c", "security.csm=true", "-c", "limits.memory=64MiB", "-c", "limits.cpu=1",
                    # KVM may be there and not be whole.
                    "-c", "raw.qemu.conf=[machine]\naccel = \"tcg\"\n", "-c", "raw.qemu=-cpu qemu64",
                    *options)
        self.disk = f"{daemon.home}/storage-pools/pool/virtual-machines/{name}/root.img"
        source = os.path.join(os.environ["FDSET_SOURCE"], "contrib/qemu/guest.S")
        run("as", "--32", "-o", "guest.o", source)
        run("ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-o", "guest.bin",
            "guest.o")
        with open("guest.bin", "rb") as program, open(self.disk, "r+b") as disk:
            disk.write(program.read())

    def rounds(self):
        """How many the guest has done, as its disk tells."""
        with open(self.disk, "rb") as disk:
            disk.seek(RING[0] * SECTOR)
            ring = disk.read(len(RING) * SECTOR)
        return max(number for (number,) in struct.iter_unpack("<I", ring))

    def goes_on(self):
        before = self.rounds()
        until(lambda: self.rounds() != before, "the guest's next round")

    def does(self, verb, *words):
        return self.daemon.does(*verb.split(), self.name, *words)

    def state(self):
        return self.daemon.asks(f"/1.0/instances/{self.name}")["status"]

    def process(self):
        """QEMU's process id."""
        uuid = self.daemon.asks(f"/1.0/instances/{self.name}")["config"]["volatile.uuid"]
        (found,) = [int(entry) for entry in os.listdir("/proc")
                    if entry.isdigit() and uuid in wrapped.command_line(int(entry))]
        return found

    def answers(self):
        """What each helper that has a socket says of itself."""
        found = []
        for socket in glob.glob(f"{self.daemon.observed}/*"):
            done = subprocess.run([self.daemon.tree.fdsetctl, "--socket", socket, "list", "--json"],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                  timeout=PATIENCE)
            if done.returncode == 0:
                found.append(json.loads(done.stdout))
        return found

    def list(self):
        (one,) = self.answers()
        return one

    def members(self):
        """The labels that Incus gave."""
        return sorted(member["opaque"] for one in self.list()["sets"] for member in one["members"])

    def leases(self):
        """Of which members something is open, once for each lease, in the way that the label says."""
        found = []
        for one in self.list()["sets"]:
            for member in one["members"]:
                mode = "read-only" if member["opaque"].startswith("rdonly:") else "read-write"
                found += [member["opaque"] if lease["mode"] == mode else f"{lease['mode']} {member['opaque']}"
                          for lease in member["leases"]]
        return sorted(found)

    def images_open(self):
        """What QEMU has open of the disks. Its firmware's variables are passed by number."""
        return sorted(file for file in wrapped.descriptors(self.process()).values()
                      if file.startswith(self.daemon.base) and file.endswith((".img", ".iso", ".qcow2")))

    def companions(self):
        """The processes beside QEMU."""
        return sorted(wrapped.command_line(pid)[0].rpartition("/")[2]
                      for pid in self.daemon.tree.processes())
