#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""fdset-qemu, on the installed QEMU.

What libvirt and its like need of a program in the emulator's place, and where
that is tested:

     1  probing is QEMU's own affair, nothing stays      test_01_*
     2  QEMU is in place, the others are nobody's child  test_02_*
     3  helper and relay end with QEMU                   test_03_*
     4  an environment of four variables will do         test_04_*
     5  inherited descriptors keep their numbers         test_05_*
     6  a monitor can be connected to again and again    test_06_*
     7  add-fd and its kin, and descriptors of others    test_07_*
     8  paths of sets                                    test_08_*
     9  status flags as asked for; removal at once       test_09_*
    10  an image in use is refused to a second machine   test_10_*
    11  the helper dies, the machine goes on             test_11_*
    12  QEMU's errors are heard, nothing is left         test_12_*

Then come the kinds of monitors, the program's own options, and what it makes of
a command line."""

import os
import signal
import socket
import subprocess
import tempfile
import threading

import wrapped
from wrapped import Monitor, Refused, Tree, descriptors, equal, until

wrapped.adopt_orphans()

# What runs from here is told by this name.
base = tempfile.mkdtemp(prefix="fdset-wrapper.")
tree = Tree(os.path.join(base, "tree"))

MACHINE = ["-machine", "none", "-nodefaults", "-no-user-config", "-display", "none"]


def image(name, size=1 << 20):
    with open(name, "wb") as file:
        file.truncate(size)


def opened(name, flags):
    return os.open(name, flags)


class Machine:
    """fdset-qemu, running, with its monitor."""

    def __init__(self, *arguments, fds=(), machine=MACHINE, monitor="qmp", environment=None,
                 wrapper=None):
        self.observe = os.path.abspath("observe")
        self.process = subprocess.Popen(
            [*(wrapper or [tree.wrapper, "--fdset-observe", self.observe]), *machine, *arguments,
             "-qmp", f"unix:{monitor},server=on,wait=off"],
            pass_fds=fds, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env=environment)
        self.pid = self.process.pid
        until(lambda: os.path.exists(monitor) or self.process.poll() is not None, "a monitor")
        if self.process.poll() is not None:
            raise AssertionError(self.process.stderr.read())
        self.monitor = Monitor(monitor)

    def list(self):
        """Lines of SET MODE, one a lease."""
        return fdsetctl_list(self.observe)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        self.monitor.close()
        tree.ended()


def fdsetctl_list(observe):
    text = subprocess.run([tree.fdsetctl, "--wait", "--socket", observe, "list", "--leases", "--no-headings"],
                          stdout=subprocess.PIPE, check=True, text=True).stdout
    return sorted((line.split()[1], line.split()[3]) for line in text.splitlines())


def fdsetctl_sets(observe):
    text = subprocess.run([tree.fdsetctl, "--socket", observe, "list", "--no-headings"],
                          stdout=subprocess.PIPE, check=True, text=True).stdout
    return {line.split()[0] for line in text.splitlines()}


def blockdev(set_id, node="disk", **more):
    return {"driver": "file", "filename": f"/dev/fdset/{set_id}", "node-name": node, **more}


def failing(*arguments, fds=(), environment=None):
    """Its message, and that it ended with 1 and left nothing."""
    done = subprocess.run([tree.wrapper, *MACHINE, *arguments], pass_fds=fds, env=environment,
                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          timeout=wrapped.PATIENCE)
    equal(1, done.returncode, f"status ({done.stderr})")
    tree.ended()
    return done.stderr


# ------------------------------------------------------------- the 12 points

PROBE = ["-S", "-no-user-config", "-nodefaults", "-nographic", "-machine", "none,accel=kvm:tcg",
         "-qmp", "unix:probe,server=on,wait=off", "-pidfile", "pid", "-daemonize"]


def test_01_probing():
    """The pipe is at its end as soon as QEMU is in the background. What QEMU says into it
    depends on whether there is KVM."""
    done = subprocess.run([tree.wrapper, *PROBE], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          timeout=wrapped.PATIENCE)
    equal(0, done.returncode, done.stderr)
    equal([], tree.processes(), "helpers and relays")
    with open("pid", encoding="ascii") as file:
        pid = int(file.read())
    monitor = Monitor("probe")
    equal([], monitor.execute("query-fdsets"), "QEMU's own sets")
    with open(f"/proc/{pid}/environ", "rb") as file:
        assert b"FDSET_VMM_FD" not in file.read(), "QEMU has a helper"
    monitor.quit()


def test_01_version_and_help():
    for arguments in (["-version"], ["-machine", "help"], ["-device", "help"]):
        plain = subprocess.run(["qemu-system-x86_64", *arguments], stdout=subprocess.PIPE)
        ours = subprocess.run([tree.wrapper, *arguments], stdout=subprocess.PIPE)
        equal((plain.returncode, plain.stdout), (ours.returncode, ours.stdout), arguments)
    tree.ended()


def test_02_in_place():
    image("disk")
    with Machine() as machine:
        assert "/qemu-system-x86_64" in wrapped.command_line(machine.pid)[0]
        companions = tree.processes()
        equal(2, len(companions), "companions")
        # Who looks for the emulator finds it, and nobody else.
        equal({tree.wrapper + ": relay", os.path.join(tree.directory, "helper/fdset-helper")},
              {os.path.normpath(wrapped.command_line(pid)[0]) for pid in companions}, "names")
        for pid in companions:
            assert "qemu-system" not in " ".join(wrapped.command_line(pid)), "it looks like QEMU"
            # Who adopts orphans.
            equal(os.getppid(), wrapped.parent_of(pid), "parent")
            assert os.getsid(pid) not in (os.getsid(0), os.getsid(machine.pid)), "session"
        (relay,) = tree.processes("/fdset-qemu: relay")
        equal({"/dev/null"}, {descriptors(relay)[i] for i in (0, 1)}, "standard streams")


def test_02_no_more_descriptors_than_needed():
    image("disk")
    with open("disk", "rb") as other:
        with Machine(fds=[other.fileno()]) as machine:
            (relay,) = tree.processes("/fdset-qemu: relay")
            assert os.path.abspath("disk") in descriptors(machine.pid).values()
            assert os.path.abspath("disk") not in descriptors(relay).values()
            streams = [descriptors(relay)[i] for i in (0, 1, 2)]
            own = [os.readlink(f"/proc/self/fd/{i}") for i in (1, 2)]
            assert not set(streams) & (set(own) - {"/dev/null"}), streams


def test_03_end_with_qemu_killed():
    with Machine() as machine:
        machine.process.kill()
        tree.ended()


def test_03_end_with_qemu_in_the_background():
    """And nobody keeps the pipes of whoever started it."""
    image("disk")
    with open("disk", "rb") as disk:
        done = subprocess.run(
            [tree.wrapper, *MACHINE, "--fdset-manage", "manage", "-daemonize", "-pidfile", "pid",
             "-add-fd", f"fd={disk.fileno()},set=0", "-qmp", "unix:qmp,server=on,wait=off", "-blockdev",
             "driver=file,filename=/dev/fdset/0,node-name=a,read-only=on"],
            pass_fds=[disk.fileno()], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            timeout=wrapped.PATIENCE)
    equal((0, b"", b""), (done.returncode, done.stdout, done.stderr), "status and output")
    equal(2, len(tree.processes()), "companions of a QEMU in the background")
    with open("pid", encoding="ascii") as file:
        pid = int(file.read())
    monitor = Monitor("qmp")
    equal(1, len(monitor.execute("query-fdsets")), "sets")
    # Not the process that started it, which made the socket and has ended.
    shown = subprocess.run([tree.fdsetctl, "--socket", "manage", "list", "-n", "--leases", "-o", "PID"],
                           stdout=subprocess.PIPE, check=True, encoding="ascii")
    equal({str(pid)}, set(shown.stdout.split()), "whose leases they are")
    monitor.execute("blockdev-del", {"node-name": "a"})
    monitor.execute("blockdev-add", blockdev(0, "again", **{"read-only": True}))
    os.kill(pid, signal.SIGKILL)
    tree.ended()
    monitor.close()


def test_03_helper_survives_the_relay():
    """The next start would otherwise find the log file in use."""
    image("disk")
    with open("disk", "rb") as disk:
        with Machine("-add-fd", f"fd={disk.fileno()},set=0", "-blockdev",
                     "driver=file,filename=/dev/fdset/0,node-name=a,read-only=on",
                     fds=[disk.fileno()]) as machine:
            (relay,) = tree.processes("/fdset-qemu: relay")
            os.kill(relay, signal.SIGKILL)
            until(lambda: not tree.processes("/fdset-qemu: relay"), "the relay's end")
            equal([("0", "read-only")], machine.list(), "leases")
            machine.process.kill()
            tree.ended()


def test_04_clean_environment():
    image("disk")
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C",
                   "XDG_CACHE_HOME": "/nonexistent"}
    with open("disk", "rb") as disk:
        with Machine("-add-fd", f"fd={disk.fileno()},set=0", "-blockdev",
                     "driver=file,filename=/dev/fdset/0,node-name=a,read-only=on",
                     fds=[disk.fileno()], environment=environment) as machine:
            equal([("0", "read-only")], machine.list(), "leases")
            with open(f"/proc/{machine.pid}/environ", "rb") as file:
                names = {entry.split(b"=")[0] for entry in file.read().split(b"\0") if entry}
            equal({*map(str.encode, environment), b"LD_PRELOAD", b"FDSET_VMM_FD", b"FDSET_JOINT_FD",
                   b"FDSET_PORTALS", b"FDSET_START_FD"}, names, "environment")


def test_04_other_preloaded_libraries_stay():
    environment = dict(os.environ, LD_PRELOAD="libm.so.6")
    with Machine(environment=environment) as machine:
        with open(f"/proc/{machine.pid}/maps", encoding="utf-8") as file:
            maps = file.read()
        assert "libm.so" in maps
        assert os.path.join(tree.directory, "contrib/qemu/libfdset-preload.so") in maps
        for pid in tree.processes():
            assert pid != machine.pid


def test_05_numbers_stay():
    """All numbers are what they are in QEMU alone, but for high ones."""
    image("member")
    image("other")
    member, other = os.open("member", os.O_RDWR), os.open("other", os.O_RDONLY)
    words_ = ["-add-fd", f"fd={member},set=5,opaque=libvirt-1-storage0"]
    with Machine(*words_, fds=[member, other], wrapper=["qemu-system-x86_64"]) as machine:
        native = descriptors(machine.pid)
    with Machine(*words_, fds=[member, other]) as machine:
        found = descriptors(machine.pid)
        equal(os.path.abspath("other"), found.get(other), f"descriptor {other}")
        assert os.path.abspath("member") in native.values()
        assert os.path.abspath("member") not in found.values(), "a member is in QEMU"
        equal(set(native), {number for number in found if number < 512}, "numbers")
    os.close(member)
    os.close(other)


def again_and_again(wrapper, *options):
    """As libvirt does: an inherited listening socket, found again after its restart. What is
    in the sets each time, and what the helper has then."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("monitor")
    listener.listen(1)
    process = subprocess.Popen(
        [wrapper, *MACHINE, *options, "-chardev",
         f"socket,id=charmonitor,fd={listener.fileno()},server=on,wait=off", "-mon",
         "chardev=charmonitor,id=monitor,mode=control"], pass_fds=[listener.fileno()])
    found = []
    with open("disk", "rb") as disk:
        for turn in range(3):
            monitor = Monitor("monitor")
            sets = monitor.execute("query-fdsets")
            found.append([[fd["opaque"] for fd in entry["fds"]] for entry in sets])
            if options:
                equal(len(sets), len(fdsetctl_sets(os.path.abspath("observe"))), "the helper's sets")
            monitor.execute("add-fd", {"opaque": f"turn {turn}"}, [disk.fileno()])
            if turn < 2:
                monitor.close()
    monitor.quit()
    equal(0, process.wait(), "status")
    tree.ended()
    listener.close()
    if os.path.exists("monitor"):
        os.unlink("monitor")
    return found


