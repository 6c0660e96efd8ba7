#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# qemu-img, qemu-io, qemu-nbd and daemons on sets.
# shellcheck disable=SC2317,SC2119
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

test_a_path_in_any_spelling() {
    local path
    helper_start
    truncate -s 64k disk.img
    succeeds fdsetctl add --set 1 disk.img
    for path in //dev/fdset/1 /dev//fdset/1 /dev/./fdset/1; do
        succeeds preloaded qemu-io -r -f raw -c 'read 0 4k' "$path"
        succeeds preloaded qemu-io -r -c 'read 0 4k' "$path" # which probes
    done
    # QEMU's own: it never gets to us.
    refused 'Function not implemented' preloaded qemu-io -r -f raw -c 'read 0 4k' /dev/fdset/1
    opens_equal_closes
}

test_modes_are_kept_apart() {
    helper_start
    truncate -s 64k disk.img
    succeeds fdsetctl add --set 1 disk.img
    refused 'Permission denied' preloaded qemu-io -f raw -c 'write 0 4k' //dev/fdset/1
    refused 'No such file or directory' preloaded qemu-io -f raw -c 'read 0 4k' //dev/fdset/2
    refused 'Invalid argument' preloaded qemu-io -f raw -c 'read 0 4k' //dev/fdset/01
    succeeds fdsetctl add --set 1 --read-write disk.img
    succeeds preloaded qemu-io -f raw -c 'write -P 9 0 4k' //dev/fdset/1
    succeeds qemu-io -r -f raw -c 'read -P 9 0 4k' disk.img
    opens_equal_closes
}

test_without_the_cache() {
    helper_start
    truncate -s 64k disk.img
    { dd if=disk.img of=/dev/null iflag=direct count=1 status=none; } 2>/dev/null ||
        skip "this file system has no O_DIRECT"
    succeeds fdsetctl add --set 1 --read-only --read-write disk.img # without O_DIRECT
    succeeds preloaded qemu-io -f raw -t none -i native -c 'write -P 5 0 4k' //dev/fdset/1
    succeeds preloaded qemu-io -f raw -t none -i io_uring -c 'read -P 5 0 4k' //dev/fdset/1
    succeeds preloaded qemu-io -f raw -c 'write -P 6 0 100' -c 'read -P 6 0 100' //dev/fdset/1
    opens_equal_closes
}

test_qemu_img() {
    helper_start
    : >base.img
    : >over.img
    truncate -s 1M out.img
    succeeds fdsetctl add --set 1 --read-only --read-write base.img
    succeeds fdsetctl add --set 2 --read-only --read-write over.img
    succeeds fdsetctl add --set 3 --read-only --read-write out.img
    succeeds preloaded qemu-img create -f qcow2 //dev/fdset/1 1M
    succeeds preloaded qemu-io -c 'write -P 1 0 64k' //dev/fdset/1
    # A backing file from an image's header.
    succeeds preloaded qemu-img create -f qcow2 -b //dev/fdset/1 -F qcow2 //dev/fdset/2
    succeeds preloaded qemu-io -c 'read -P 1 0 64k' -c 'write -P 2 64k 64k' //dev/fdset/2
    succeeds preloaded qemu-img check //dev/fdset/2
    succeeds preloaded qemu-img info --backing-chain //dev/fdset/2
    succeeds preloaded qemu-img convert -n -O raw //dev/fdset/2 //dev/fdset/3
    succeeds preloaded qemu-img compare -F raw //dev/fdset/2 //dev/fdset/3
    succeeds preloaded qemu-img commit //dev/fdset/2
    succeeds preloaded qemu-img compare -F raw //dev/fdset/1 //dev/fdset/3
    succeeds preloaded qemu-img resize -f qcow2 //dev/fdset/1 2M
    opens_equal_closes
    succeeds qemu-io -r -c 'read -P 1 0 64k' -c 'read -P 2 64k 64k' base.img
    [[ $(qemu-img info base.img) == *'2 MiB'* ]] || fail "the image was not resized"
}

# Given a name alone, QEMU opens it to see whether it is a CD-ROM drive.
test_a_set_for_one_open() {
    local image=file.driver=file,file.filename=//dev/fdset/1
    helper_start
    succeeds qemu-img create -q -f qcow2 disk.img 1M
    succeeds fdsetctl add --set 1 --lifetime once --grace 10min disk.img
    succeeds preloaded qemu-img check --image-opts "driver=qcow2,$image"
    refused 'No such file or directory' preloaded qemu-img check --image-opts "driver=qcow2,$image"
    opens_equal_closes
}

test_a_json_name() {
    helper_start
    truncate -s 64k disk.img
    succeeds fdsetctl add --set 1 disk.img
    succeeds preloaded qemu-io -r -c 'read 0 4k' \
        'json:{"driver": "raw", "file": {"driver": "file", "filename": "//dev/fdset/1"}}'
    succeeds preloaded qemu-io -r -f raw -c 'read 0 4k' file://dev/fdset/1
    opens_equal_closes
}

