#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Refusals that say what to do, each met, and done as it says: then it works.

What is done is taken from the text, as a reader would: refusals.py sees that what a text
names exists; these see that it helps."""

import ctypes
import os
import re
import resource
import socket
import subprocess
import sys
import tempfile

import options
import words

base = tempfile.mkdtemp(prefix="fdset-cures-")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("FDSET_")}
started = []


def program(name):
    return os.path.join(words.build, words.PROGRAMS[name])


PATH = ":".join([*(os.path.dirname(program(name)) for name in words.PROGRAMS), os.environ["PATH"]])


def run(*arguments, user=None, fds=(), **environment):
    """Status, and both outputs in one."""
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=base,
                          stderr=subprocess.STDOUT, pass_fds=fds, timeout=60, user=user,
                          env={**ENVIRONMENT, "PATH": PATH, **environment})
    return done.returncode, done.stdout.decode(errors="replace")


def shell(command, **environment):
    return run("bash", "-c", command, **environment)


class Wrong(Exception):
    pass


def refused(outcome, pattern):
    """The text, matched."""
    status, text = outcome
    found = re.search(pattern, text)
    if status == 0 or not found:
        raise Wrong(f"status {status}, and not {pattern!r}: {text}")
    return found


def works(outcome):
    status, text = outcome
    if status:
        raise Wrong(f"status {status}: {text}")
    return text


def image(name="image", size=1 << 16):
    path = os.path.join(base, name)
    with open(path, "wb") as file:
        file.truncate(size)
    return path


class Helper:
    """Serves at `manage` and `vmm` from the moment that this is made."""

    number = 0

    def __init__(self, *arguments, limit=None, said_of_vmm="", said_of_manage=""):
        Helper.number += 1
        self.manage = os.path.join(base, f"manage{Helper.number}")
        self.vmm = os.path.join(base, f"vmm{Helper.number}")
        self.process = subprocess.Popen(
            [program("fdset-helper"), "--verbose", "--manage", self.manage + said_of_manage,
             "--vmm", self.vmm + said_of_vmm, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env=ENVIRONMENT, preexec_fn=limit)
        started.append(self.process)
        self.said = self.process.stderr.readline().decode()
        if " ready: " not in self.said:
            raise Wrong(self.said + self.process.stderr.read().decode())

    def ctl(self, *arguments, fds=(), user=None):
        return run("fdsetctl", *arguments, fds=fds, user=user, FDSET_MANAGE_SOCKET=self.manage)

    def environment(self):
        return {"LD_PRELOAD": os.environ["FDSET_PRELOAD"], "FDSET_VMM_SOCKET": self.vmm,
                "FDSET_PRELOAD_VERBOSE": "1"}

    def vmm_shell(self, command, **environment):
        """In a shell that opens sets: //dev/fdset/N."""
        return shell(command, **self.environment(), **environment)

    def holder(self, command, **environment):
        """The same, going on until it is killed: returns when it says so."""
        process = subprocess.Popen(
            ["bash", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=base,
            env={**ENVIRONMENT, "PATH": PATH, **self.environment(), **environment})
        started.append(process)
        return process


def start(*arguments, **others):
    """Status and text of one that is not to start."""
    try:
        Helper(*arguments, **others)
        return 0, "it serves"
    except Wrong as wrong:
        return 1, str(wrong)


# ------------------------------------------------------------ what is typed wrongly

def every_try_help():
    """"Try '... --help'" can be typed."""
    lines = [[name] for name in words.PROGRAMS] + [["fdsetctl", verb] for verb in options.verbs()]
    for line in lines:
        wrong = "--fdset-wrong" if line == ["fdset-qemu"] else "--wrong"
        works(shell(refused(run(*line, wrong), r"Try '(.* --(?:fdset-)?help)'")[1]))
    suggested = refused(run("fdsetctl", "lst", "--help"), r"did you mean '(\w+)'")[1]
    works(run("fdsetctl", suggested, "--help"))


def no_socket():
    helper = Helper()
    text = refused(run("fdsetctl", "list"), r"use (--\w+) PATH or set (FDSET_\w+)")
    works(run("fdsetctl", "list", text[1], helper.manage))
    works(run("fdsetctl", "list", **{text[2]: helper.manage}))


def nobody_could_reach():
    text = refused(run("fdset-helper"), r"give it (--\w+) and (--\w+)")
    manage, vmm = os.path.join(base, "m"), os.path.join(base, "v")
    process = subprocess.Popen([program("fdset-helper"), text[1], manage, text[2], vmm],
                               stderr=subprocess.PIPE, env=ENVIRONMENT)
    started.append(process)
    if b" ready: " not in process.stderr.readline():
        raise Wrong("it does not serve")
    works(run("fdsetctl", "list", "--socket", manage))


def descriptor_not_open():
    helper = Helper()
    text = refused(helper.ctl("add", "--fd", "9"), r"as in '(fdsetctl add .*)'")
    works(shell(text[1].replace("FILE", image()), FDSET_MANAGE_SOCKET=helper.manage))


def add_options_that_belong_together():
    helper = Helper()
    for lifetime in ["once", "connection"]:
        text = refused(helper.ctl("add", "--lifetime", lifetime, image()), r"give it (--\w+) TIME")
        works(helper.ctl("add", "--lifetime", lifetime, text[1], "10s", image()))
    text = refused(helper.ctl("add", "--lifetime", "idle", image()), r"give (--\w+) TIME")
    works(helper.ctl("add", "--lifetime", "idle", text[1], "10s", image()))
    text = refused(helper.ctl("add", "--set", "70", image("a"), image("b")),
                   r"unless it is (--\w+)")
    works(helper.ctl("add", "--set", "70", text[1], image("a"), image("b")))
    text = refused(helper.ctl("add", "--replace", image()), r"by (--\w+) or (--\w+)")
    works(helper.ctl("add", "--replace", text[1], "71", image()))
    works(helper.ctl("add", "--replace", text[2], "disk", image()))
    text = refused(helper.ctl("add", "--serves-read-only", image()), r"opened (--[\w-]+)")
    works(helper.ctl("add", "--serves-read-only", text[1], image()))
    text = refused(helper.ctl("add"), r"give a FILE or (--fd) N")
    with open(image()) as file:
        works(helper.ctl("add", text[1], str(file.fileno()), fds=[file.fileno()]))


def no_such_member():
    helper = Helper()
    works(helper.ctl("add", "--set", "1", image()))
    text = refused(helper.ctl("remove", "1", "x"), r"from '(fdsetctl [^']*)'")
    listed = works(shell(text[1] + " --no-headings --output member",
                         FDSET_MANAGE_SOCKET=helper.manage))
    works(helper.ctl("remove", "1", listed.strip()))


# ----------------------------------------------------------------- what is refused

def a_socket():
    helper = Helper()
    one, other = socket.socketpair()
    arguments = ["--fd", str(one.fileno())]
    text = refused(helper.ctl("add", *arguments, fds=[one.fileno()]), r"(fdsetctl add --[\w-]+)")
    works(helper.ctl(*text[1].split()[1:], *arguments, fds=[one.fileno()]))
    other.close()


def duplicates():
    helper = Helper()
    with open(image()) as file:
        copy = os.dup(file.fileno())
        both = [file.fileno(), copy]
        refused(helper.ctl("add", *(f"--fd={fd}" for fd in both), fds=both),
                r"open the file once for each member")
        os.close(copy)
        with open(file.name) as other:
            both = [file.fileno(), other.fileno()]
            works(helper.ctl("add", *(f"--fd={fd}" for fd in both), fds=both))


def no_member_of_the_mode():
    helper = Helper()
    works(helper.ctl("add", "--set", "1", "--read-only", image()))
    text = refused(helper.vmm_shell("exec 5<>//dev/fdset/1"), r"no ([\w-]+) member.*: add one")
    works(helper.ctl("add", "--set", "1", "--" + text[1], image()))
    works(helper.vmm_shell("exec 5<>//dev/fdset/1"))


def held_by_another():
    """Read-only and read-write alike."""
    for mode, redirection in [("--read-only", "<"), ("--read-write", "<>")]:
        helper = Helper()
        works(helper.ctl("add", "--set", "1", mode, image()))
        command = f"exec 5{redirection}//dev/fdset/1"
        holder = helper.holder(f"{command} && echo open && read")
        holder.stdout.readline()
        refused(helper.vmm_shell(command), r"held by .*: add a member for this VMM")
        works(helper.ctl("add", "--set", "1", mode, image()))
        works(helper.vmm_shell(command))
        works(helper.ctl("add", "--name", "each", "--copies", "2", mode, image("other")))
        works(helper.ctl("add", "--name", "all", "--shared", mode, image("third")))
        for name in ("each", "all"):
            command = f"exec 5{redirection}//dev/fdset/{name}"
            holder = helper.holder(f"{command} && echo open && read")
            holder.stdout.readline()
            works(helper.vmm_shell(command))


def opens(helper, *flags):
    """Opens the set with each of these, by a program that keeps them all open."""
    calls = "; ".join(f"os.open('//dev/fdset/1', {wanted})" for wanted in flags)
    return run(sys.executable, "-c", f"import os; {calls}", **helper.environment())


def open_with_other_flags():
    helper = Helper()
    both = ["os.O_RDWR", "os.O_RDWR | os.O_APPEND"]
    works(helper.ctl("add", "--set", "1", "--read-write", image()))
    refused(opens(helper, *both), r"no other open may change: add another member")
    works(helper.ctl("add", "--set", "1", "--read-write", image()))
    works(opens(helper, *both))


def no_member_with_sync():
    helper = Helper()
    works(helper.ctl("add", "--set", "1", "--read-write", image()))
    refused(opens(helper, "os.O_RDWR | os.O_SYNC"), r"with O_SYNC and .*: open one so and add it")
    works(helper.ctl("add", "--set", "1", "--read-write", "--sync", image()))
    works(opens(helper, "os.O_RDWR | os.O_SYNC"))


def not_a_manager():
    if os.getuid() != 0:
        return "only root can be told apart from others"
    os.chmod(base, 0o755)
    for directory, _, _ in os.walk(os.path.join(words.build, "contrib", "fdsetctl")):
        if not os.stat(directory).st_mode & 1:
            return "another user cannot run what is built here"
    other = 54321
    helper = Helper()
    os.chmod(helper.manage, 0o666)
    outcome = helper.ctl("list", user=other)
    if outcome[0] in (126, 127):
        return "another user cannot run what is built here"
    text = refused(outcome, r"(--manager-uid) (\d+)")
    helper = Helper(text[1], text[2])
    os.chmod(helper.manage, 0o666)
    works(helper.ctl("list", user=other))
    refused(helper.ctl("list", user=4000000000), "user 4000000000 .* --manager-uid 4000000000$")


def not_a_manager_by_an_inherited_socket():
    """To a helper that a user started all others are one, so it can name none."""
    if os.getuid() != 0:
        return "only root can be told apart from others"
    os.chmod(base, 0o777)
    path = os.path.join(base, "inherited")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(path)
        os.chmod(path, 0o666)
        listening.listen()
        number = listening.fileno()
        helper = subprocess.Popen(
            [program("fdset-helper"), "--manage-fd", str(number)], pass_fds=[number], user=54321,
            group=54321, extra_groups=[], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=ENVIRONMENT)
        started.append(helper)
        if b"namespaces(user" not in helper.stderr.readline():
            return "there are no user namespaces"
        text = refused(run("fdsetctl", "-S", path, "list"), r"may manage it .*(--manager-uid) UID")
    helper = Helper(text[1], "54322")
    os.chmod(helper.manage, 0o666)
    works(helper.ctl("list", user=54322))


# ---------------------------------------------------------------------- the limits

def many_sets(helper):
    works(helper.ctl("add", image()))
    return helper.ctl("add", image())


def many_members(helper):
    return helper.ctl("add", "--read-only", "--read-write", image())


def many_leases(helper):
    works(helper.ctl("add", "--set", "1", image()))
    return helper.vmm_shell("exec 5<//dev/fdset/1 6<//dev/fdset/1")


def many_connections(helper, already=1):
    watchers = []
    for _ in range(already):
        watcher = subprocess.Popen([program("fdsetctl"), "watch", "--ready", "-S", helper.manage],
                                   stdout=subprocess.PIPE, env=ENVIRONMENT)
        watchers.append(watcher)
        started.append(watcher)
        watcher.stdout.readline()
    try:
        return helper.ctl("list")
    finally:
        for watcher in watchers:
            watcher.kill()
            watcher.wait()


def many_waits(helper):
    watcher = subprocess.Popen(
        [program("fdsetctl"), "watch", "--ready", "--kinds", "wanted", "--count", "1",
         "-S", helper.manage], stdout=subprocess.PIPE, env=ENVIRONMENT)
    started.append(watcher)
    watcher.stdout.readline()
    waiter = helper.holder("exec 5<//dev/fdset/1", FDSET_WAIT_MS="3600000")
    watcher.wait(60)
    # A refusal comes at once; one that may wait does so, and is then in vain.
    status, text = helper.vmm_shell("exec 5<//dev/fdset/1", FDSET_WAIT_MS="10")
    waiter.kill()
    waiter.wait()
    return (0, text) if "there is no set" in text else (status, text)


LIMITS = {"sets": many_sets, "members": many_members, "leases": many_leases,
          "leases-per-vmm": many_leases, "connections": many_connections, "waiting": many_waits}


def limit(name):
    text = refused(LIMITS[name](Helper("--limit", f"{name}=1")),
                   rf"fdset-helper with (--limit) ({name})=N")
    works(LIMITS[name](Helper(text[1], f"{text[2]}=8")))


def allow(descriptors):
    """For a helper that may not raise the limit, as CAP_SYS_RESOURCE may."""
    libc = ctypes.CDLL(None)

    def prepare():
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
        libc.prctl(24, 24, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_SYS_RESOURCE

    return prepare


def fill(helper, count):
    """Until an add is refused: the text."""
    for _ in range(count):
        status, text = helper.ctl("add", image())
        if status:
            return status, text
    return 0, "all were added"


def few_descriptors():
    text = refused(start(limit=allow(256)), r"(\d+) descriptors are needed at least and the system "
                   r"allows 256: raise '(ulimit -Hn)'")
    needed = int(text[1])
    refused(start(limit=allow(needed - 1)), "descriptors are needed at least")
    helper = Helper(limit=allow(needed))
    found = re.search(r"; only (\d+) members and (\d+) connections, because 'ulimit -Hn' is (\d+)",
                      helper.said)
    if not found or int(found[3]) != needed:
        raise Wrong(helper.said)
    members = int(found[1])
    text = refused(fill(helper, members + 1),
                   rf"{members} of {members} are there: all that (\d+) descriptors allow; "
                   r"raise 'ulimit -Hn'")
    works(fill(Helper(limit=allow(int(text[1]) + 4)), members + 1))
    refused(many_connections(Helper(limit=allow(needed)), int(found[2])), "raise 'ulimit -Hn'")


def many_descriptors():
    """Limits that were asked for are not lowered."""
    text = refused(start("--limit", "members=1000", limit=allow(1024)),
                   r"(\d+) descriptors are needed for these limits and the system allows 1024: "
                   r"raise 'ulimit -Hn' .*, or lower (--limit members)")
    Helper(*text[2].split()[:1], "members=400", limit=allow(1024))
    Helper("--limit", "members=1000", limit=allow(int(text[1])))
    refused(start("--limit", "members=1000", limit=allow(256)), r"\(LimitNOFILE=\)$")


def limit_by_environment():
    """As programs that start a helper for themselves can do it."""
    with open(image()) as file:
        os.set_inheritable(file.fileno(), True)
        environment = {"LD_PRELOAD": os.environ["FDSET_PRELOAD"], "FDSET_PRELOAD_VERBOSE": "1",
                       "FDSET_HELPER": program("fdset-helper")}
        command = "exec 5<//dev/fdset/1 6<//dev/fdset/1"
        add = {"FDSET_ADD_FD": f"fd={file.fileno()},set=1"}
        text = refused(run("bash", "-c", command, fds=[file.fileno()], **environment, **add,
                           FDSET_HELPER_OPTIONS="--limit leases=1"),
                       r"(--limit leases)=N \(also by (FDSET_\w+)\)")
        works(run("bash", "-c", command, fds=[file.fileno()], **environment, **add,
                  **{text[2]: f"{text[1]}=2"}))


def given(name):
    """What the --vmm of a VM gives it, no limit makes more."""
    text = refused(LIMITS[name](Helper(said_of_vmm=f",name=vm1,{name}=1")),
                   rf"fdset-helper with a larger ({name}=)N in the --vmm of this VM")
    works(LIMITS[name](Helper(said_of_vmm=f",name=vm1,{text[1]}8")))


def given_connections():
    def two(helper):
        works(helper.ctl("add", "--set", "1", "--shared", image()))
        holder = helper.holder("exec 5<//dev/fdset/1 && echo open && read")
        holder.stdout.readline()
        return helper.vmm_shell("exec 5<//dev/fdset/1")
    text = refused(two(Helper(said_of_vmm=",connections=1")),
                   r"fdset-helper with a larger (connections=)N in the --vmm of this VM")
    works(two(Helper(said_of_vmm=f",{text[1]}2")))


def or_given_by_the_vmm():
    """The other thing that the refusal of a lease says."""
    text = refused(many_leases(Helper("--limit", "leases-per-vmm=1")),
                   r"or with (leases=)N in the --vmm of this VM")
    works(many_leases(Helper("--limit", "leases-per-vmm=1", said_of_vmm=f",{text[1]}2")))


def more_given_than_there_is():
    text = refused(start("--limit", "leases=3", said_of_vmm=",leases=4"),
                   r"needs (--limit) (leases=\d+)")
    Helper(text[1], text[2], said_of_vmm=",leases=4")


def bound_to_no_vm():
    text = refused(start(said_of_manage=",for=vm1"), r"say --vmm PATH(,name=vm1)")
    Helper(said_of_manage=",for=vm1", said_of_vmm=text[1])


def reserved_for_no_vm():
    """By a manager: it takes one of those that there are."""
    helper = Helper(said_of_vmm=",name=vm1")
    text = refused(helper.ctl("add", "--for", "vm2", image()), r"there are '(vm1)'")
    works(helper.ctl("add", "--for", text[1], image()))


def main():
    cases = [(function.__name__.replace("_", " "), function) for function in [
        every_try_help, no_socket, nobody_could_reach, descriptor_not_open,
        add_options_that_belong_together, no_such_member, a_socket, duplicates,
        no_member_of_the_mode, held_by_another,
        open_with_other_flags, no_member_with_sync, not_a_manager,
        not_a_manager_by_an_inherited_socket, few_descriptors, many_descriptors,
        limit_by_environment, given_connections, or_given_by_the_vmm, more_given_than_there_is,
        bound_to_no_vm, reserved_for_no_vm]]
    cases += [(f"given {name}", lambda name=name: given(name)) for name in ("leases", "waiting")]
    cases += [(f"limit {name}", lambda name=name: limit(name)) for name in LIMITS]
    words.tell([(name, lambda function=function: attempt(function)) for name, function in cases])


def attempt(function):
    try:
        skipped = function()
        if skipped:
            print(f"{function.__name__}: {skipped}", file=sys.stderr)
        return []
    except (Wrong, subprocess.TimeoutExpired) as wrong:
        return [str(wrong)]
    finally:
        while started:
            process = started.pop()
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()


if __name__ == "__main__":
    main()