def test_06_again_and_again():
    """QEMU up to 9.0 takes what is not in use out of its sets when its last client leaves."""
    image("disk")
    native = again_and_again("qemu-system-x86_64")
    equal(native, again_and_again(tree.wrapper, "--fdset-observe", os.path.abspath("observe")), "sets")


def test_07_commands():
    image("disk")
    readable, writable = os.open("disk", os.O_RDONLY), os.open("disk", os.O_RDWR)
    opaque = "a,b=c \"d\" /dev/fdset/9"
    with Machine("-add-fd", f"fd={readable},set=0,opaque={opaque.replace(',', ',,')}",
                 fds=[readable]) as machine:
        monitor = machine.monitor
        ((found,),) = [entry["fds"] for entry in monitor.execute("query-fdsets")]
        equal(opaque, found["opaque"], "label")
        answer = monitor.execute("add-fd", {"fdset-id": 0, "opaque": ""}, [writable])
        equal(0, answer["fdset-id"], "set")
        monitor.refuses("No file descriptor supplied via SCM_RIGHTS", "add-fd", {"fdset-id": 0})
        monitor.refuses("File descriptor named 'fdset-id:7' not found", "remove-fd",
                        {"fdset-id": 7})
        # Theirs and QEMU's own, in one go: answers come in the order of commands.
        monitor.send("query-fdsets")
        monitor.send("query-name")
        monitor.send("remove-fd", {"fdset-id": 0, "fd": answer["fd"]})
        monitor.send("query-block")
        monitor.send("query-fdsets")
        equal(["", opaque], sorted(member.get("opaque") for member in monitor.answer()[0]["fds"]),
              "labels")
        equal({}, monitor.answer(), "query-name")
        equal({}, monitor.answer(), "remove-fd")
        equal([], monitor.answer(), "query-block")
        equal(1, len(monitor.answer()[0]["fds"]), "members")
    os.close(readable)
    os.close(writable)


