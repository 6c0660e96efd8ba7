# SPDX-License-Identifier: MIT
"""For libvirt.py: a libvirt of one's own, as an ordinary user, and domains on it
whose images nobody but root may open."""

import json
import os
import re
import socket
import subprocess
import sys
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../qemu"))
import wrapped  # noqa: E402
from wrapped import PATIENCE, until  # noqa: E402

USER = 65534 if os.getuid() == 0 else os.getuid()


class Failed(Exception):
    """A command of virsh's."""


class Session:
    """libvirtd and virtlogd in session mode."""

    def __init__(self, base):
        self.base = base
        self.home = os.path.join(base, "home")
        for name in ("", "run", "cache", "config", "data", "tmp"):
            os.mkdir(os.path.join(self.home, name), 0o700)
            os.chown(os.path.join(self.home, name), USER, USER)
        self.environment = {
            "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "LC_ALL": "C", "HOME": self.home,
            "TMPDIR": self.home + "/tmp", "XDG_RUNTIME_DIR": self.home + "/run",
            "XDG_CACHE_HOME": self.home + "/cache", "XDG_CONFIG_HOME": self.home + "/config",
            "XDG_DATA_HOME": self.home + "/data"}
        self.virtlogd = self.daemon("virtlogd", "virtlogd-sock")
        self.libvirtd = self.daemon("libvirtd", "libvirt-sock")

    def user(self):
        if os.getuid() != 0:
            return ["setpriv", "--no-new-privs"]
        return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs"]

    def daemon(self, name, at):
        """Starts it and waits until it listens: whoever found it missing would start
        another."""
        place = f"{self.home}/run/libvirt/{at}"
        if os.path.exists(place):
            os.unlink(place)
        with open(f"{self.base}/{name}.log", "ab") as log:
            process = subprocess.Popen([*self.user(), name], env=self.environment, stdout=log,
                                       stdin=subprocess.DEVNULL, stderr=log, cwd="/",
                                       start_new_session=True)

        def listens():
            assert process.poll() is None, f"{name} has ended: {self.log(name)}"
            with socket.socket(socket.AF_UNIX) as client:
                return os.path.exists(place) and client.connect_ex(place) == 0

        until(listens, lambda: f"{name}: {self.log(name)}")
        return process

    def log(self, name):
        with open(f"{self.base}/{name}.log", encoding="utf-8", errors="replace") as file:
            return file.read()[-2000:]

    def restart(self):
        self.libvirtd.terminate()
        self.libvirtd.wait(PATIENCE)
        self.libvirtd = self.daemon("libvirtd", "libvirt-sock")

    def end(self):
        for process in (self.libvirtd, self.virtlogd):
            process.terminate()
            process.wait(PATIENCE)

    def run(self, words, fds=()):
        done = subprocess.run([*self.user(), *words], env=self.environment, pass_fds=fds, cwd="/",
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=4 * PATIENCE)
        if done.returncode:
            raise Failed(f"{' '.join(words)}: {done.stdout}")
        return done.stdout

    def virsh(self, *commands, fds=()):
        """In one connection."""
        return self.run(["virsh", "-q", "-c", "qemu:///session", "; ".join(commands)], fds)

    def refused(self, text, *commands, fds=()):
        try:
            output = self.virsh(*commands, fds=fds)
        except Failed as failure:
            assert re.search(text, str(failure)), f"'{failure}' has no '{text}' in it"
            return
        raise AssertionError(f"{commands} succeeded: {output}")


MODES = ((os.O_RDONLY, "read-only"), (os.O_RDWR, "read-write"))

SNAPSHOT = """<domainsnapshot><disks><disk name='vda' type='file'>
<source file='{file}'/></disk></disks></domainsnapshot>"""

DOMAIN = """<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
<name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
<devices><emulator>{emulator}</emulator>{disks}
<controller type='usb' model='none'/><controller type='scsi' model='virtio-scsi'/>
<memballoon model='none'/>
<serial type='file'><source path='{serial}'/></serial></devices>{commandline}</domain>"""

DISK = """<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>{chain}
<target dev='{target}' bus='{bus}'/></disk>"""


def guest_make(source, raw):
    """contrib/qemu/guest.S on a raw disk: it writes and reads for ever, and prints a
    dot for each time or an E."""
    for words in (["as", "--32", "-o", "guest.o", os.path.join(source, "contrib/qemu/guest.S")],
                  ["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-o", raw,
                   "guest.o"]):
        subprocess.run(words, check=True, stderr=subprocess.DEVNULL)
    os.truncate(raw, 1 << 20)


