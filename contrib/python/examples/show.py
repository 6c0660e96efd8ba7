#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Passes a file to a helper as its manager, and opens it again as its VMM.

Usage: show.py MANAGE-SOCKET VMM-SOCKET FILE
"""

import os
import sys

import fdset


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    _, manage, vmm_path, path = sys.argv
    try:
        with fdset.Manager(manage) as manager, fdset.Vmm(vmm_path) as vmm:
            with open(path, "rb") as file:
                added = manager.add(None, file, opaque=path)
            with vmm.open(f"/dev/fdset/{added.set}", os.O_RDONLY) as lease:
                size = os.fstat(lease.fileno()).st_size
                print(f"set {added.set}: {size} bytes, lease {lease.lease}")
                print(manager.query(set=added.set))
    except OSError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