def test_07_unlabelled():
    """What comes from elsewhere has a label, whoever gave it without one: libvirt 11.3 reads
    it unasked. All else is listed as QEMU does."""
    image("disk")
    fds = [os.open("disk", os.O_RDWR) for _ in range(3)]
    manage = os.path.abspath("manage")
    with Machine("-add-fd", f"fd={fds[0]},set=0", "-add-fd", f"fd={fds[1]},set=0,opaque=",
                 "--fdset-manage", manage, fds=fds) as machine:
        machine.monitor.execute("add-fd", {"fdset-id": 0}, [fds[2]])
        subprocess.run([tree.fdsetctl, "--socket", manage, "add", "--set", "0", "--read-write",
                        "disk"], check=True, stdout=subprocess.DEVNULL)
        (found,) = machine.monitor.execute("query-fdsets")
        equal([None, "", None, "unlabelled"], [member.get("opaque") for member in found["fds"]],
              "labels")
    for fd in fds:
        os.close(fd)


def test_07_other_descriptors_go_through():
    image("disk")
    with open("disk", "rb") as disk, Machine() as machine:
        machine.monitor.execute("getfd", {"fdname": "mine"}, [disk.fileno()])
        assert os.path.abspath("disk") in descriptors(machine.pid).values()
        machine.monitor.execute("closefd", {"fdname": "mine"})
        assert os.path.abspath("disk") not in descriptors(machine.pid).values()


def test_08_paths():
    """-drive opens an image read-only until somebody writes to it."""
    for name in ("a", "b", "c"):
        image(name)
    readable, fds = os.open("a", os.O_RDONLY), [os.open(name, os.O_RDWR) for name in "abc"]
    words = ["-add-fd", f"fd={readable},set=0"]
    for number, fd in enumerate(fds):
        words += ["-add-fd", f"fd={fd},set={number}"]
    with Machine(*words, "-drive", "if=none,id=a,format=raw,file=/dev/fdset/0", "-blockdev",
                 '{"driver":"file","filename":"/dev/fdset/1","node-name":"b"}',
                 fds=[readable, *fds]) as machine:
        monitor = machine.monitor
        monitor.execute("blockdev-add", blockdev(2, "c"))
        equal([("0", "read-only"), ("1", "read-write"), ("2", "read-write")], machine.list(),
              "leases")
        names = {node["node-name"]: node["file"]
                 for node in monitor.execute("query-named-block-nodes")}
        equal(("/dev/fdset/1", "/dev/fdset/2"), (names["b"], names["c"]), "names in a reply")
        equal(["/dev/fdset/0"], [drive["inserted"]["file"]
                                 for drive in monitor.execute("query-block")], "name of a drive")
        assert "/dev/fdset/0" in monitor.human("info block")
        assert "//dev/fdset/" not in monitor.human("info block")
        monitor.execute("blockdev-del", {"node-name": "c"})
        monitor.human("drive_add 0 if=none,id=d,format=raw,file=/dev/fdset/0,read-only=on")
        equal([("0", "read-only"), ("0", "read-only"), ("1", "read-write")], machine.list(),
              "leases")
    for fd in [readable, *fds]:
        os.close(fd)


