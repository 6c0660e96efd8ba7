# SPDX-License-Identifier: MIT
"""For the tests of the relay: QEMU with a monitor, as it is and behind it.

Every wait has an end (PATIENCE), which is no measure but a net: what takes that
long has failed. From meson come FDSET_HELPER, FDSET_RELAY and FDSET_PRELOAD.
"""

import array
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

PATIENCE = 60

# QEMU 7.2 by itself, without a proxy, now and then never greets a client that was
# there before its monitor's thread was: it accepts it and says nothing (1 of 113 to
# none of 1000 starts, on a busy machine). After so many seconds without a word it is
# asked something else, or another is started, and the test's output tells of it.
NUDGE = 15
SYSTEM = ["qemu-system-x86_64", "-machine", "none", "-nodefaults", "-no-user-config",
          "-display", "none"]
STORAGE_DAEMON = ["qemu-storage-daemon"]


def qemu_version():
    """As a pair of numbers."""
    text = subprocess.run([SYSTEM[0], "-version"], stdout=subprocess.PIPE, check=True,
                          text=True).stdout
    return tuple(int(part) for part in text.split("version ")[1].split(".")[:2])


class Failure(Exception):
    """What is said of a test that did not go as it should."""


class Silence(Failure):
    """Nothing came in time."""


def equal(found, wanted, what):
    if found != wanted:
        raise Failure(f"{what}:\n    found  {found!r}\n    wanted {wanted!r}")


def until(condition, what):
    """Waits for something that nobody tells of."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise Failure(f"{what}: not within {PATIENCE} s")
        time.sleep(0.01)


def end_of_file(fd):
    """Waits until nobody can write into the pipe any more."""
    ready, _, _ = select.select([fd], [], [], PATIENCE)
    if not ready:
        raise Failure(f"the other end of the pipe was not closed within {PATIENCE} s")
    equal(os.read(fd, 1), b"", "end of file")


# ------------------------------------------------------------------- sockets


class Peer:
    """One end of a stream socket, which speaks in lines."""

    def __init__(self, sock):
        self.socket = sock
        self.socket.settimeout(PATIENCE)
        self.buffer = b""

    def send(self, data, fds=()):
        data = data.encode() if isinstance(data, str) else data
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sent = self.socket.sendmsg([data], rights)
        if sent < len(data):
            self.socket.sendall(data[sent:])

    def receive(self, size=65536):
        """Some bytes; b"" at the end, which is the same to us however it comes."""
        try:
            return self.socket.recv(size)
        except (ConnectionResetError, BrokenPipeError):
            return b""
        except socket.timeout:
            raise Silence(f"nothing came in time after {self.buffer!r}") from None

    def line(self):
        """With its end; b"" where there is none any more."""
        while b"\n" not in self.buffer:
            data = self.receive()
            if not data:
                rest, self.buffer = self.buffer, b""
                return rest
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line + b"\n"

    def is_quiet(self):
        """Nothing is there to be read, now."""
        return not self.buffer and not select.select([self.socket], [], [], 0)[0]

    def close(self):
        self.socket.close()


class Client(Peer):
    """One that speaks QMP."""

    def __init__(self, sock):
        super().__init__(sock)
        self.events = []
        self.is_qemu = False  # which may need a nudge

    def message(self):
        line = self.line()
        if not line:
            raise Failure("the monitor has hung up")
        return json.loads(line)

    def message_nudged(self):
        for _ in range(PATIENCE // NUDGE if self.is_qemu else 0):
            try:
                self.socket.settimeout(NUDGE)
                return self.message()
            except Silence:
                print("# QEMU is silent: it is asked something else", flush=True)
                self.send('{"execute": "query-status", "id": "nudge"}')
            finally:
                self.socket.settimeout(PATIENCE)
        return self.message()

    def reply(self):
        """The next message that is no event."""
        while True:
            message = self.message_nudged()
            if "event" in message:
                self.events.append(message)
            elif message.get("id") != "nudge":
                return message

    def event(self, name):
        while True:
            for index, event in enumerate(self.events):
                if event["event"] == name:
                    del self.events[: index + 1]
                    return event
            message = self.message()
            if "event" not in message:
                raise Failure(f"a reply instead of {name}: {message}")
            self.events.append(message)

    def ask(self, text, fds=()):
        self.send(text, fds)
        return self.reply()

    def command(self, name, fds=(), **arguments):
        """The whole reply. An argument's "_" stands for "-"."""
        arguments = {key.replace("_", "-"): value for key, value in arguments.items()}
        return self.ask(json.dumps({"execute": name, "arguments": arguments}), fds)

    def does(self, name, fds=(), **arguments):
        reply = self.command(name, fds, **arguments)
        if "return" not in reply:
            raise Failure(f"{name} {arguments}: {reply}")
        return reply["return"]

    def refuses(self, name, fds=(), **arguments):
        reply = self.command(name, fds, **arguments)
        if "error" not in reply:
            raise Failure(f"{name} {arguments} succeeded: {reply}")
        return reply["error"]["desc"]

    def greet(self, oob=False):
        greeting = self.message()
        if "QMP" not in greeting:
            raise Failure(f"no greeting: {greeting}")
        self.does("qmp_capabilities", **({"enable": ["oob"]} if oob else {}))
        return self