# What a QEMU without the library wrote into a header does not reach it; the manual's cure.
test_a_header_that_names_a_set() {
    helper_start
    truncate -s 1M over.img
    succeeds qemu-img create -q -f qcow2 base.img 1M
    succeeds qemu-io -c 'write -P 3 0 64k' base.img
    succeeds qemu-img create -q -u -f qcow2 -b /dev/fdset/1 -F qcow2 over.img 1M
    succeeds fdsetctl add --set 1 base.img
    succeeds fdsetctl add --set 2 --read-only --read-write over.img
    refused 'Function not implemented' preloaded qemu-io -r -c 'read -P 3 0 64k' //dev/fdset/2
    # A backing file that is named beside it is the one that counts.
    succeeds preloaded qemu-io -r -c 'read -P 3 0 64k' "json:{'driver': 'qcow2',
        'file': {'driver': 'file', 'filename': '//dev/fdset/2'},
        'backing': {'driver': 'qcow2', 'file': {'driver': 'file', 'filename': '//dev/fdset/1'}}}"
    succeeds preloaded qemu-img rebase -u -b //dev/fdset/1 -F qcow2 //dev/fdset/2
    succeeds preloaded qemu-io -r -c 'read -P 3 0 64k' //dev/fdset/2
    # The file's own name, which says something outside of the machine too.
    succeeds qemu-img rebase -u -b "$PWD/base.img" -F qcow2 over.img
    succeeds qemu-io -r -c 'read -P 3 0 64k' over.img
    opens_equal_closes
}

test_keep_content_outlives_a_create() {
    helper_start
    echo precious >log
    succeeds fdsetctl add --set 1 --write-only --keep-content log
    qemu_start qemu-system-x86_64 -machine none -nodefaults -no-user-config -display none \
        -qmp stdio -chardev file,id=log,path=//dev/fdset/1
    qemu_quit
    equal precious "$(cat log)" "the log"
    leases_end
}

test_qemu_nbd_forks() {
    helper_start
    truncate -s 64k disk.img
    succeeds fdsetctl add --set 1 --read-write disk.img
    succeeds preloaded qemu-nbd --fork --persistent --pid-file=pid -k "$PWD/nbd" -f raw //dev/fdset/1
    leases_are 1 read-write
    equal "$(cat pid)" "$(fdsetctl list -n -l | awk '{ print $7 }')" "process with the lease"
    succeeds qemu-io -f raw -c 'write -P 4 0 4k' "nbd:unix:$PWD/nbd"
    kill "$(cat pid)"
    leases_end
    succeeds qemu-io -r -f raw -c 'read -P 4 0 4k' disk.img
}

test_daemons_attach_after_the_fork() {
    helper_start
    truncate -s 64k disk.img
    succeeds fdsetctl add --set 1 --read-write disk.img
    succeeds preloaded qemu-storage-daemon --daemonize --pidfile "$PWD/pid" \
        --blockdev file,node-name=disk,filename=//dev/fdset/1
    equal "$(cat pid)" "$(fdsetctl list -n -l | awk '{ print $7 }')" "process with the lease"
    kill "$(cat pid)"
    leases_end
    succeeds preloaded qemu-system-x86_64 -daemonize -pidfile "$PWD/pid" -machine none -nodefaults \
        -display none -blockdev file,node-name=disk,filename=//dev/fdset/1
    equal "$(cat pid)" "$(fdsetctl list -n -l | awk '{ print $7 }')" "process with the lease"
    kill "$(cat pid)"
    leases_end
}

# A set for each image, named as the image is: what its header says leads there.
test_a_directory_of_ones_own() {
    mkdir images
    qemu-img create -q -f qcow2 images/base.qcow2 1M
    qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 images/relative.qcow2
    qemu-img create -q -f qcow2 -b "$PWD/images/base.qcow2" -F qcow2 images/absolute.qcow2
    succeeds qemu-io -c 'write -P 1 0 4k' images/base.qcow2
    helper_start
    succeeds fdsetctl add --name base.qcow2 images/base.qcow2
    succeeds fdsetctl add --name relative.qcow2 images/relative.qcow2
    succeeds fdsetctl add --name absolute.qcow2 images/absolute.qcow2
    mv images elsewhere
    export FDSET_PREFIX=$PWD/images
    succeeds preloaded qemu-io -r -c 'read -P 1 0 4k' "$PWD/images/relative.qcow2"
    succeeds preloaded qemu-io -r -c 'read -P 1 0 4k' "$PWD/images/absolute.qcow2"
    succeeds preloaded qemu-io -r -c 'read -P 1 0 4k' //dev/fdset/relative.qcow2
    refused 'No such file' preloaded qemu-io -r -c 'read 0 4k' "$PWD/images/other.qcow2"
    opens_equal_closes
}