def test_09_status_flags():
    image("disk")
    image("log", 0)
    disk = os.open("disk", os.O_RDWR | os.O_DIRECT)  # which QEMU asks for since 9.1
    log = os.open("log", os.O_WRONLY)
    os.write(log, b"before ")
    with Machine("-add-fd", f"fd={disk},set=0", "-add-fd", f"fd={log},set=1", "-chardev",
                 "file,id=serial,path=/dev/fdset/1,append=on", "-blockdev",
                 "driver=file,filename=/dev/fdset/0,node-name=d,cache.direct=on",
                 fds=[disk, log]) as machine:
        found = descriptors(machine.pid)
        flags = {}
        for number, name in found.items():
            with open(f"/proc/{machine.pid}/fdinfo/{number}", encoding="ascii") as file:
                flags[os.path.basename(name)] = int(file.read().split("flags:")[1].split()[0], 8)
        assert flags["disk"] & os.O_DIRECT, "cache.direct=on without O_DIRECT"
        assert flags["log"] & os.O_APPEND, "append=on without O_APPEND"
        machine.monitor.execute("remove-fd", {"fdset-id": 0})
        machine.monitor.refuses("", "blockdev-add", blockdev(0, "late"))
        equal([[]], [entry["fds"] for entry in machine.monitor.execute("query-fdsets")
                     if entry["fdset-id"] == 0], "members of a removed set")
    with open("log", "rb") as file:
        equal(b"before ", file.read(), "the log's text of before")
    os.close(disk)
    os.close(log)


def test_10_an_image_in_use():
    """Each machine has a helper of its own; QEMU's locks are between them."""
    image("disk")
    first, second = os.open("disk", os.O_RDWR), os.open("disk", os.O_RDWR)
    words = ["-blockdev", "driver=file,filename=/dev/fdset/0,node-name=d", "-device",
             "virtio-blk-pci,drive=d"]
    machine = ["-machine", "pc", "-accel", "tcg", "-nodefaults", "-display", "none", "-S"]
    with Machine("-add-fd", f"fd={first},set=0", *words, fds=[first], machine=machine):
        done = subprocess.run([tree.wrapper, *machine, "-add-fd", f"fd={second},set=0", *words],
                              pass_fds=[second], stderr=subprocess.PIPE, text=True,
                              timeout=wrapped.PATIENCE)
        equal(1, done.returncode, "status")
        assert 'Failed to get "write" lock' in done.stderr, done.stderr
    os.close(first)
    # The description that the first machine had locked is with us still.
    with Machine("-add-fd", f"fd={second},set=0", *words, fds=[second], machine=machine):
        pass
    os.close(second)


def test_11_the_helper_dies():
    image("disk")
    with open("disk", "rb") as disk:
        with Machine("-add-fd", f"fd={disk.fileno()},set=0", "-blockdev",
                     "driver=file,filename=/dev/fdset/0,node-name=a,read-only=on",
                     fds=[disk.fileno()]) as machine:
            (helper,) = tree.processes("/fdset-helper")
            os.kill(helper, signal.SIGKILL)
            until(lambda: not tree.processes("/fdset-helper"), "the helper's end")
            monitor = machine.monitor
            monitor.human('qemu-io a "read 0 512"')
            monitor.refuses("", "blockdev-add", blockdev(0, "late"))
            equal(1, len(monitor.execute("query-fdsets")), "sets")
            monitor.refuses("", "add-fd", {"fdset-id": 3}, [disk.fileno()])
            equal(1, len(monitor.execute("query-named-block-nodes")), "nodes")
            monitor.close()
            machine.monitor = Monitor("qmp")
            machine.monitor.quit()
            equal(0, machine.process.wait(), "status")


def test_12_errors_of_qemu():
    image("disk")
    with open("disk", "rb") as disk:
        text = failing("-add-fd", f"fd={disk.fileno()},set=0", "-blockdev",
                       "driver=file,filename=/dev/fdset/0,node-name=a", "-qmp",
                       "unix:qmp,server=on,wait=off", fds=[disk.fileno()])
    assert "qemu-system-x86_64: -blockdev" in text and wrapped.no_member_fits() in text, text
    equal({"disk", "qmp"}, set(os.listdir(".")), "files that are left, as by QEMU")


def test_12_errors_of_the_wrapper():
    image("disk")
    with open("disk", "rb") as disk:
        fd = disk.fileno()
        for arguments, text in (
                ([f"fd={fd}"], "set option is required and must be non-negative"),
                (["set=1"], "fd option is required and must be non-negative"),
                (["fd=-3,set=1"], "fd option is required and must be non-negative"),
                (["fd=1,set=1"], "fd cannot be a standard I/O stream"),
                (["fd=999,set=1"], "fd is not valid or already in use"),
                ([f"fd={fd},set=-1"], "set option is required and must be non-negative"),
                ([f"fd={fd},set=1,foo=2"], "Invalid parameter 'foo'"),
                (["fd=x,set=1"], "Parameter 'fd' expects a number")):
            native = subprocess.run(["qemu-system-x86_64", *MACHINE, "-add-fd", *arguments],
                                    pass_fds=[fd], stderr=subprocess.PIPE, text=True)
            assert text in native.stderr, f"QEMU: {native.stderr}"
            text = text.replace(" and must be non-negative", "")
            ours = failing("-add-fd", *arguments, fds=[fd])
            assert text in ours and arguments[0] in ours, ours


