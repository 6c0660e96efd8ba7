#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What else a running QEMU does with images: copies them, fills them, changes the
# medium in a drive; all in sets, with nothing left open afterwards.
# shellcheck disable=SC2317,SC2119,SC2154
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

node() {
    echo "{\"driver\": \"$3\", \"node-name\": \"$1\", \"file\":
        {\"driver\": \"file\", \"filename\": \"//dev/fdset/$2\"}}" | tr -d '\n'
}

# disk.img in set 1 and target.img in set 2, one MiB each; the disk has some data.
images_make() {
    helper_start
    qemu-img create -q -f qcow2 disk.img 1M
    succeeds qemu-io -c 'write -P 1 0 64k' disk.img
    truncate -s 1M target.img
    succeeds fdsetctl add --set 1 --read-only --read-write disk.img
    succeeds fdsetctl add --set 2 --read-only --read-write target.img
}

test_backup() {
    images_make
    qemu_system_start -blockdev "$(node disk 1 qcow2)"
    qemu_does blockdev-add "$(node target 2 raw)"
    qemu_does blockdev-backup '{"device": "disk", "target": "target", "sync": "full", "job-id": "job"}'
    job_finish
    qemu_io disk 'write -P 2 0 64k'
    qemu_does blockdev-del '{"node-name": "target"}'
    leases_are 2
    qemu_quit
    opens_equal_closes
    succeeds qemu-io -r -f raw -c 'read -P 1 0 64k' target.img
}

# After it the machine runs on the copy, and the disk is given back. QEMU changes the
# copy from read-write to read-only meanwhile, and aborts if it then finds a lock that
# it had before: as it does with sets of its own.
test_mirror_to_a_path() {
    images_make
    qemu_system_start -drive if=none,id=disk,format=qcow2,file=//dev/fdset/1
    qemu_does drive-mirror '{"device": "disk", "target": "//dev/fdset/2", "format": "raw",
        "mode": "existing", "sync": "full", "job-id": "job"}'
    job_finish
    leases_are 1
    leases_are 2 read-only
    qemu_io disk 'write -P 3 64k 64k'
    qemu_quit
    opens_equal_closes
    succeeds qemu-io -r -f raw -c 'read -P 1 0 64k' -c 'read -P 3 64k 64k' target.img
}

test_stream() {
    images_make
    qemu-img create -q -f qcow2 -u -b //dev/fdset/1 -F qcow2 top.img 1M
    succeeds fdsetctl add --set 3 --read-only --read-write top.img
    qemu_system_start -blockdev "$(node top 3 qcow2)"
    leases_are 1 read-only
    qemu_does block-stream '{"device": "top", "job-id": "job"}'
    job_finish
    leases_are 1
    qemu_quit
    opens_equal_closes
    succeeds qemu-io -r -c 'read -P 1 0 64k' top.img
    [[ $(qemu-img info top.img) != *'backing file'* ]] || fail "it has a backing file still"
}

# Onto an image that QEMU makes, with a snapshot in the old way: by path.
test_snapshot_to_a_path() {
    images_make
    : >over.img
    succeeds fdsetctl add --set 3 --read-only --read-write over.img
    qemu_system_start -drive if=none,id=disk,format=qcow2,file=//dev/fdset/1
    qemu_does blockdev-snapshot-sync '{"device": "disk", "snapshot-file": "//dev/fdset/3",
        "format": "qcow2"}'
    leases_are 1 read-only
    leases_are 3 read-write
    qemu_io disk 'write -P 4 64k 64k'
    qemu_quit
    opens_equal_closes
    succeeds preloaded qemu-io -r -c 'read -P 1 0 64k' -c 'read -P 4 64k 64k' //dev/fdset/3
}

test_the_medium_of_a_drive() {
    helper_start
    truncate -s 1M one.iso two.iso
    succeeds fdsetctl add --set 1 one.iso
    succeeds fdsetctl add --set 2 two.iso
    qemu_start qemu-system-x86_64 -machine pc -accel tcg -m 16 -S -nodefaults -no-user-config \
        -display none -qmp stdio -device ide-cd,id=cd
    for _ in 1 2 3; do
        qemu_does blockdev-change-medium '{"id": "cd", "filename": "//dev/fdset/1", "format": "raw"}'
        leases_are 1 read-only
        qemu_does blockdev-change-medium '{"id": "cd", "filename": "//dev/fdset/2"}'
        leases_are 1
        leases_are 2 read-only
        qemu_does eject '{"id": "cd", "force": true}'
        leases_are 2
    done
    qemu_quit
    opens_equal_closes
}

# QEMU's own temporary overlay is no set, what is below it is.
test_a_temporary_snapshot() {
    images_make
    qemu_system_start -snapshot -drive if=none,id=disk,format=qcow2,file=//dev/fdset/1
    leases_are 1 read-only
    qemu_io disk 'write -P 5 0 64k'
    qemu_quit
    opens_equal_closes
    succeeds qemu-io -r -c 'read -P 1 0 64k' disk.img
}

run_tests
