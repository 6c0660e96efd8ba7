#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An example of an event loop, against the real helper: it opens a disk, and opens it again
when the helper was killed and started anew."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile

HELPER, MANAGER = os.environ["FDSET_HELPER"], os.environ["FDSET_EXAMPLE_MANAGER"]
HANG_SECONDS = 60


def start(directory):
    helper = subprocess.Popen(
        [HELPER, f"--manage={directory}/manage", f"--vmm={directory}/vmm"],
        stderr=subprocess.PIPE, text=True)
    for line in helper.stderr:
        if "ready:" in line:
            return helper
    raise RuntimeError("the helper is not ready")


def stop(helper):
    helper.kill()
    helper.wait()
    helper.stderr.close()


def add(directory):
    subprocess.run([MANAGER, f"{directory}/manage", f"{directory}/disk"], check=True,
                   stdout=subprocess.DEVNULL, timeout=HANG_SECONDS)


def until(program, wanted):
    """Reads the program's lines up to this one, and returns those before it."""
    before = []
    for line in program.stdout:
        if line.rstrip("\n") == wanted:
            return before
        before.append(line.rstrip("\n"))
    raise RuntimeError(f"{wanted!r} did not come, but {before}")


def restarted(loop, directory):
    helper = start(directory)
    program = subprocess.Popen([loop, f"{directory}/vmm", "/dev/fdset/0", "3"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    signal.alarm(HANG_SECONDS)
    try:
        add(directory)  # while it waits for that, or before
        until(program, "the disk is open")
        for _ in range(2):
            stop(helper)
            helper = start(directory)
            add(directory)
            said = until(program, "the disk is open")
            assert any("hung up or died" in line for line in said), said
            assert "connected to fdset-helper again" in said, said
        assert program.wait(HANG_SECONDS) == 0
    finally:
        program.kill()
        program.wait()
        program.stdout.close()
        stop(helper)


def main():
    directory = tempfile.mkdtemp(dir=os.environ.get("TMPDIR", "/var/tmp"))
    try:
        with open(f"{directory}/disk", "w", encoding="utf-8"):
            pass
        restarted(sys.argv[1], directory)
        print("1..1\nok 1 - opens again after each restart")
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
