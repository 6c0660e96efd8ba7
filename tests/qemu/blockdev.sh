#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# QEMU's block layer on sets: reopening, committing, dying, starting again, with
# image locking on throughout.
# shellcheck disable=SC2317,SC2119
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

# disk_options READ-ONLY: a qcow2 node, since those lock as long as they may
# write, on set 1, as libvirt has it.
disk_options() {
    echo "{\"driver\": \"qcow2\", \"node-name\": \"disk\", \"read-only\": $1, \"file\":
        {\"driver\": \"file\", \"node-name\": \"disk-file\", \"filename\": \"//dev/fdset/1\",
         \"locking\": \"on\", \"auto-read-only\": true}}" | tr -d '\n'
}

reopen_arguments() {
    echo "{\"options\": [{\"driver\": \"qcow2\", \"node-name\": \"disk\", \"read-only\": $1, \"file\": \"disk-file\"}]}"
}

# disk_make [OPTION]...: a disk with a read-only and a read-write member in set 1.
disk_make() {
    qemu-img create -q -f qcow2 disk.img 1M
    succeeds fdsetctl add --set 1 --read-only --read-write "$@" disk.img
}

# Whoever comes from outside finds the image locked by a writer, or not.
locked_from_outside() {
    refused 'Failed to get' qemu-io -c 'write 0 512' disk.img
}

not_locked_from_outside() {
    succeeds qemu-io -c 'write 512k 512' disk.img
}

test_read_only_and_back_ten_times() {
    local round
    helper_start
    disk_make
    qemu_system_start
    qemu_does blockdev-add "$(disk_options true)"
    leases_are 1 read-only
    for round in 1 2 3 4 5 6 7 8 9 10; do
        qemu_does blockdev-reopen "$(reopen_arguments false)"
        leases_are 1 read-write
        qemu_io disk "write -P $round 0 4k"
        locked_from_outside
        qemu_does blockdev-reopen "$(reopen_arguments true)"
        leases_are 1 read-only
        qemu_io disk "read -P $round 0 4k"
    done
    qemu_does blockdev-del '{"node-name": "disk"}'
    equal 0 "$(leases)" "leases after blockdev-del"
    not_locked_from_outside
    qemu_quit
    opens_equal_closes
}

# So the test above would see a lock that was left, as QEMU's own fdsets leave it.
test_with_keep_locks_it_fails() {
    helper_start
    disk_make --keep-locks
    qemu_system_start
    qemu_does blockdev-add "$(disk_options true)"
    qemu_does blockdev-reopen "$(reopen_arguments false)"
    qemu_does blockdev-reopen "$(reopen_arguments true)"
    qemu_refuses 'Failed to get' blockdev-reopen "$(reopen_arguments false)"
}

test_the_storage_daemon_reopens_as_well() {
    local round
    helper_start
    disk_make
    qemu_storage_daemon_start --blockdev "$(disk_options true)"
    for round in 1 2 3 4; do
        qemu_does blockdev-reopen "$(reopen_arguments false)"
        leases_are 1 read-write
        qemu_does blockdev-reopen "$(reopen_arguments true)"
        leases_are 1 read-only
    done
    qemu_quit
    opens_equal_closes
}

test_killed_and_started_again() {
    local round
    helper_start
    disk_make
    for round in 1 2 3; do
        qemu_system_start --blockdev "$(disk_options false)"
        leases_are 1 read-write
        qemu_io disk "write -P $round 0 4k"
        qemu_kill
        leases_end
        not_locked_from_outside
    done
    qemu_system_start --blockdev "$(disk_options false)"
    qemu_io disk "read -P 3 0 4k"
    qemu_quit
}

test_ended_and_started_again() {
    local round
    helper_start
    disk_make
    for round in 1 2 3; do
        qemu_system_start --blockdev "$(disk_options false)"
        qemu_io disk "write -P $round 0 4k"
        qemu_quit
    done
    opens_equal_closes
}

test_a_second_machine_cannot_write() {
    helper_start
    disk_make
    qemu_system_start --blockdev "$(disk_options false)"
    refused 'Device or resource busy' preloaded qemu-io -f qcow2 -c 'write 0 512' //dev/fdset/1
    # Nor read, by QEMU's own rules: the image is locked, as it would be without a helper.
    refused 'Failed to get shared "write" lock' preloaded qemu-io -r -f qcow2 -c 'read 0 512' //dev/fdset/1
    leases_are 1 read-write
    qemu_quit
}

# chain_make: base <- mid <- top in sets 1 to 3, each with a byte of its own at
# its own place; base and mid only to be read.
chain_make() {
    qemu-img create -q -f qcow2 base.img 1M
    qemu-img create -q -f qcow2 -b base.img -F qcow2 mid.img
    qemu-img create -q -f qcow2 -b mid.img -F qcow2 top.img
    succeeds qemu-io -c 'write -P 1 0 64k' base.img
    succeeds qemu-io -c 'write -P 2 64k 64k' mid.img
    succeeds qemu-io -c 'write -P 3 128k 64k' top.img
    succeeds fdsetctl add --set 1 base.img
    succeeds fdsetctl add --set 2 mid.img
    succeeds fdsetctl add --set 3 --read-write top.img
    chain_options=(
        --blockdev '{"driver": "file", "node-name": "base-file", "filename": "//dev/fdset/1", "auto-read-only": true}'
        --blockdev '{"driver": "qcow2", "node-name": "base", "file": "base-file", "read-only": true, "backing": null}'
        --blockdev '{"driver": "file", "node-name": "mid-file", "filename": "//dev/fdset/2", "auto-read-only": true}'
        --blockdev '{"driver": "qcow2", "node-name": "mid", "file": "mid-file", "read-only": true, "backing": "base"}'
        --blockdev '{"driver": "file", "node-name": "top-file", "filename": "//dev/fdset/3"}'
        --blockdev '{"driver": "qcow2", "node-name": "top", "file": "top-file", "backing": "mid"}')
}

commit_and_commit_again() {
    local mid='{"device": "top", "top-node": "mid", "base-node": "base", "job-id": "job"}'
    local top='{"device": "top", "base-node": "base", "job-id": "job"}'

    qemu_refuses 'Permission denied' block-commit "$mid"
    leases_are 1 read-only
    succeeds fdsetctl add --set 1 --read-write base.img
    qemu_does block-commit "$mid"
    job_finish
    leases_are 1 read-only # reopened, and the write lock given back
    qemu_does block-commit "$top"
    job_finish
    leases_are 1 read-write
    qemu_quit
    opens_equal_closes
    succeeds qemu-io -r -c 'read -P 1 0 64k' -c 'read -P 2 64k 64k' -c 'read -P 3 128k 64k' base.img
}

test_commit_in_the_storage_daemon() {
    helper_start
    chain_make
    qemu_storage_daemon_start "${chain_options[@]}"
    commit_and_commit_again
}

test_commit_in_qemu_system() {
    helper_start
    chain_make
    qemu_system_start "${chain_options[@]/#--/-}"
    commit_and_commit_again
}

test_snapshot_and_commit_three_times() {
    local round
    helper_start
    qemu-img create -q -f qcow2 base.img 1M
    succeeds fdsetctl add --set 1 --read-only --read-write base.img
    qemu_system_start \
        -blockdev '{"driver": "file", "node-name": "base-file", "filename": "//dev/fdset/1", "auto-read-only": true}' \
        -blockdev '{"driver": "qcow2", "node-name": "base", "file": "base-file"}'
    for round in 1 2 3; do
        qemu-img create -q -f qcow2 "over$round.img" 1M
        succeeds fdsetctl add --set "2$round" --read-write "over$round.img"
        qemu_does blockdev-add "{\"driver\": \"qcow2\", \"node-name\": \"over$round\", \"backing\": null, \"file\":
            {\"driver\": \"file\", \"filename\": \"//dev/fdset/2$round\"}}"
        qemu_does blockdev-snapshot "{\"node\": \"base\", \"overlay\": \"over$round\"}"
        leases_are 1 read-only
        qemu_io "over$round" "write -P $round ${round}00k 64k"
        qemu_does block-commit "{\"device\": \"over$round\", \"job-id\": \"job\"}"
        job_finish
        leases_are 1 read-write
        qemu_does blockdev-del "{\"node-name\": \"over$round\"}"
        leases_are "2$round"
        qemu_io base "read -P $round ${round}00k 64k"
    done
    qemu_quit
    opens_equal_closes
}

test_what_was_removed_is_gone_after_the_close() {
    helper_start
    disk_make
    qemu_system_start --blockdev "$(disk_options false)"
    succeeds fdsetctl remove 1
    equal removed "$(fdsetctl list -n | awk '{ print $5 }')" "states"
    qemu_io disk 'write 0 4k'
    # Back to read-only there is no way any more.
    qemu_refuses 'Permission denied' blockdev-reopen "$(reopen_arguments true)"
    qemu_io disk 'write 0 4k'
    qemu_does blockdev-del '{"node-name": "disk"}'
    leases_end
    refused 'there is no set 1' fdsetctl list 1
    qemu_quit
}

test_opens_late_in_qemus_own_sandbox() {
    helper_start
    disk_make
    qemu_system_start -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
    qemu_does blockdev-add "$(disk_options false)"
    qemu_io disk 'write 0 4k'
    qemu_does blockdev-del '{"node-name": "disk"}'
    qemu_quit
    opens_equal_closes
}

test_the_helper_dies_and_qemu_goes_on() {
    helper_start
    disk_make
    qemu_system_start --blockdev "$(disk_options false)"
    kill -KILL "$helper"
    ended_by KILL "$helper"
    qemu_io disk 'write -P 7 0 4k'
    qemu_refuses 'Connection reset by peer' blockdev-reopen "$(reopen_arguments true)"
    qemu_io disk 'read -P 7 0 4k'
    qemu_quit
}

run_tests