# What is in every Debian, and opens, asks and duplicates in its own ways.
test_programs_that_are_not_qemus() {
    helper_start
    seq 1000 >text
    : >log
    succeeds fdsetctl add --set 1 --read-only --read-write --write-only text
    succeeds fdsetctl add --set 2 --write-only log
    preloaded cat //dev/fdset/1 | cmp - text || fail "cat"
    preloaded head -n 1 //dev/fdset/1 | grep -qx 1 || fail "head"
    succeeds preloaded cp //dev/fdset/1 copy
    succeeds cmp copy text
    equal "$(stat -c '%s %i' text)" "$(preloaded stat -c '%s %i' //dev/fdset/1)" "what stat says"
    succeeds preloaded dd if=copy of=//dev/fdset/1 conv=notrunc bs=64k status=none
    succeeds preloaded bash -c '[ -r //dev/fdset/1 ] && [ -w //dev/fdset/1 ] && [ ! -x //dev/fdset/1 ]'
    succeeds preloaded bash -c '[ ! -e //dev/fdset/3 ] && [ ! -r //dev/fdset/2 ]'
    succeeds preloaded sh -c 'echo hello >//dev/fdset/2; echo again >>//dev/fdset/2'
    equal "hello again" "$(xargs <log)" "what the shell wrote"
    succeeds preloaded python3 -c 'open("//dev/fdset/1", "r+b").write(b"9")
import os; assert os.path.getsize("//dev/fdset/1") == os.stat("text").st_size'
    equal 9 "$(head -n 1 text)" "what Python wrote"
    opens_equal_closes
}

test_spawns_a_helper_of_its_own() {
    local attempt
    truncate -s 64k disk.img
    export FDSET_MANAGE_SOCKET=$PWD/manage FDSET_SPAWN_MANAGE_SOCKET=$PWD/manage
    FDSET_ADD_FD='fd=3,set=1' succeeds preloaded qemu-io -r -f raw -c 'read 0 4k' //dev/fdset/1 3<disk.img
    for ((attempt = 0; attempt < 500; attempt++)); do # it ends with its program
        fdsetctl list 2>/dev/null || break
    done
    refused 'cannot connect' fdsetctl list

    # Without a set to begin with, somebody has to add it.
    qemu_start qemu-storage-daemon --chardev stdio,id=stdio --monitor chardev=stdio
    qemu_refuses 'No such file' blockdev-add '{"driver": "file", "node-name": "disk", "filename": "//dev/fdset/1"}'
    succeeds fdsetctl add --set 1 --read-write disk.img
    qemu_does blockdev-add '{"driver": "file", "node-name": "disk", "filename": "//dev/fdset/1"}'
    qemu_quit
}

# Later it would be killed for starting one.
test_spawns_a_helper_before_qemus_sandbox_forbids_it() {
    truncate -s 64k disk.img
    FDSET_ADD_FD='fd=3,set=1' qemu_system_start 3<>disk.img \
        -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny \
        -blockdev '{"driver": "file", "node-name": "disk", "filename": "//dev/fdset/1"}'
    qemu_io disk 'write -P 8 0 4k'
    qemu_quit
    succeeds qemu-io -r -f raw -c 'read -P 8 0 4k' disk.img
}

test_it_says_why_it_cannot_attach() {
    truncate -s 64k disk.img
    FDSET_VMM_SOCKET=$PWD/nobody refused 'cannot connect' \
        preloaded qemu-io -r -f raw -c 'read 0 4k' //dev/fdset/1
    FDSET_HELPER_OPTIONS='--limit members=1' FDSET_ADD_FD='fd=3,set=1 fd=4,set=1' \
        refused '1 of 1 are there: start fdset-helper with --limit members=N (also by FDSET_HELPER_OPTIONS)' \
        preloaded qemu-io -r -f raw -c 'read 0 4k' //dev/fdset/1 3<disk.img 4<disk.img
    FDSET_ADD_FD="$(printf 'fd=3,set=%d ' {1..254})" refused 'FDSET_ADD_FD: at most 253 descriptors' \
        preloaded qemu-io -r -f raw -c 'read 0 4k' //dev/fdset/1 3<disk.img
    FDSET_ADD_FD='fd=3' refused 'is not fd=N,set=M' \
        preloaded qemu-io -r -f raw -c 'read 0 4k' //dev/fdset/1
    FDSET_HELPER=/nonexistent FDSET_ADD_FD='fd=3,set=1' refused 'cannot start /nonexistent' \
        preloaded qemu-io -r -f raw -c 'read 0 4k' //dev/fdset/1 3<disk.img
    refused 'no helper is named by FDSET_VMM_SOCKET' \
        preloaded qemu-io -r -f raw -c 'read 0 4k' //dev/fdset/1
    helper_start
    FDSET_PRELOAD_VERBOSE=1 refused 'there is no set 1' \
        preloaded qemu-io -r -f raw -c 'read 0 4k' //dev/fdset/1
}

# The manual's descriptors for one command: QEMU opens an image more than once, so
# that the first open must not use it up.
test_descriptors_for_one_command() {
    local path
    helper_start
    truncate -s 64k a.img
    path=$(fdsetctl add --path --lifetime connection --grace 10min a.img)
    preloaded qemu-io -r -f raw -c 'read 0 512' "/$path" >output 2>&1 || fail "$(cat output)"
    succeeds fdsetctl remove "$path" >output
}

run_tests