class Domain:
    """A machine on a chain of images, of which the first in `chain` is the newest.
    libvirt gets them as descriptors, named by group."""

    number = 0

    def __init__(self, session, emulator, chain=("over", "mid", "base"), native=False):
        Domain.number += 1
        self.session, self.emulator, self.native = session, emulator, native
        self.name = f"vm{Domain.number}"
        self.uuid = uuid.uuid4()
        self.serial = f"{session.home}/tmp/{self.name}.serial"
        self.observe = f"{session.home}/tmp/{self.name}.observe"
        self.chain = list(chain)
        self.modes = {group: [os.O_RDONLY, os.O_RDWR] for group in chain}
        self.more_disks = ""

    def path(self, group):
        return os.path.abspath(group + ".qcow2")

    def images_make(self, source):
        guest_make(source, "guest.raw")
        base, *others = reversed(self.chain)
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "guest.raw",
                        self.path(base)], check=True)
        for group in others:
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b",
                            self.path(base), self.path(group)], check=True)
            base = group
        for group in self.chain:
            os.chmod(self.path(group), 0o600)

    def source(self, groups):
        text = f"<source file='{self.path(groups[0])}' fdgroup='{groups[0]}'/>"
        if len(groups) == 1:
            return text + "<backingStore/>"
        return (text + "<backingStore type='file'><format type='qcow2'/>" +
                self.source(groups[1:]) + "</backingStore>")

    def define(self):
        commandline = "" if self.native else (
            "<qemu:commandline><qemu:arg value='--fdset-observe'/>"
            f"<qemu:arg value='{self.observe}'/></qemu:commandline>")
        disk = DISK.format(chain=self.source(self.chain), target="vda", bus="virtio")
        with open(self.name + ".xml", "w", encoding="ascii") as file:
            file.write(DOMAIN.format(name=self.name, uuid=self.uuid, emulator=self.emulator, serial=self.serial,
                                     disks=disk + self.more_disks, commandline=commandline))
        self.session.virsh(f"define {os.path.abspath(file.name)}")

    def start(self, *commands):
        """`commands` in the place of a start, in the connection that has the groups."""
        fds, associations = [], []
        for group, modes in self.modes.items():
            own = [os.open(self.path(group), mode) for mode in modes]
            associations.append(
                f"dom-fd-associate {self.name} {group} {','.join(map(str, own))}")
            fds += own
        try:
            return self.session.virsh(*associations, *(commands or [f"start {self.name}"]),
                                      fds=fds)
        finally:
            for fd in fds:
                os.close(fd)

    def does(self, command):
        """virsh COMMAND NAME ..."""
        verb, _, rest = command.partition(" ")
        return self.session.virsh(f"{verb} {self.name} {rest}")

    def goes_on(self):
        """Waits until the guest has verified some more sectors."""
        def dots():
            with open(self.serial, "rb") as file:
                text = file.read()
            assert b"E" not in text, "the guest had an I/O error"
            return len(text)

        until(lambda: os.path.exists(self.serial), "the serial port's log")
        before = dots()
        until(lambda: dots() > before + 20, "a sign of life of the guest")

    def members(self):
        """(group, set, member) of the helper's members that are images."""
        names = {os.stat(self.path(group)).st_ino: group for group in self.modes}
        listing = json.loads(self.session.run(
            [self.emulator.replace("contrib/qemu/fdset-qemu", "contrib/fdsetctl/fdsetctl"),
             "--socket", self.observe, "list", "--json"]))
        return [(names[member["inode"]], fdset["set"], member)
                for fdset in listing["sets"] for member in fdset["members"]
                if member["inode"] in names]

    def holds(self, **wanted):
        """The helper's leases of images are these, {group: mode}, and no others; or
        soon are, since libvirt answers before it has closed all."""
        def found():
            leases = {}
            for group, _, member in self.members():
                for lease in member["leases"]:
                    leases.setdefault(group, []).append(lease["mode"])
            return leases

        wanted = {group: [mode] for group, mode in wanted.items()}
        until(lambda: found() == wanted, lambda: f"leases {wanted} and not {found()}")

    def set_of(self, group):
        return next(number for name, number, _ in self.members() if name == group)

    def destroy(self):
        self.does("destroy")

    def pid(self):
        with open(f"{self.session.home}/run/libvirt/qemu/run/{self.name}.pid",
                  encoding="ascii") as file:
            return int(file.read())

    def descriptors(self, group):
        """How many QEMU has of an image."""
        return self.session.run(["ls", "-l", f"/proc/{self.pid()}/fd"]).count(self.path(group))

    def monitor(self, command):
        """What the monitor that libvirt has answers to it."""
        return json.loads(self.does(f"qemu-monitor-command '{json.dumps({'execute': command})}'"))["return"]