# ----------------------------------------------------------------- processes


class Programs:
    """Starts programs, and ends with all of them."""

    def __init__(self):
        self.running = []

    def start(self, command, fds=(), environment=None, **more):
        process = subprocess.Popen(
            command, pass_fds=fds, stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})}, **more)
        self.running.append(process)
        return process

    def wait(self, process):
        try:
            status = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failure(f"{process.args[0]} does not end") from None
        self.running.remove(process)
        return status

    def kill(self, process, number=signal.SIGKILL):
        process.send_signal(number)
        return self.wait(process)

    def end(self):
        for process in self.running:
            process.kill()
        for process in self.running:
            process.wait()
        self.running = []


def descriptors_of(process):
    """How many it has open."""
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def listen(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    sock.listen(8)
    return sock


def connect(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PATIENCE)
    sock.connect(path)
    return sock


class Native:
    """QEMU and its monitors, with nothing between. In the current directory."""

    proxied = False

    def __init__(self, program=None, running=False, monitors=1, environment=None):
        self.programs = Programs()
        self.program = program or SYSTEM + ([] if running else ["-S"])
        self.monitors = monitors
        self.environment = environment or {}
        self.emulator_environment = None
        self.greeted = False
        self.emulator = self.proxy = self.helper = None
        try:
            self.begin()
        except BaseException:
            self.programs.end()
            raise

    def begin(self):
        self.emulator_start()

    def emulator_start(self, environment=None, fds=()):
        command, sockets = list(self.program), []
        self.emulator_environment = environment
        for number in range(self.monitors):
            sock = listen(f"emulator{number}")
            sockets.append(sock)
            command += ["--chardev", f"socket,id=monitor{number},fd={sock.fileno()},server=on,wait=off"]
            if self.program[0] == STORAGE_DAEMON[0]:
                command += ["--monitor", f"chardev=monitor{number}"]
            else:
                command += ["-mon", f"chardev=monitor{number},mode=control"]
        inherited = [*fds, *(s.fileno() for s in sockets)]
        self.emulator = self.programs.start(command, inherited, environment)
        for sock in sockets:
            sock.close()

    def connect(self, number=0):
        """A client that has not spoken yet."""
        return Client(connect(f"emulator{number}"))

    def client(self, number=0, oob=False):
        for attempt in range(8):
            client = self.connect(number)
            client.socket.settimeout(NUDGE)
            try:
                client.greet(oob)
            except (Failure, OSError) as failure:
                if self.greeted and not isinstance(failure, Silence):
                    raise
                self.tell_silence()
                client.close()
                if attempt % 2 == 1 and not self.greeted:
                    self.emulator_restart()
                continue
            client.socket.settimeout(PATIENCE)
            client.is_qemu = self.greeted = True
            return client
        raise Failure("QEMU does not greet anybody")

    def tell_silence(self):
        """What it does instead, for whoever finds out why."""
        print("# QEMU does not greet: another client comes, or another QEMU", flush=True)
        for process in (self.emulator, self.proxy):
            for task in os.listdir(f"/proc/{process.pid}/task") if process else []:
                with open(f"/proc/{process.pid}/task/{task}/stat", encoding="utf-8") as file:
                    print("#", file.read()[:60].strip(), flush=True)

    def emulator_restart(self):
        self.programs.kill(self.emulator)
        for number in range(self.monitors):
            os.unlink(f"emulator{number}")
        self.emulator_start(self.emulator_environment)

    def end(self):
        self.programs.end()


# What the preload library tells the relay: struct joint_message.
MONITOR, PORTAL_AT, PORTAL_CLOSED, STRAY = 1, 2, 3, 4


class Proxied(Native):
    """The same with the relay (relay.c) between it and its clients, on a helper, with the library
    preloaded."""

    proxied = True

    def __init__(self, limits=(), **more):
        self.limits = limits
        super().__init__(**more)

    def begin(self):
        self.helper_start()
        self.proxy_start()
        self.emulator_start({**self.environment, "LD_PRELOAD": os.environ["FDSET_PRELOAD"],
                             "FDSET_VMM_SOCKET": os.path.abspath("vmm")})

    def helper_start(self):
        self.helper = self.programs.start(
            [os.environ["FDSET_HELPER"], "--manage", "manage", "--vmm", "vmm", *self.limits],
            stderr=subprocess.PIPE)
        line = b"-"
        while line and b"ready:" not in line:
            line = self.helper.stderr.readline()
        if not line:
            raise Failure("the helper does not start")

    def proxy_start(self, **more):
        ready, write = os.pipe()
        self.joint, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [os.environ["FDSET_RELAY"], "--manage", "manage", "--ready", str(write),
                   "--joint", str(theirs.fileno())]
        if "FDSET_WAIT_MS" in self.environment:
            command.append("--waits")
        self.proxy = self.programs.start(command, (write, theirs.fileno()), **more)
        theirs.close()
        os.close(write)
        said = os.read(ready, 1)
        end_of_file(ready)
        os.close(ready)
        if said != b"\n":
            raise Failure("the proxy does not start")

    def emulator_start(self, environment=None):
        """It has the joint, and nobody else: the relay ends with it."""
        number = str(self.joint.fileno())
        super().emulator_start({**environment, "FDSET_JOINT_FD": number}, [self.joint.fileno()])
        self.joint.close()

    def emulator_restart(self):
        self.programs.kill(self.proxy)
        self.proxy_start()
        super().emulator_restart()


    def nothing_inside(self):
        """Of the files in this directory QEMU has leases, as many as the helper lists, and no
        member."""
        until(lambda: self.files_inside() == self.leases(), "QEMU has nothing but leases")

    def files_inside(self):
        files = {(entry.stat().st_dev, entry.stat().st_ino) for entry in os.scandir() if entry.is_file()}
        directory, found = f"/proc/{self.emulator.pid}/fd", []
        for number in os.listdir(directory):
            try:
                status = os.stat(f"{directory}/{number}")
            except FileNotFoundError:
                continue
            if (status.st_dev, status.st_ino) in files:
                found.append(status.st_ino)
        return sorted(found)

    def leases(self):
        return sorted(member["inode"] for entry in json.loads(self.fdsetctl("list", "--json"))["sets"]
                      for member in entry["members"] if member["type"] == "regular"
                      for _ in member["leases"])

    def fdsetctl(self, *words):
        return subprocess.run([os.environ["FDSETCTL"], words[0], "-S", "manage", *words[1:]], timeout=60,
                              stdout=subprocess.PIPE, check=True).stdout.decode()


# --------------------------------------------------------------------- files


def image(name, flags=os.O_RDWR, size=65536):
    """A descriptor of a file, which is made if need be."""
    if not os.path.exists(name):
        with open(name, "wb") as file:
            file.truncate(size)
    return os.open(name, flags)


def status_flags(fd):
    return fcntl.fcntl(fd, fcntl.F_GETFL)


# ------------------------------------------------------------------- running


def run(cases):
    """Runs (name, function) each in a directory of its own; says TAP."""
    failed = 0
    base = tempfile.mkdtemp(prefix="fdset-relay.", dir=os.environ.get("TMPDIR", "/var/tmp"))
    try:
        for number, (name, function) in enumerate(cases, 1):
            directory = os.path.join(base, str(number))
            os.mkdir(directory)
            os.chdir(directory)
            try:
                function()
                print(f"ok {number} - {name}", flush=True)
            except Exception as error:  # pylint: disable=broad-except
                if os.geteuid() and isinstance(error, PermissionError) and \
                        str(error.filename).startswith("/proc/"):
                    print(f"ok {number} - {name} # SKIP only root sees what it has open", flush=True)
                    continue
                failed = 1
                text = str(error) if isinstance(error, Failure) else traceback.format_exc()
                print(f"not ok {number} - {name}")
                print("\n".join("# " + line for line in text.splitlines()), flush=True)
        print(f"1..{len(cases)}")
    finally:
        os.chdir("/")
        shutil.rmtree(base)
    sys.exit(failed)