def test_12_label_too_long():
    """Which QEMU would take."""
    image("disk")
    with open("disk", "rb") as disk:
        text = failing("-add-fd", f"fd={disk.fileno()},set=1,opaque={256 * 'x'}",
                       fds=[disk.fileno()])
    assert "opaque has 256 bytes, and may have 255" in text, text


def test_12_no_helper():
    text = failing("-qmp", "unix:qmp,server=on,wait=off", "--fdset-helper", "/nonexistent")
    assert "/nonexistent" in text and "does not start" in text, text
    text = failing("-qmp", "unix:qmp,server=on,wait=off", "--fdset-helper", "/bin/false")
    assert "/bin/false does not start" in text and "FDSET_HELPER_OPTIONS" in text, text
    text = failing("-qmp", "unix:qmp,server=on,wait=off", "--fdset-helper", "/bin/false", "-daemonize",
                   "-blockdev", "driver=null-co,node-name=a")
    assert "/bin/false does not start" in text, text
    text = failing("--fdset-helper", "/bin/false")
    assert "/bin/false does not start" in text, f"without a monitor: {text}"
    text = failing("-qmp", "unix:qmp,server=on,wait=off", "--fdset-log", "log",
                   environment={**os.environ, "FDSET_HELPER_OPTIONS": "--user 0"})
    assert "See the file of --fdset-log" in text and "FDSET_HELPER_OPTIONS" in text, text
    with open("log", encoding="utf-8") as file:
        assert "--user: 0 would keep root's power" in file.read()


NO_LIBRARY = "so the dynamic linker ignores LD_PRELOAD for it"


def warned(emulator, *user):
    """Whether it is said before the emulator begins that no set will be found."""
    done = subprocess.run([*user, tree.wrapper, "--fdset-emulator", emulator, *MACHINE, "-qmp",
                           "unix:none,server=on,wait=off", "-hda", "/dev/fdset/1"],
                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                          timeout=wrapped.PATIENCE)
    text = done.stderr.decode(errors="replace")
    return text.split(NO_LIBRARY)[0].rsplit(emulator + " ", 1)[1] if NO_LIBRARY in text else text


def elf_changed(name, place, bytes_):
    """A copy of a program with other bytes somewhere."""
    with open("/bin/true", "rb") as file:
        content = bytearray(file.read())
    if place is None:  # the segment that names the dynamic linker
        begin, size, count = (int.from_bytes(content[at:at + n], "little")
                              for at, n in ((32, 8), (54, 2), (56, 2)))
        (place,) = [at for at in range(begin, begin + size * count, size)
                    if int.from_bytes(content[at:at + 4], "little") == 3]
    content[place:place + len(bytes_)] = bytes_
    with open(name, "wb") as file:
        file.write(content)
    os.chmod(name, 0o755)
    return os.path.abspath(name)


def test_12_emulator_without_the_library():
    """Before it says that there is no such file."""
    equal("is linked statically, ", warned(elf_changed("static", None, b"\0\0\0\0")), "static")
    equal("is not a program of 64 bits, ", warned(elf_changed("32", 4, b"\1")), "of 32 bits")
    assert NO_LIBRARY not in warned("/bin/true") and NO_LIBRARY not in warned(emulator_that_tells())
    if os.geteuid() != 0 or os.statvfs(".").f_flag & os.ST_NOSUID:
        raise wrapped.Skip("only root can give a file rights, where they count")
    for directory in (base, "."):
        os.chmod(directory, 0o755)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    for name, change in (("is set-user-ID, ", ["chmod", "4755"]),
                         ("is set-group-ID, ", ["chmod", "2755"]),
                         ("has capabilities of its own (setcap), ",
                          ["setcap", "cap_net_admin+ep"])):
        emulator = elf_changed(change[1][:4], 0, b"\x7f")
        subprocess.run([*change, emulator], check=True)
        equal(name, warned(emulator, *nobody), "as nobody")
        assert NO_LIBRARY not in warned(emulator, *nobody, "--no-new-privs"), name
        os.unlink(emulator)
    assert NO_LIBRARY not in warned("/bin/true", *nobody)


def test_12_no_monitor():
    text = failing("-qmp", "unix:/nonexistent/qmp,server=on,wait=off")
    assert "/nonexistent/qmp" in text, text
    text = failing("-chardev", "socket,id=m,path=absent", "-mon", "chardev=m,mode=control")
    assert "Failed to connect to 'absent'" in text, text


# ------------------------------------------------------------------ the rest


def test_sandbox():
    """QEMU's own, as libvirt has it."""
    image("disk")
    disk = os.open("disk", os.O_RDWR)
    with Machine("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,"
                 "resourcecontrol=deny", "-add-fd", f"fd={disk},set=0", fds=[disk]) as machine:
        machine.monitor.execute("blockdev-add", blockdev(0))
        equal([("0", "read-write")], machine.list(), "leases")
        machine.monitor.human('qemu-io disk "write 0 512"')
        machine.monitor.execute("blockdev-del", {"node-name": "disk"})
        equal([], machine.list(), "leases")
        machine.monitor.quit()
        equal(0, machine.process.wait(), "status")
    os.close(disk)


def test_two_monitors_share_the_sets():
    image("disk")
    with open("disk", "rb") as disk, Machine("-qmp", "unix:second,server=on,wait=off") as machine:
        machine.monitor.execute("add-fd", {"fdset-id": 4}, [disk.fileno()])
        second = Monitor("second")
        equal([4], [entry["fdset-id"] for entry in second.execute("query-fdsets")], "sets")
        second.close()


