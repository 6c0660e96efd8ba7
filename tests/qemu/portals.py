#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Portals: whatever made a monitor, and however a set's path is spelled, no member gets into
QEMU. After every step all descriptors of the process are looked at."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile

import wrapped
from wrapped import Monitor, Skip, Tree, equal, until

wrapped.adopt_orphans()
base = tempfile.mkdtemp(prefix="fdset-portals.")
os.chmod(base, 0o755)
tree = Tree(os.path.join(base, "tree"))
MACHINE = ["-machine", "none", "-nodefaults", "-no-user-config", "-display", "none"]
SIZE = 1 << 20


def image(name, size=SIZE):
    with open(name, "wb") as file:
        file.truncate(size)


class Scene:
    """fdset-qemu, running. Images are files of SIZE bytes or of the names that it knows."""

    def __init__(self, *arguments, fds=(), machine=MACHINE, wait=True, environment=None):
        self.observe, self.manage = os.path.abspath("observe"), os.path.abspath("manage")
        self.directory = os.getcwd()
        self.process = subprocess.Popen(
            [tree.wrapper, "--fdset-observe", self.observe, "--fdset-manage", self.manage, *machine,
             *arguments], pass_fds=fds, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env=environment)
        self.pid = self.process.pid
        if wait:
            until(lambda: os.path.exists(self.observe) or self.process.poll() is not None, "a helper")

    def errors(self):
        """What was said, of a process that has ended."""
        return self.process.stderr.read().decode()

    def leases(self):
        text = subprocess.run([tree.fdsetctl, "--wait", "--socket", self.observe, "list", "--leases",
                               "--no-headings"], stdout=subprocess.PIPE, check=True, text=True).stdout
        return sorted((line.split()[1], line.split()[3]) for line in text.splitlines())

    def members(self):
        text = subprocess.run([tree.fdsetctl, "--socket", self.observe, "list", "--no-headings"],
                              stdout=subprocess.PIPE, check=True, text=True).stdout
        return sorted(line.split()[0] for line in text.splitlines())

    def inside(self):
        """How many descriptors of ours QEMU has: as many as it has leases, and no more."""
        ours = {(status.st_dev, status.st_ino) for status in
                (os.stat(os.path.join(self.directory, name)) for name in os.listdir(self.directory)
                 if name.startswith("image"))}
        found = 0
        for number in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                status = os.stat(f"/proc/{self.pid}/fd/{number}")
            except FileNotFoundError:
                continue
            found += (status.st_dev, status.st_ino) in ours
        equal(len(self.leases()), found, "images in QEMU's process, and leases")
        return found

    def __enter__(self):
        return self

    def kill(self):
        for pid in (self.pid, self.process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        self.process.stderr.close()

    def __exit__(self, *_):
        self.kill()
        tree.ended()


def node(read_only=False, **more):
    return {"driver": "raw", "node-name": "disk", "read-only": read_only,
            "file": {"driver": "file", "node-name": "file", "filename": "/dev/fdset/1",
                     "read-only": read_only, **more}}


def add(monitor, name, flags, set_id, **more):
    fd = os.open(name, flags)
    try:
        return monitor.execute("add-fd", {"fdset-id": set_id, **more}, [fd])
    finally:
        os.close(fd)


def play(scene, monitor):
    """A disk's life, looked at after each step."""
    image("image")
    equal([], monitor.execute("query-fdsets"), "sets at first")
    added = [add(monitor, "image", flags, 1, opaque=f"flags {flags}")
             for flags in (os.O_RDONLY, os.O_RDWR)]
    equal(0, scene.inside(), "images inside")
    equal([{"fdset-id": 1, "fds": [{"fd": one["fd"], "opaque": f"flags {flags}"} for one, flags
                                   in zip(added, (os.O_RDONLY, os.O_RDWR))]}],
          monitor.execute("query-fdsets"), "sets")
    for one in added:
        link = os.readlink(f"/proc/{scene.pid}/fd/{one['fd']}")
        assert "fdset-portal" in link, f"the member's number is {link}"
    monitor.execute("blockdev-add", node(True))
    equal([("1", "read-only")], scene.leases(), "leases")
    equal(1, scene.inside(), "images inside")
    for read_only in (False, True, False):
        monitor.execute("blockdev-reopen", {"options": [node(read_only)]})
        equal([("1", "read-only" if read_only else "read-write")], scene.leases(), "leases")
        equal(1, scene.inside(), "images inside")
    monitor.execute("remove-fd", {"fdset-id": 1, "fd": added[0]["fd"]})
    equal(1, scene.inside(), "images inside")
    monitor.execute("remove-fd", {"fdset-id": 1})
    equal(1, scene.inside(), "images inside")
    monitor.refuses("", "blockdev-add", {**node(True)["file"], "node-name": "late"})
    monitor.execute("blockdev-del", {"node-name": "disk"})
    equal(0, scene.inside(), "images inside")
    equal([], monitor.execute("query-fdsets"), "sets at last")
    until(lambda: not scene.members(), "the end of the last member")


def played(*arguments, path="qmp", **more):
    with Scene(*arguments, **more) as scene:
        play(scene, Monitor(path))


def test_a_member_that_was_opened_for_direct_access():
    """QEMU sets the status flags of what it receives, and a portal has no pages of a disk."""
    image("image")
    with Scene("-qmp", "unix:qmp,server=on,wait=off") as scene:
        monitor = Monitor("qmp")
        for flags in (os.O_RDONLY, os.O_RDWR):
            for more in (os.O_DIRECT, os.O_DIRECT | os.O_NONBLOCK, os.O_DIRECT | os.O_APPEND):
                add(monitor, "image", flags | more, 1)
        monitor.execute("blockdev-add", node(cache={"direct": True}))
        equal([("1", "read-write")], scene.leases(), "leases")
        equal(1, scene.inside(), "images inside")
        (lease,) = [number for number, what in wrapped.descriptors(scene.pid).items()
                    if os.path.basename(what) == "image"]
        with open(f"/proc/{scene.pid}/fdinfo/{lease}", encoding="ascii") as file:
            assert int(file.read().split("flags:")[1].split()[0], 8) & os.O_DIRECT, "not direct"


# ------------------------------------------------------------ a monitor made by ...

def test_made_by_qmp():
    played("-qmp", "unix:qmp,server=on,wait=off")


def test_made_by_mon_and_chardev():
    played("-chardev", "socket,id=c,path=qmp,server=on,wait=off", "-mon", "chardev=c,mode=control")


def test_made_by_json():
    played("-chardev", "socket,id=c,path=qmp,server=on,wait=off", "-qmp", "chardev:c")


class Pretty(Monitor):
    """Each message has several lines."""

    def read(self):
        text = self.lines.readline()
        while text and not text.rstrip("\r\n") in ("}", "{}") and not text.startswith('{"'):
            line = self.lines.readline()
            if not line:
                raise EOFError("the monitor hung up")
            text += line
            if line.rstrip("\r\n") == "}":
                break
        return json.loads(text)


def test_made_to_write_for_people():
    for number, options in enumerate((
            ["-qmp-pretty", "unix:qmp0,server=on,wait=off"],
            ["-chardev", "socket,id=c,path=qmp1,server=on,wait=off", "-mon",
             "chardev=c,mode=control,pretty=on"])):
        with Scene(*options) as scene:
            play(scene, Pretty(f"qmp{number}"))


def test_made_by_a_file():
    with open("config", "w", encoding="ascii") as file:
        file.write('[chardev "c"]\n backend = "socket"\n path = "qmp"\n server = "on"\n'
                   ' wait = "off"\n[mon "m"]\n chardev = "c"\n mode = "control"\n')
    played("-readconfig", "config")


def test_made_as_an_object():
    """Since QEMU 11.1."""
    for words in ("monitor-qmp,id=q,chardev=c", '{"qom-type":"monitor-qmp","id":"q","chardev":"c"}'):
        options = ["-chardev", "socket,id=c,path=qmp,server=on,wait=off", "-object", words]
        done = subprocess.run(["qemu-system-x86_64", *MACHINE, *options, "-device", "nonsense"],
                              stderr=subprocess.PIPE, text=True)
        if "monitor-qmp" in done.stderr:
            return  # an older one has no such object
        played(*options)


def test_made_at_run_time():
    with Scene("-qmp", "unix:first,server=on,wait=off") as scene:
        first = Monitor("first")
        first.execute("chardev-add", {"id": "c", "backend": {"type": "socket", "data": {
            "addr": {"type": "unix", "data": {"path": "qmp"}}, "server": True, "wait": False}}})
        try:
            first.execute("object-add", {"qom-type": "monitor-qmp", "id": "q", "chardev": "c"})
        except wrapped.Refused:
            return  # as above
        play(scene, Monitor("qmp"))


def test_made_of_an_inherited_listener():
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("qmp")
        listener.listen(1)
        fd = listener.fileno()
        played("-chardev", f"socket,id=c,fd={fd},server=on,wait=off", "-mon",
               "chardev=c,mode=control", fds=[fd])


def test_made_of_an_inherited_connection():
    ours, theirs = socket.socketpair()
    with theirs:
        scene = Scene("-chardev", f"socket,id=c,fd={theirs.fileno()}", "-mon",
                      "chardev=c,mode=control", fds=[theirs.fileno()])
    with scene:
        play(scene, Monitor(ours))


def test_made_as_a_client():
    """And once more, where it connects again."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("listener")
        listener.listen(1)
        listener.settimeout(wrapped.PATIENCE)
        again = "reconnect-ms=1000" if wrapped.qemu_version() >= (9, 2) else "reconnect=1"
        with Scene("-chardev", f"socket,id=c,path=listener,{again}", "-mon",
                   "chardev=c,mode=control") as scene:
            for _ in range(2):
                monitor = Monitor(listener.accept()[0])
                play(scene, monitor)
                monitor.close()


def test_read_by_a_thread_that_waits_already():
    """It has begun to wait for the client before the greeting is written."""
    ours, theirs = socket.socketpair()
    with ours, theirs, Scene("--fdset-emulator", os.environ["FDSET_GREETS"], str(theirs.fileno()),
                             fds=(theirs.fileno(),), machine=[]) as scene:
        theirs.close()
        monitor = Monitor(ours)
        equal([], monitor.execute("x-fdset-query-leases"), "the relay's answer")
        equal({}, monitor.execute("query-status"), "the emulator's answer")
        monitor.close()
        equal(0, scene.process.wait(wrapped.PATIENCE), "status")


def test_made_at_a_path_where_a_file_lies():
    with open("qmp", "w", encoding="ascii") as file:
        file.write("made before")
    with Scene("-qmp", f"unix:{os.path.abspath('qmp')},server=on,wait=off") as scene:
        until(lambda: not os.path.isfile("qmp") and os.path.exists("qmp"), "a socket")
        play(scene, Monitor("qmp"))


def test_made_by_way_of_a_directorys_descriptor():
    os.mkdir("place")
    place = os.open("place", os.O_PATH | os.O_DIRECTORY)
    played("-qmp", f"unix:/proc/self/fd/{place}/qmp,server=on,wait=off", path="place/qmp",
           fds=[place])
    os.close(place)


def test_several_at_once():
    """Each has its relay, and all have the same sets."""
    with Scene("-qmp", "unix:one,server=on,wait=off", "-qmp", "unix:two,server=on,wait=off") as scene:
        one, two = Monitor("one"), Monitor("two")
        image("image2")
        add(one, "image2", os.O_RDWR, 2, opaque="x")
        equal([2], [entry["fdset-id"] for entry in two.execute("query-fdsets")], "sets")
        two.execute("remove-fd", {"fdset-id": 2})
        equal([], one.execute("query-fdsets"), "sets")
        play(scene, two)


def test_a_client_after_another():
    with Scene("-qmp", "unix:qmp,server=on,wait=off") as scene:
        for _ in range(3):
            monitor = Monitor("qmp")
            play(scene, monitor)
            monitor.close()


# --------------------------------------------------- and then QEMU becomes different

def test_in_the_background():
    scene = Scene("-qmp", "unix:qmp,server=on,wait=off", "-daemonize", "-pidfile", "pid")
    with scene:
        equal(0, scene.process.wait(wrapped.PATIENCE), "status")
        with open("pid", encoding="ascii") as file:
            scene.pid = int(file.read())
        play(scene, Monitor("qmp"))


def test_in_the_sandbox():
    played("-qmp", "unix:qmp,server=on,wait=off", "-sandbox",
           "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")


def test_as_another_user_in_another_root():
    if os.geteuid() != 0:
        raise Skip("only root becomes another user")
    os.mkdir("root")
    played("-qmp", "unix:qmp,server=on,wait=off", *wrapped.as_nobody(os.path.abspath("root")))


def test_with_a_process_that_tears_down():
    """It keeps nothing of ours: when QEMU is killed, all is over."""
    scene = Scene("-qmp", "unix:qmp,server=on,wait=off", "-async-teardown", wait=False)
    until(lambda: os.path.exists("qmp") or scene.process.poll() is not None, "a monitor")
    if scene.process.poll() is not None and "async-teardown" in scene.errors():
        with scene:
            return  # a later one has another word for it
    with scene:
        monitor = Monitor("qmp")
        image("image2")
        add(monitor, "image2", os.O_RDWR, 2)
        scene.process.kill()
        until(lambda: not tree.processes(), "the end of helper and relay")


# ------------------------------------------------------------------ paths of sets

def with_image(test, *arguments, flags=os.O_RDWR, create=image, name="image"):
    create(name)
    fd = os.open(name, flags)
    with Scene("-qmp", "unix:qmp,server=on,wait=off", "-add-fd", f"fd={fd},set=1,opaque=x",
               *arguments, fds=[fd]) as scene:
        os.close(fd)
        test(scene, Monitor("qmp"))


def test_path_in_json_with_escapes():
    def test(scene, _):
        equal([("1", "read-write")], scene.leases(), "leases")
        equal(1, scene.inside(), "images inside")
    with_image(test, "-blockdev",
               '{"driver":"file","node-name":"f","filename":"\\/dev\\/fdset\\/1"}')


def test_path_in_a_qcow2_header():
    image("image1")
    subprocess.run(["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b",
                    "/dev/fdset/2", "image", str(SIZE)], check=True)

    def test(scene, monitor):
        add(monitor, "image1", os.O_RDONLY, 2)
        monitor.execute("blockdev-add", {"driver": "qcow2", "node-name": "top", "file": {
            "driver": "file", "filename": "/dev/fdset/1"}})
        equal([("1", "read-write"), ("2", "read-only")], scene.leases(), "leases")
        equal(2, scene.inside(), "images inside")
    with_image(test, create=lambda name: None)


def test_path_in_a_vmdk():
    """As Kata has it: a descriptor in memory whose extents are sets."""
    def test(scene, monitor):
        text = ("# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
                f'createType="monolithicFlat"\nRW {SIZE // 512} FLAT "/dev/fdset/1" 0\n'
                'ddb.adapterType = "ide"\n')
        memory = os.memfd_create("vmdk")
        os.write(memory, text.encode())
        reader = os.open(f"/proc/self/fd/{memory}", os.O_RDONLY)
        monitor.execute("add-fd", {"fdset-id": 3}, [reader])
        os.close(reader)
        os.close(memory)
        monitor.execute("blockdev-add", {"driver": "vmdk", "node-name": "v", "read-only": True,
                                         "file": {"driver": "file", "filename": "/dev/fdset/3",
                                                  "read-only": True}})
        equal([("1", "read-only"), ("3", "read-only")], scene.leases(), "leases")
    with_image(test, flags=os.O_RDONLY)


# ----------------------------------------------------------- what came by others

def fdsetctl(scene, *words):
    subprocess.run([tree.fdsetctl, "--socket", scene.manage, *words], check=True,
                   stdout=subprocess.DEVNULL)


def test_what_fdsetctl_adds_and_removes():
    with Scene("-qmp", "unix:qmp,server=on,wait=off") as scene:
        monitor = Monitor("qmp")
        image("image")
        fdsetctl(scene, "add", "--set", "1", "--read-write", "image")
        monitor.execute("blockdev-add", node())
        equal([("1", "read-write")], scene.leases(), "leases")
        equal(1, scene.inside(), "images inside")
        fdsetctl(scene, "remove", "1")
        equal([], [entry for entry in monitor.execute("query-fdsets") if entry["fds"]], "sets")
        monitor.refuses("", "blockdev-add", {**node()["file"], "node-name": "late"})
        equal(1, scene.inside(), "images inside")


def nothing_wanted(*_):
    raise AssertionError("nothing is wanted")


signal.signal(signal.SIGALRM, nothing_wanted)


class Giver:
    """A manager who is told what is wanted, and passes it."""

    def __init__(self, scene, name="image"):
        self.scene, self.name = scene, name
        self.watch = subprocess.Popen(
            [tree.fdsetctl, "--wait", "--socket", scene.manage, "watch", "--json", "--ready"],
            stdout=subprocess.PIPE, text=True)
        equal("ready\n", self.watch.stdout.readline(), "what a manager who listens says")
        self.wanted = []

    def give(self):
        """Waits until something is, and gives it."""
        signal.alarm(wrapped.PATIENCE)
        for line in self.watch.stdout:
            event = json.loads(line)
            if event.get("event") != "wanted":
                continue
            flag = "--read-only" if event["mode"] == "read-only" else "--read-write"
            self.wanted.append((event["path"], event["mode"]))
            fdsetctl(self.scene, "add", "--set", event["path"].rpartition("/")[2], flag, self.name)
            signal.alarm(0)
            return
        raise AssertionError("fdsetctl has ended")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.watch.kill()
        self.watch.wait()
        self.watch.stdout.close()


def waiting():
    return {**os.environ, "FDSET_WAIT_MS": "3600000"}


def test_what_is_wanted_is_waited_for():
    """A set that is not there, then a mode that it lacks; nothing of it is listed before."""
    image("image")
    with Scene("-qmp", "unix:qmp,server=on,wait=off", environment=waiting()) as scene:
        monitor = Monitor("qmp")
        equal([], monitor.execute("query-fdsets"), "sets")
        with Giver(scene) as giver:
            monitor.send("blockdev-add", node(True))
            giver.give()
            monitor.answer()
            equal([("1", "read-only")], scene.leases(), "leases")
            monitor.send("blockdev-reopen", {"options": [node(False)]})
            giver.give()
            monitor.answer()
        equal([("/dev/fdset/1", "read-only"), ("/dev/fdset/1", "read-write")], giver.wanted, "wanted")
        equal([("1", "read-write")], scene.leases(), "leases")
        equal(1, scene.inside(), "images inside")
        (entry,) = monitor.execute("query-fdsets")
        equal((1, 2), (entry["fdset-id"], len(entry["fds"])), "what is listed")


def test_what_the_command_line_wants_is_waited_for():
    image("image")
    os.mkfifo("go")  # until somebody listens
    with open("between", "w", encoding="ascii") as file:
        file.write('#!/bin/sh\nread -r go <go\nexec qemu-system-x86_64 "$@"\n')
    os.chmod("between", 0o755)
    with Scene("-qmp", "unix:qmp,server=on,wait=off", "-blockdev",
               "driver=file,node-name=f,filename=/dev/fdset/7,read-only=on",
               environment={**waiting(), "FDSET_EMULATOR": os.path.abspath("between")}) as scene:
        with Giver(scene) as giver:
            with open("go", "w", encoding="ascii") as file:
                file.write("go\n")
            giver.give()
        monitor = Monitor("qmp")
        equal([("7", "read-only")], scene.leases(), "leases")
        equal(1, scene.inside(), "images inside")
        (entry,) = monitor.execute("query-fdsets")
        equal((7, 1), (entry["fdset-id"], len(entry["fds"])), "what is listed")


# ------------------------------------------------------------------- the guard

def stray(*options, inside):
    """A file that comes by a socket of a serial port. What is said of it, once so many of it are
    in QEMU's process."""
    image("image")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("serial")
        listener.listen(1)
        listener.settimeout(wrapped.PATIENCE)
        scene = Scene("-qmp", "unix:qmp,server=on,wait=off", "-machine", "pc", "-S", "-accel", "tcg",
                      "-chardev", "socket,id=s,path=serial", "-serial", "chardev:s", *options,
                      machine=MACHINE[2:])
        with scene:
            serial = listener.accept()[0]
            monitor = Monitor("qmp")
            monitor.execute("x-fdset-events", {"enable": True})
            with open("image", "rb") as file:
                socket.send_fds(serial, [b"x"], [file.fileno()])
            event = monitor.wait("FDSET_STRAY")
            until(lambda: list(wrapped.descriptors(scene.pid).values()).count(
                os.path.abspath("image")) == inside, f"{inside} in QEMU's process")
            serial.close()
            scene.process.kill()
            return event["data"], scene.errors()


def test_guard_tells():
    data, text = stray(inside=1)
    assert os.path.abspath("image") in data["what"] and data["count"] == 1, data
    assert "not by way of the helper" in text, text


def test_guard_refuses():
    data, text = stray("--fdset-strict", inside=0)
    assert "was refused" in data["what"] and "was refused" in text, (data, text)


def between(*options):
    """A script between fdset-qemu and QEMU has a descriptor of its own."""
    image("image")
    with open("between", "w", encoding="ascii") as file:
        file.write('#!/bin/sh\nexec qemu-system-x86_64 "$@" -add-fd fd=9,set=9 9<image\n')
    os.chmod("between", 0o755)
    return Scene("-qmp", "unix:qmp,server=on,wait=off", *options,
                 environment={**os.environ, "FDSET_EMULATOR": os.path.abspath("between")})


def test_guard_tells_of_an_add_fd():
    with between() as scene:
        Monitor("qmp").quit()
        equal(0, scene.process.wait(wrapped.PATIENCE), "status")
        text = scene.errors()
        assert "image came by -add-fd and not by way of the helper" in text, text


def test_guard_refuses_an_add_fd():
    with between("--fdset-strict") as scene:
        equal(1, scene.process.wait(wrapped.PATIENCE), "status")
        text = scene.errors()
        assert "image came by -add-fd and was refused" in text, text


# ------------------------------------------------------------- when something ends

def ends(socket_):
    try:
        while socket_.recv(4096):
            pass
    except ConnectionResetError:
        pass


PC = ["-machine", "pc,accel=tcg", "-m", "16", "-nodefaults", "-no-user-config", "-display", "none"]


def plug(scene, monitor):
    """A disk that a guest has."""
    for flags in (os.O_RDONLY, os.O_RDWR):
        add(monitor, "image", flags, 1)
        equal(0, scene.inside(), "images inside")
    monitor.execute("blockdev-add", node())
    scene.inside()
    monitor.execute("device_add", {"driver": "virtio-blk-pci", "id": "device", "drive": "disk"})
    scene.inside()


def test_live_migration_on_one_host():
    """Each of the two has a helper of its own, and a description of the disk of its own. The
    disk is the target's from the moment at which it runs, and the source's no more."""
    image("image")
    where = {"uri": f"unix:{os.path.abspath('migration')}"}
    with contextlib.ExitStack() as scenes:
        source = scenes.enter_context(Scene("-qmp", "unix:qmp,server=on,wait=off", machine=PC))
        one = Monitor("qmp")
        plug(source, one)
        os.mkdir("target")
        os.link("image", "target/image")
        os.chdir("target")
        target = Scene("-qmp", "unix:qmp,server=on,wait=off", "-incoming", "defer", machine=PC)
        scenes.callback(target.kill)  # before the source looks whether all has ended
        two = Monitor("qmp")
        plug(target, two)
        two.execute("migrate-incoming", where)
        one.execute("migrate", where)
        until(lambda: one.execute("query-migrate")["status"] in ("completed", "failed"), "an end")
        equal("completed", one.execute("query-migrate")["status"], "migration")
        until(lambda: two.execute("query-status")["status"] == "running", "a start")
        equal("postmigrate", one.execute("query-status")["status"], "the source")
        source.inside()
        equal(1, target.inside(), "images in the target")
        two.execute("block_resize", {"node-name": "disk", "size": 2 * SIZE})
        equal(2 * SIZE, os.stat("image").st_size, "size")
        one.quit()
        source.process.wait(wrapped.PATIENCE)
        two.execute("block_resize", {"node-name": "disk", "size": 3 * SIZE})
        equal(1, target.inside(), "images in the target")


def test_relay_killed():
    """Clients see the end, also those that come then, and no member gets past the helper."""
    with Scene("-qmp", "unix:qmp,server=on,wait=off") as scene:
        monitor = Monitor("qmp")
        image("image")
        add(monitor, "image", os.O_RDWR, 1)
        monitor.execute("blockdev-add", node())
        (relay,) = tree.processes("/fdset-qemu: relay")
        os.kill(relay, signal.SIGKILL)
        ends(monitor.socket)
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(wrapped.PATIENCE)
                client.connect("qmp")
                with open("image", "rb") as file:
                    try:
                        socket.send_fds(client, [b'{"execute": "qmp_capabilities"}{"execute": "add-fd",'
                                                 b' "arguments": {"fdset-id": 2}}'], [file.fileno()])
                    except (BrokenPipeError, ConnectionResetError):
                        pass
                ends(client)
            equal(1, scene.inside(), "images inside")
        scene.process.terminate()
        equal(0, scene.process.wait(wrapped.PATIENCE), "status")
        text = scene.errors()
        assert "the relay of fdset-qemu has gone" in text, text
        assert "not by way of the helper" not in text, text


wrapped.run_tests(dict(globals()), base)
