#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Packs files into an initramfs, as cpio(1) would, which need not be there.

    initramfs.py NAME=FILE... >initramfs

NAME is where FILE is to be in the guest; its mode is what FILE has. There is a
/dev/console, and a directory for each that is named."""
import os
import stat
import sys


def entry(number, name, mode, content=b"", device=(0, 0)):
    """One file in the format "newc": a header of hexadecimal numbers, the name and
    the content, each padded to four bytes."""
    name = name.encode() + b"\0"
    fields = [number, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name), 0]
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return b"".join(part + b"\0" * (-len(part) % 4) for part in (header, content))


def main():
    files = dict(argument.split("=", 1) for argument in sys.argv[1:])
    directories = {"dev", "proc", "sys", "mnt", *map(os.path.dirname, files)} - {""}
    entries = [(name, stat.S_IFDIR | 0o755, b"", (0, 0)) for name in sorted(directories)]
    entries.append(("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1)))
    for name, path in files.items():
        with open(path, "rb") as file:
            entries.append((name, os.stat(path).st_mode, file.read(), (0, 0)))
    entries.append(("TRAILER!!!", 0, b"", (0, 0)))
    for number, what in enumerate(entries, 1):
        sys.stdout.buffer.write(entry(number, *what))


main()