def test_monitor_as_client():
    """QEMU's own Python library listens, and QEMU connects."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("monitor")
    listener.listen(1)
    process = subprocess.Popen([tree.wrapper, *MACHINE, "-chardev", "socket,id=mon,path=monitor",
                                "-mon", "chardev=mon,mode=control"])
    listener.settimeout(wrapped.PATIENCE)
    monitor = Monitor(listener.accept()[0])
    equal([], monitor.execute("query-fdsets"), "sets")
    monitor.quit()
    equal(0, process.wait(), "status")
    tree.ended()
    listener.close()


def test_monitor_over_a_pair():
    ours, theirs = socket.socketpair()
    process = subprocess.Popen([tree.wrapper, *MACHINE, "-chardev",
                                f"socket,id=mon,fd={theirs.fileno()}", "-mon",
                                "chardev=mon,mode=control"], pass_fds=[theirs.fileno()])
    theirs.close()
    monitor = Monitor(ours)
    equal([], monitor.execute("query-fdsets"), "sets")
    monitor.quit()
    equal(0, process.wait(), "status")
    tree.ended()


def test_monitor_over_tcp():
    image("disk")
    disk = os.open("disk", os.O_RDWR)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(wrapped.PATIENCE)
        with Machine("-add-fd", f"fd={disk},set=1", "-qmp",
                     f"tcp:127.0.0.1:{listener.getsockname()[1]}", fds=[disk]):
            monitor = Monitor(listener.accept()[0])
            monitor.execute("blockdev-add", blockdev(1))
            monitor.close()
    os.close(disk)


def test_monitor_that_listens_on_tcp():
    """Of a port that was free a moment ago another may have become fond."""
    for _ in range(20):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        process = subprocess.Popen([tree.wrapper, *MACHINE, "-qmp",
                                    f"tcp:127.0.0.1:{port},server=on,wait=off"],
                                   stderr=subprocess.PIPE, text=True)
        client = until(lambda: connected(port) or process.poll() is not None, "a monitor")
        if process.poll() is None:
            break
        text = process.stderr.read()
        assert "Failed to bind socket: Address already in use" in text, text
    Monitor(client).quit()
    equal(0, process.wait(), "status")
    process.stderr.close()


def connected(port):
    try:
        return socket.create_connection(("127.0.0.1", port), wrapped.PATIENCE)
    except ConnectionRefusedError:
        return None


def test_monitor_that_waits():
    """server=on without wait=off: the machine starts when management has come."""
    process = subprocess.Popen([tree.wrapper, *MACHINE, "-qmp", "unix:first,server=on", "-qmp",
                                "unix:second,server=on,wait=off"], stderr=subprocess.PIPE)
    assert b"waiting for connection" in process.stderr.readline()
    Monitor("first").quit()
    equal(0, process.wait(), "status")
    process.stderr.close()
    tree.ended()


def test_monitor_on_stdio():
    """What was asked before the end of the input is answered, as by QEMU."""
    image("disk")
    with open("disk", "rb") as disk:
        for option in (["-qmp", "stdio"],
                       ["-chardev", "stdio,id=mon,signal=off", "-mon", "mon,mode=control"]):
            done = subprocess.run(
                [tree.wrapper, *MACHINE, *option, "-add-fd", f"fd={disk.fileno()},set=2"],
                input='{"execute":"qmp_capabilities"} {"execute":"query-fdsets"} '
                '{"execute":"quit"}', stdout=subprocess.PIPE, pass_fds=[disk.fileno()], text=True,
                timeout=wrapped.PATIENCE)
            equal(0, done.returncode, "status")
            assert '"fdset-id": 2' in done.stdout and '"SHUTDOWN"' in done.stdout, done.stdout
            tree.ended()


def test_monitor_on_stdio_with_much_to_say():
    """More than all buffers hold. Who quits before all is read may lose some of it."""
    process = subprocess.Popen([tree.wrapper, *MACHINE, "-qmp", "stdio"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    commands = b'{"execute":"qmp_capabilities"}' + b'{"execute":"query-name"}' * 4000
    commands += b'{"execute":"query-commands"}' * 50
    writer = threading.Thread(target=lambda: (process.stdin.write(commands), process.stdin.flush()))
    writer.start()
    answers = b""
    while answers.count(b'"query-commands"') < 50:
        some = os.read(process.stdout.fileno(), 65536)
        assert some, answers[-200:]
        answers += some
    writer.join()
    process.communicate(b'{"execute":"quit"}', wrapped.PATIENCE)
    equal(0, process.returncode, "status")
    equal(4001, answers.count(b'{"return": {}}'), "answers")
    tree.ended()


def test_human_monitor():
    image("disk")
    disk = os.open("disk", os.O_RDONLY)
    with Machine("-monitor", "unix:human,server=on,wait=off", "-add-fd", f"fd={disk},set=1",
                 fds=[disk]) as machine:
        human = socket.socket(socket.AF_UNIX)
        human.settimeout(wrapped.PATIENCE)
        human.connect("human")
        text = b""
        while not text.endswith(b"(qemu) "):
            text += human.recv(4096)
        human.sendall(b"drive_add 0 if=none,id=d,format=raw,file=/dev/fdset/1,read-only=on\n")
        text = b""
        while not text.endswith(b"(qemu) "):
            text += human.recv(4096)
        assert b"OK" in text, text[-200:]
        equal([("1", "read-only")], machine.list(), "leases")
        human.close()
    os.close(disk)


def test_exit_status_and_signals():
    with Machine() as machine:
        machine.process.send_signal(signal.SIGTERM)
        equal(0, machine.process.wait(), "status after SIGTERM")
        assert b"terminating on signal 15" in machine.process.stderr.read()
    with Machine() as machine:
        machine.process.send_signal(signal.SIGABRT)
        equal(-signal.SIGABRT, machine.process.wait(), "status after SIGABRT")


def test_closed_standard_streams():
    image("disk")
    with open("disk", "rb") as disk:
        done = subprocess.run(
            f"{tree.wrapper} {' '.join(MACHINE)} -daemonize -pidfile pid"
            f" -add-fd fd={disk.fileno()},set=0 -qmp unix:qmp,server=on,wait=off <&- >&- 2>&-",
            shell=True, pass_fds=[disk.fileno()], timeout=wrapped.PATIENCE)
    equal(0, done.returncode, "status")
    monitor = Monitor("qmp")
    equal(1, len(monitor.execute("query-fdsets")), "sets")
    monitor.quit()
    tree.ended()


# ------------------------------------------------- own options, and words


def emulator_that_tells(name="tells"):
    """Prints its words, one a line."""
    with open(name, "w", encoding="ascii") as file:
        file.write('#!/bin/sh\nfor word; do printf "%s\\n" "$word"; done\n')
    os.chmod(name, 0o755)
    return os.path.abspath(name)


def words(*arguments, fds=(), **environment):
    """What the emulator gets, of these."""
    return subprocess.run([tree.wrapper, *arguments], pass_fds=fds, check=True, text=True,
                          stdout=subprocess.PIPE, env={**os.environ, **environment}
                          ).stdout.splitlines()


def test_words_go_through():
    emulator_that_tells()
    for line in ([], ["-name", "guest=a,,b"], ["-S", "--nodefaults", ""],
                 ["-append", "--fdset-log x /dev/fdset/1"], ["-name", "-qmp"],
                 ["-name", "/dev/fdset/1"], ["-hda", "/srv/dev/fdset/1"],
                 ["-fw_cfg", "name=opt/x,string=/dev/fdset/1"],
                 ["-smbios", "type=11,value=/dev/fdset/1"],
                 ["-D", "/dev/fdset/1"], ["-serial", "mon:stdio"], ["-monitor", "stdio"],
                 ["-chardev", "socket,id=gdb,path=x,server=on"], ["-hda", "/dev/fdset/1"],
                 ["-qmp", "unix:x,server=on"], ["-blockdev", '{"filename":"\\/dev\\/fdset\\/1"}'],
                 ["-incoming", "file:/dev/fdset/7,offset=4k"]):
        equal(line, words(*line, FDSET_EMULATOR="./tells"), "words")
    tree.ended()


def test_words_of_add_fd():
    """They stay, and stand for portals."""
    image("disk")
    emulator_that_tells()
    with open("disk", "rb") as disk:
        for option in ("-add-fd", "--add-fd"):
            line = [option, f"set=1,fd={disk.fileno()}", "-S"]
            equal(line, words(*line, fds=[disk.fileno()], FDSET_EMULATOR="./tells"), "words")
    tree.ended()


def test_which_emulator():
    emulator = emulator_that_tells()
    os.symlink(emulator, "qemu-system-s390x")
    os.symlink(tree.wrapper, "fdset-qemu-system-s390x")
    equal(["-S"], words("--fdset-emulator", emulator, "-S"), "by option")
    equal(["-S"], words("-S", f"--fdset-emulator={emulator}", FDSET_EMULATOR="/bin/false"),
          "option before environment")
    done = subprocess.run(["./fdset-qemu-system-s390x", "-S"], stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "PATH": os.getcwd() + ":/usr/bin:/bin"}, check=True)
    equal("-S\n", done.stdout, "by its own name")
    for name in ("/nonexistent", tree.wrapper):
        text = failing(environment={**os.environ, "FDSET_EMULATOR": name})
        assert name in text and "--fdset-emulator" in text, text


def test_storage_daemon():
    """By its name. It has no sets of its own, so that paths need two slashes."""
    image("disk")
    os.symlink(tree.wrapper, "fdset-qemu-storage-daemon")
    manage = os.path.abspath("manage")
    process = subprocess.Popen(
        ["./fdset-qemu-storage-daemon", "--fdset-manage", manage, "--chardev",
         "socket,path=qmp,server=on,wait=off,id=c", "--monitor", "chardev=c"],
        stdin=subprocess.DEVNULL)
    monitor = Monitor("qmp")
    subprocess.run([tree.fdsetctl, "--socket", manage, "add", "--set", "1", "--read-write", "disk"],
                   check=True, stdout=subprocess.DEVNULL)
    monitor.execute("blockdev-add", {**blockdev(1), "filename": "//dev/fdset/1"})
    equal([(1, "read-write")], [(lease["fdset-id"], lease["mode"])
                                for lease in monitor.execute("x-fdset-query-leases")], "leases")
    monitor.quit()
    equal(0, process.wait(wrapped.PATIENCE), "status")
    tree.ended()


def test_own_options():
    for option, text in (("--fdset-help", "Usage: fdset-qemu"), ("--fdset-version", "fdset-qemu ")):
        done = subprocess.run([tree.wrapper, option], stdout=subprocess.PIPE, text=True, check=True)
        assert done.stdout.startswith(text), done.stdout
    for option in ("-h", "-help", "--help"):
        plain = subprocess.run(["qemu-system-x86_64", option], stdout=subprocess.PIPE, check=True)
        ours = subprocess.run([tree.wrapper, option], stdout=subprocess.PIPE, check=True)
        told = ours.stdout.decode()
        assert told.startswith(plain.stdout.decode()), "QEMU's help is not there as it is"
        for text in ("--fdset-limit NAME=N", "--fdset-help, --fdset-version"):
            assert text in told[len(plain.stdout):], told[len(plain.stdout):]
    done = subprocess.run([tree.wrapper, "--help", "--fdset-emulator", "/bin/false"],
                          stdout=subprocess.PIPE, text=True)
    equal(1, done.returncode, "status of the emulator that is asked for help")
    for line in (["--fdset-nonsense"], ["--fdset-emulator"], ["--fdset-emulator="]):
        done = subprocess.run([tree.wrapper, *line], stderr=subprocess.PIPE, text=True)
        equal(2, done.returncode, f"status of {line}")
        assert line[0] in done.stderr and "--fdset-help" in done.stderr, done.stderr


def test_limits():
    """More sets than a helper has room for unless it is told, by what the refusal names."""
    image("disk")
    with Machine() as machine, open("disk", "rb") as disk:
        for _ in range(1024):
            machine.monitor.execute("add-fd", fds=[disk.fileno()])
        machine.monitor.refuses(
            "no room for 1 more set, 1024 of 1024 are there: start fdset-helper with --limit sets=N "
            "(also by FDSET_HELPER_OPTIONS)", "add-fd", fds=[disk.fileno()])
    more = {**os.environ, "FDSET_HELPER_OPTIONS": " --limit  sets=7\t--limit leases=9 "}
    for options, environment, sets in (
            (["--fdset-limit", "sets=1100"], None, 1100), ([], more, 7),
            (["--fdset-limit=sets=3", "--fdset-limit", "members=3"], more, 3)):
        with Machine(*options, environment=environment) as machine, open("disk", "rb") as disk:
            for _ in range(sets):
                machine.monitor.execute("add-fd", fds=[disk.fileno()])
            machine.monitor.refuses(f"{sets} of {sets} are there", "add-fd", fds=[disk.fileno()])
    text = failing("-qmp", "unix:qmp,server=on,wait=off", "--fdset-limit", "disks=3")
    assert "there is no limit called 'disks'" in text, text
    (tried,) = [line for line in text.splitlines() if line.startswith("Try '")]
    program = tried.split("'")[1].split()[0]
    assert os.access(program, os.X_OK), f"{program} cannot be run as it is written"


def variable(process, name):
    """What a running process has in its environment."""
    with open(f"/proc/{process}/environ", "rb") as file:
        entries = dict(entry.partition(b"=")[::2] for entry in file.read().split(b"\0") if entry)
    return entries.get(name.encode(), b"").decode()


def test_name():
    """The machine's, in the forms that QEMU takes; one that was set by hand wins."""
    with open("named", "w", encoding="ascii") as file:
        file.write('[name]\n  guest = "filed"\n  debug-threads = "on"\n')
    for words_, own, name in (
            (["-name", "vm1"], None, "vm1"), (["--name", "guest=vm1,debug-threads=on"], None, "vm1"),
            (["-name", "vm,,1,process=qemu"], None, "vm,1"),
            (["-name", "debug-threads=on,guest=\u00e9t\u00e9"], None, "\u00e9t\u00e9"),
            (["-name", "vm1", "-name", "process=x", "-name", "guest=vm2"], None, "vm2"),
            (["-name", "vm1", "-name", "process=x"], None, "vm1"),
            (["-name", "vm1"], "mine", "mine"), (["-name", "vm1"], "", "vm1"),
            (["-readconfig", "named"], None, "filed"),
            (["-readconfig", "named", "-name", "vm1"], None, "vm1"),
            ([], None, ""), ([], "mine", "mine"), (["-name", "process=x"], None, "")):
        environment = {key: value for key, value in os.environ.items() if key != "FDSET_NAME"}
        if own is not None:
            environment["FDSET_NAME"] = own
        with Machine(*words_, environment=environment) as machine:
            equal(name, variable(machine.pid, "FDSET_NAME"), f"FDSET_NAME with {words_}")
            if not own:
                equal(name, machine.monitor.execute("query-name").get("name", ""), "query-name")
    image("disk")
    with open("disk", "rb") as disk:
        with Machine("-name", "guest=a vm,,1", "-add-fd", f"fd={disk.fileno()},set=1,opaque=x",
                     "-blockdev", "driver=file,node-name=a,filename=/dev/fdset/1,read-only=on",
                     fds=[disk.fileno()]) as machine:
            (lease,) = machine.monitor.execute("x-fdset-query-leases")
            equal("a vm,1", lease["client"], "who has it")


def test_log():
    with Machine("--fdset-log", "log"):
        pass
    with open("log", encoding="utf-8") as file:
        text = file.read()
    assert "becomes /" in text and "qemu-system-x86_64 -machine none" in text, text


def test_manager_beside_the_monitor():
    """No word of a set on the command line, and fdsetctl adds one."""
    image("disk")
    manage = os.path.abspath("manage")
    with Machine("--fdset-manage", manage) as machine:
        subprocess.run([tree.fdsetctl, "--socket", manage, "add", "--set", "3", "--read-write",
                        "disk"], check=True, stdout=subprocess.DEVNULL)
        machine.monitor.execute("blockdev-add", blockdev(3))
        equal([("3", "read-write")], machine.list(), "leases")


def test_observer_without_a_set():
    """Who looks does so before the first set is there; and no monitor is needed."""
    observe = os.path.abspath("observed")
    with subprocess.Popen([tree.wrapper, *MACHINE, "--fdset-observe", observe],
                          stdin=subprocess.DEVNULL) as process:
        try:
            until(lambda: os.path.exists(observe) or process.poll() is not None, "the socket")
            equal([], fdsetctl_list(observe), "leases")
        finally:
            process.kill()
    tree.ended()


wrapped.run_tests(dict(globals()), base)
