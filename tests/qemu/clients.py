#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What other programs than libvirt and Incus do with sets, command by command, as their
sources have it: Kata Containers (runtime-rs), systemd-vmspawn, xenopsd and libxl. Each scene
is played with QEMU itself and with fdset-qemu. All that the client sees is the same, and
inside QEMU is what it uses and nothing else."""

import itertools
import json
import os
import re
import socket
import subprocess
import tempfile

import wrapped
from wrapped import Monitor, Tree, equal

wrapped.adopt_orphans()
base = tempfile.mkdtemp(prefix="fc.", dir="/tmp")
os.chmod(base, 0o755)
tree = Tree(os.path.join(base, "tree"))
EMULATOR = "qemu-system-x86_64"
BLOCK = 4096  # bytes that images are made of, of one value each


def image(name, *values):
    """A file with a block of each of these values; its name is known to Scene.inside()."""
    with open(name, "wb") as file:
        for value in values:
            file.write(bytes([value]) * BLOCK)


class Scene:
    """An emulator that a client has started: QEMU itself, or fdset-qemu."""

    def __init__(self, native):
        self.native, self.process, self.seen = native, None, []
        self.observe = os.path.abspath("observe")

    def start(self, *arguments, fds=()):
        command = [EMULATOR] if self.native else [tree.wrapper, "--fdset-emulator", EMULATOR,
                                                  "--fdset-strict", "--fdset-observe", self.observe]
        self.process = subprocess.Popen(
            [*command, "-nodefaults", "-no-user-config", "-display", "none", "-accel", "tcg",
             *arguments], pass_fds=fds, stdin=subprocess.DEVNULL)
        for fd in fds:
            os.close(fd)

    def note(self, what):
        """What is to be the same in both; without what may differ from run to run."""
        text = re.sub(r'"timestamp": {[^}]*}', '"timestamp": 0', json.dumps(what))
        self.seen.append(re.sub(r'"fd": \d+', '"fd": 0', text))
        return what

    def inside(self, *leases):
        """QEMU has open what it uses: each of these sets once; and of the images, so many."""
        if self.native:
            return
        text = subprocess.run([tree.fdsetctl, "--wait", "--socket", self.observe, "list", "--leases",
                               "--no-headings"], stdout=subprocess.PIPE, check=True, text=True).stdout
        equal(sorted(leases), sorted(f"{line.split()[1]} {line.split()[3]}" for line in text.splitlines()),
              "leases")
        ours = [what for what in wrapped.descriptors(self.process.pid).values()
                if re.search(r"/image[^/]*$|vmdk", what)]
        equal(len(leases), len(ours), f"images inside: {ours}")

    def end(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        tree.ended()


def both(play):
    """Natively, then through fdset-qemu, each in a directory of its own."""
    top, seen = os.getcwd(), []
    for native in (True, False):
        directory = os.path.join(top, "native" if native else "ours")
        os.mkdir(directory)
        os.chdir(directory)
        scene = Scene(native)
        try:
            play(scene)
        finally:
            scene.end()
        seen.append([text.replace(directory, "") for text in scene.seen])
    assert seen[0], "nothing was noted"
    for native, ours in itertools.zip_longest(*seen):
        equal(native, ours, "what the client saw")


def blocks(monitor, node):
    """The values of the blocks of a node, as a client of an export of it reads them."""
    place = os.path.abspath("nbd")
    monitor.execute("nbd-server-start", {"addr": {"type": "unix", "data": {"path": place}}})
    monitor.execute("block-export-add", {"type": "nbd", "id": "export", "node-name": node})
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "raw", f"nbd+unix:///{node}?socket={place}",
                    "copy"], check=True, timeout=wrapped.PATIENCE)
    monitor.execute("nbd-server-stop")
    with open("copy", "rb") as file:
        data = file.read()
    return [data[at] for at in range(0, len(data), BLOCK)
            if data[at:at + BLOCK] == data[at:at + 1] * BLOCK]


# --------------------------------------------------------------------------- Kata

def vmdk(*extents):
    """A description in memory, whose extents are sets: (blocks, set, first block)."""
    sectors = BLOCK // 512
    text = "".join(f'RW {count * sectors} FLAT "/dev/fdset/{number}" {at * sectors}\n'
                   for count, number, at in extents)
    writable = os.memfd_create("vmdk")
    os.write(writable, ('# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n'
                        f'createType="twoGbMaxExtentFlat"\n\n# Extent description\n{text}\n'
                        '# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = "4"\n'
                        'ddb.geometry.cylinders = "1"\nddb.geometry.heads = "16"\n'
                        'ddb.geometry.sectors = "63"\nddb.adapterType = "ide"\n').encode())
    readable = os.open(f"/proc/self/fd/{writable}", os.O_RDONLY)
    os.close(writable)
    return readable


def kata_sets(monitor):
    """Which sets there are for each of its nodes, by the labels that it gave."""
    found = {}
    for one in monitor.execute("query-fdsets"):
        for fd in one["fds"]:
            prefix, node, _ = fd["opaque"].split(":")
            equal("kata-block", prefix, "label")
            found.setdefault(node, set()).add(one["fdset-id"])
    return found


def kata(scene):
    image("image.first", 1, 2)
    image("image.second", 3)
    image("image.data", 4)
    image("image.hot", 5)
    members = [(os.open("image.first", os.O_RDONLY), "rootfs:vmdk-extent-0"),
               (os.open("image.second", os.O_RDONLY), "rootfs:vmdk-extent-1"),
               (vmdk((1, 1, 1), (1, 2, 0), (1, 1, 0)), "rootfs:vmdk-descriptor"),
               (os.open("image.data", os.O_RDWR), "data:block-source")]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("qmp.sock")
    listener.listen()
    arguments = []
    for number, (fd, label) in enumerate(members, 1):
        arguments += ["-add-fd", f"fd={fd},set={number},opaque=kata-block:{label}"]
    scene.start("-machine", "q35", "-m", "64M", *arguments, "-blockdev",
                "driver=vmdk,node-name=image-rootfs,read-only=on,force-share=on,file.driver=file,"
                "file.filename=/dev/fdset/3,file.aio=threads,file.cache.direct=off,"
                "file.cache.no-flush=off,file.read-only=on", "-device",
                "virtio-blk-pci,drive=image-rootfs,id=rootfs", "-blockdev",
                "driver=file,node-name=image-data,filename=/dev/fdset/4,aio=threads,"
                "cache.direct=off,cache.no-flush=off,read-only=off", "-device",
                "virtio-blk-pci,drive=image-data,id=data", "-device",
                "pcie-root-port,id=bridge", "-qmp",
                f"unix:fd={listener.fileno()},server=on,wait=off",
                fds=[*[fd for fd, _ in members], listener.detach()])
    monitor = Monitor("qmp.sock")
    scene.note(monitor.execute("query-fdsets"))
    equal({"rootfs": {1, 2, 3}, "data": {4}}, kata_sets(monitor), "what was passed at the start")
    start = ["1 read-only", "1 read-only", "2 read-only", "3 read-only", "4 read-write"]
    scene.inside(*start)
    equal([2, 3, 1], blocks(monitor, "image-rootfs"), "the root file system")

    # Another disk, while it runs.
    hot = os.open("image.hot", os.O_RDONLY)
    added = scene.note(monitor.execute("add-fd", {"opaque": "kata-block:drive-1:block-source"}, [hot]))
    os.close(hot)
    number = added["fdset-id"]
    scene.note(monitor.execute("blockdev-add", {
        "driver": "raw", "node-name": "drive-1", "read-only": True, "force-share": True,
        "file": {"driver": "file", "filename": f"/dev/fdset/{number}", "read-only": True,
                 "aio": "threads", "cache": {"direct": False}}}))
    scene.note(monitor.execute("device_add", {"driver": "virtio-blk-pci", "drive": "drive-1",
                                              "id": "virtio-drive-1", "bus": "bridge",
                                              "share-rw": True}))
    scene.inside(*start, f"{number} read-only")
    equal({"rootfs": {1, 2, 3}, "data": {4}, "drive-1": {number}}, kata_sets(monitor), "sets")
    scene.note(monitor.execute("device_del", {"id": "virtio-drive-1"}))
    monitor.execute("system_reset")  # a guest would have let it go
    scene.note(monitor.wait("DEVICE_DELETED"))
    scene.note(monitor.execute("blockdev-del", {"node-name": "drive-1"}))
    scene.note(monitor.execute("remove-fd", {"fdset-id": number}))
    scene.note(monitor.execute("query-fdsets"))
    scene.inside(*start)
    monitor.quit()


def test_kata():
    """Its root file system is a VMDK in memory; at the start it compares the sets, and their
    labels, with what it passed."""
    both(kata)


# ------------------------------------------------------------------------ vmspawn

class Pipeline:
    """A client that sends what it has to say, and looks at the replies afterwards."""

    def __init__(self, scene, monitor):
        self.scene, self.monitor, self.sent = scene, monitor, 0

    def send(self, command, fd=None, **arguments):
        text = json.dumps({"execute": command, "arguments": {
            name.replace("_", "-"): value for name, value in arguments.items()}, "id": self.sent})
        socket.send_fds(self.monitor.socket, [text.encode() + b"\n"], [] if fd is None else [fd])
        if fd is not None:
            os.close(fd)
        self.sent += 1

    def replies(self):
        """All of them, each a success; events are kept."""
        for _ in range(self.sent):
            while "event" in (message := self.monitor.read()):
                self.monitor.events.append(message)
            self.scene.note(message)
            assert "return" in message, message
        self.sent = 0


def file_node(name, number, **more):
    return {"node-name": name, "driver": "file", "filename": f"/dev/fdset/{number}",
            "cache": {"direct": False, "no-flush": True}, **more}


def vmspawn_start(scene, *more):
    ours, theirs = socket.socketpair()
    scene.start("-machine", "q35", "-m", "64M", *more, "-device", "virtio-scsi-pci,id=vmspawn_scsi",
                "-device", "pcie-root-port,id=vmspawn_port", "-chardev", f"socket,id=qmp,fd={theirs.fileno()}", "-mon", "chardev=qmp,mode=control",
                fds=[theirs.detach()])
    return Monitor(ours)


def vmspawn(scene):
    """A disk; and one that is forgotten at the end, with a file without a name in front."""
    image("image.disk", 1)
    image("image.base", 2, 3)
    monitor = vmspawn_start(scene, "-S")
    pipeline = Pipeline(scene, monitor)
    pipeline.send("add-fd", os.open("image.disk", os.O_RDWR), fdset_id=0)
    pipeline.send("blockdev-add", **file_node("disk-file", 0))
    pipeline.send("blockdev-add", **{"node-name": "disk", "driver": "raw", "file": "disk-file"})
    pipeline.send("device_add", driver="virtio-blk-pci", drive="disk", id="disk",
                  bus="vmspawn_port")
    pipeline.send("add-fd", os.open("image.base", os.O_RDONLY), fdset_id=1)
    pipeline.send("add-fd", os.open("image.over", os.O_RDWR | os.O_CREAT), fdset_id=2)
    os.unlink("image.over")
    pipeline.send("blockdev-add", **file_node("base-file", 1, **{"read-only": True}))
    pipeline.send("blockdev-add", **{"node-name": "base", "driver": "raw", "file": "base-file",
                                     "read-only": True})
    pipeline.send("blockdev-add", **file_node("over-file", 2))
    pipeline.send("blockdev-create", job_id="create", options={
        "driver": "qcow2", "file": "over-file", "size": 2 * BLOCK, "backing-file": "base",
        "backing-fmt": "raw"})
    pipeline.replies()
    while scene.note(monitor.wait("JOB_STATUS_CHANGE"))["data"]["status"] != "concluded":
        pass
    pipeline.send("job-dismiss", id="create")
    pipeline.send("blockdev-add", **{"node-name": "over", "driver": "qcow2", "file": "over-file",
                                     "backing": "base"})
    pipeline.send("device_add", driver="scsi-hd", drive="over", id="over", bus="vmspawn_scsi.0")
    pipeline.send("query-fdsets")
    pipeline.send("cont")
    pipeline.replies()
    equal([2, 3], blocks(monitor, "over"), "what is on the disk")
    if not scene.native:
        text = subprocess.run([tree.fdsetctl, "--socket", scene.observe, "list", "--leases",
                               "--no-headings"], stdout=subprocess.PIPE, check=True, text=True).stdout
        equal(["0 read-write", "1 read-only", "2 read-write"],
              sorted(f"{line.split()[1]} {line.split()[3]}" for line in text.splitlines()), "leases")
    monitor.quit()


def test_vmspawn():
    both(vmspawn)


def at_once(scene):
    """A set that lives from one command to the next but one, all in one go, many times. (QEMU
    up to 9.0 goes on listing what was removed while it is stopped.)"""
    image("image", 7)
    monitor = vmspawn_start(scene)
    pipeline = Pipeline(scene, monitor)
    for _ in range(20):
        for number in (1, 2, 3):
            pipeline.send("add-fd", os.open("image", os.O_RDONLY), fdset_id=number)
            pipeline.send("blockdev-add", **file_node(f"disk{number}", number, **{"read-only": True}))
            pipeline.send("remove-fd", fdset_id=number)
        pipeline.replies()
        scene.inside("1 read-only", "2 read-only", "3 read-only")
        for number in (1, 2, 3):
            pipeline.send("blockdev-del", node_name=f"disk{number}")
        pipeline.replies()
        scene.note(monitor.execute("query-fdsets"))
        scene.inside()
    monitor.quit()


def test_add_open_and_remove_at_once():
    both(at_once)


# ---------------------------------------------------------------- xenopsd and libxl

class Xenopsd:
    """Each command has a connection of its own; a descriptor goes with a blank before it."""

    def __init__(self, scene):
        self.scene = scene

    def does(self, command, fd=None, **arguments):
        monitor = Monitor("qmp")
        if fd is not None:
            socket.send_fds(monitor.socket, [b" "], [fd])
            os.close(fd)
        result = monitor.execute(command, {name.replace("_", "-"): value
                                           for name, value in arguments.items()})
        monitor.close()
        return self.scene.note(result)


def xenopsd(scene):
    image("image.one", 1)
    image("image.two", 2)
    scene.start("-machine", "pc", "-m", "64M", "-device", "ide-cd,id=ide0-cd1", "-qmp",
                "unix:qmp,server=on,wait=off", "-qmp", "unix:events,server=on,wait=off")
    events = Monitor("events")  # it is connected all the time
    client = Xenopsd(scene)
    for name in ("image.one", "image.two", "image.one"):
        number = client.does("add-fd", os.open(name, os.O_RDONLY))["fdset-id"]
        client.does("blockdev-change-medium", id="ide0-cd1", filename=f"/dev/fdset/{number}",
                    format="raw")
        client.does("remove-fd", fdset_id=number)
        scene.inside(f"{number} read-only")
    client.does("eject", id="ide0-cd1", force=True)
    scene.inside()

    # It suspends: the state of the devices goes to a file that it has made.
    number = client.does("add-fd", os.open("image.state", os.O_WRONLY | os.O_CREAT, 0o660))["fdset-id"]
    client.does("stop")
    client.does("xen-save-devices-state", filename=f"/dev/fdset/{number}")
    client.does("remove-fd", fdset_id=number)
    scene.inside()
    assert os.path.getsize("image.state") > 100, "no state was written"
    client.does("cont")
    client.does("query-fdsets")
    events.quit()


def test_xenopsd():
    both(xenopsd)


def libxl(scene):
    """The medium of a drive is changed; a number that nobody has is removed at first."""
    image("image", 1)
    scene.start("-machine", "pc", "-m", "64M", "-device", "ide-cd,id=cd", "-qmp",
                "unix:qmp,server=on,wait=off")
    monitor = Monitor("qmp")
    monitor.refuses("not found", "remove-fd", {"fdset-id": 8675})
    monitor.execute("eject", {"id": "cd", "force": True})
    fd = os.open("image", os.O_RDONLY)
    added = scene.note(monitor.execute("add-fd", {"opaque": "xvdc:image"}, [fd]))
    os.close(fd)
    scene.note(monitor.execute("blockdev-change-medium", {
        "id": "cd", "filename": f"/dev/fdset/{added['fdset-id']}", "format": "raw"}))
    scene.inside(f"{added['fdset-id']} read-only")
    scene.note(monitor.execute("query-fdsets"))
    scene.note(monitor.execute("remove-fd", {"fdset-id": added["fdset-id"]}))
    scene.inside(f"{added['fdset-id']} read-only")
    scene.note(monitor.execute("eject", {"id": "cd", "force": True}))
    scene.inside()
    monitor.quit()


def test_libxl():
    both(libxl)


wrapped.run_tests(dict(globals()), base)
