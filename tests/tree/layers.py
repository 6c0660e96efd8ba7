#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A folder of the product is a layer: its files call and include those of their own folder
and of lower ones only, and never in a circle.

Who calls whom is read from the objects' symbols. A function pointer that an upper layer
handed down leaves no symbol, and is the one way up."""

import os

import objects
import tree

# Each line from the lowest to the highest: a folder may use those before it.
CHAINS = [line.split() for line in """
    LOWEST proto/shortcut helper/containers helper/model helper/settle helper/connection \
helper/requests helper/start helper
    LOWEST helper/confine helper/start helper
    LOWEST proto/shortcut vmm-glue/include/fdset vmm-glue/wire vmm-glue/vmm
    LOWEST proto/shortcut vmm-glue/include/fdset vmm-glue/wire vmm-glue/manager
    LIBRARY vmm-glue/examples
    LIBRARY contrib/common contrib/example-vmm
    LIBRARY contrib/common contrib/fdsetctl/base contrib/fdsetctl/ask contrib/fdsetctl/output \
contrib/fdsetctl/verbs contrib/fdsetctl
    LIBRARY contrib/common contrib/qemu/joint contrib/qemu/shim
    LIBRARY helper/confine contrib/common contrib/qemu/joint contrib/qemu/monitor \
contrib/qemu/wrapper
""".replace("LIBRARY", "LOWEST vmm-glue/include/fdset vmm-glue/wire vmm-glue/vmm vmm-glue/manager")
          .replace("LOWEST", "proto/include/fdset proto").strip().splitlines()]
FOLDERS = {folder for chain in CHAINS for folder in chain}


# What writes a filter is linked with the one table that it is to write, as a program is with
# its main(): the way up is the linker's.
TABLE = {"filter_rules", "filter_rule_count"}


def allowed(user, used):
    user, used = os.path.dirname(user), os.path.dirname(used)
    return user == used or any(
        user in chain and used in chain[:chain.index(user)] for chain in CHAINS)


def arrow(user, used, names):
    return f"{user} -> {used}" + (f" ({', '.join(sorted(names))})" if names else "")


def rings(arrows):
    """Files that reach themselves, as sets of those that reach each other."""
    after = {}
    for user, used in arrows:
        after.setdefault(user, set()).add(used)

    def reached(start):
        seen, todo = set(), list(after.get(start, ()))
        while todo:
            path = todo.pop()
            if path not in seen:
                seen.add(path)
                todo += after.get(path, ())
        return seen

    reach = {path: reached(path) for path in after}
    found = []
    for path in sorted(after):
        if path in reach[path] and not any(path in ring for ring in found):
            found.append({other for other in reach[path] if path in reach.get(other, ())})
    return found


def circles(arrows):
    for ring in rings(arrows):
        lines = "".join(f"\n    {arrow(user, used, names)}"
                        for (user, used), names in sorted(arrows.items())
                        if user in ring and used in ring)
        yield f"a ring of {len(ring)} files:{lines}"


def circles_of_calls():
    return circles(objects.calls())


def calls_upward():
    for (user, used), names in sorted(objects.calls().items()):
        if not allowed(user, used) and not set(names) <= TABLE:
            yield f"{arrow(user, used, names)} calls upward"


def beside_main():
    mains = objects.definers()["main"]
    for (user, used), names in sorted(objects.calls().items()):
        if used in mains:
            yield f"{arrow(user, used, names)}: what another file needs " \
                "does not stand beside main()"


def includes_upward():
    for user, used in sorted(objects.includes()):
        # What the build makes of fdset.proto and others stands outside the layers.
        if used.split("/")[0] in tree.PRODUCT and not allowed(user, used):
            yield f"{user} includes {used}, which is not below it"


def circles_of_headers():
    return circles({pair: () for pair in objects.includes()})


def folders_without_a_layer():
    for folder in sorted({os.path.dirname(path) for path in tree.product(".c", ".h")} - FOLDERS):
        yield f"{folder}: say in {os.path.relpath(__file__, tree.source)} where it stands"


def left_out():
    """A file of the product that no target compiles, also where all of its libraries are."""
    built = {unit.path for unit in objects.units()}
    named = "".join(tree.read(path) for path in tree.files("meson.build"))
    for path in sorted(set(tree.product(".c")) - built):
        if os.path.basename(path) not in named:
            yield f"{path}: no meson.build names it"


if __name__ == "__main__":
    tree.tell([
        ("every C file is built", left_out),
        ("every folder has its layer", folders_without_a_layer),
        ("no files call each other in a circle", circles_of_calls),
        ("no file calls upward", calls_upward),
        ("nothing that others use stands beside main()", beside_main),
        ("no file includes a header of a layer above it", includes_upward),
        ("no headers include each other in a circle", circles_of_headers),
    ])
