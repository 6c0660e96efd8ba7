#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The same steps on QEMU's own sets and on the helper's: where the former fail, the
# latter do not.
# shellcheck disable=SC2317,SC2119,SC2094,SC2054
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

# sets_make WHOSE: set 1 with a read-only and a read-write member of disk.img,
# either the helper's or, from descriptors 30 and 31 of this shell, QEMU's own.
sets_make() {
    qemu-img create -q -f qcow2 disk.img 1M
    case $1 in
    helper)
        helper_start
        succeeds fdsetctl add --set 1 --read-only --read-write disk.img
        path=//dev/fdset/1 sets=()
        ;;
    native)
        exec 30<disk.img 31<>disk.img
        path=/dev/fdset/1 sets=(-add-fd fd=30,set=1 -add-fd fd=31,set=1)
        ;;
    esac
}

# disk_options READ-ONLY
disk_options() {
    echo "{\"driver\": \"qcow2\", \"node-name\": \"disk\", \"read-only\": $1, \"file\":
        {\"driver\": \"file\", \"node-name\": \"disk-file\", \"filename\": \"$path\",
         \"locking\": \"on\", \"auto-read-only\": true}}" | tr -d '\n'
}

reopen() {
    qmp blockdev-reopen "{\"options\": [{\"driver\": \"qcow2\", \"node-name\": \"disk\", \"read-only\": $1, \"file\": \"disk-file\"}]}"
}

# Up to 10 times to read-write and back. Says how many times it went.
toggle() {
    local -n times=$1
    for ((times = 0; times < 10; times++)); do
        reopen false && qemu_io disk "write -P $times 0 4k" && reopen true || return
        qemu_io disk "read -P $times 0 4k"
    done
}

test_ten_times_read_write_and_back() {
    local path sets count
    sets_make helper
    qemu_system_start "${sets[@]}"
    qemu_does blockdev-add "$(disk_options true)"
    toggle count || fail "after $count times: $(qmp_error)"
    equal 10 "$count" "times"
    qemu_quit
    opens_equal_closes
}

test_native_sets_fail_the_second_time() {
    local path sets count
    sets_make native
    qemu_system_start "${sets[@]}"
    qemu_does blockdev-add "$(disk_options true)"
    ! toggle count || fail "it went $count times"
    equal 1 "$count" "times"
    [[ $(qmp_error) == *'Failed to get "write" lock'* ]] || fail "QEMU says '$(qmp_error)'"
}

# Kills QEMU while it writes, and starts it again, with what the manager still has.
kill_and_start() {
    qemu_system_start "${sets[@]}" -blockdev "$(disk_options false)"
    qemu_io disk 'write -P 1 0 4k'
    qemu_kill
    [ ! "$helper" ] || leases_end
    qemu_start qemu-system-x86_64 -machine none -nodefaults -no-user-config -display none \
        -qmp stdio "${sets[@]}"
    qmp blockdev-add "$(disk_options false)"
}

test_started_again_after_a_kill() {
    local path sets
    sets_make helper
    kill_and_start || fail "$(qmp_error)"
    qemu_io disk 'read -P 1 0 4k'
    qemu_quit
}

test_native_sets_are_locked_after_a_kill() {
    local path sets
    sets_make native
    ! kill_and_start || fail "the disk was not locked"
    [[ $(qmp_error) == *'Failed to get'*'lock'* ]] || fail "QEMU says '$(qmp_error)'"
}

# The helper's: test_mirror_to_a_path in jobs.sh.
test_native_sets_abort_after_a_mirror() {
    local path sets
    ulimit -c 0
    sets_make native
    truncate -s 1M target.img
    exec 32<target.img 33<>target.img
    sets+=(-add-fd fd=32,set=2 -add-fd fd=33,set=2)
    qemu_system_start "${sets[@]}" -drive if=none,id=disk,format=qcow2,file=/dev/fdset/1
    qemu_does drive-mirror '{"device": "disk", "target": "/dev/fdset/2", "format": "raw",
        "mode": "existing", "sync": "full", "job-id": "job"}'
    qmp_wait '*"BLOCK_JOB_READY"*' || fail "the job does not get on"
    qemu_does job-complete '{"id": "job"}'
    ! qmp_wait '*"BLOCK_JOB_COMPLETED"*' || fail "the job has ended: $qmp_event"
    ended_by ABRT "$qemu"
    grep -q 'Failed to get "consistent read" lock' qemu.log || fail "$(cat qemu.log)"
}

# A second machine on the same member, while the first one runs.
second_machine() {
    preloaded qemu-system-x86_64 -machine none -nodefaults -no-user-config -display none \
        -qmp stdio "${sets[@]}" -blockdev "$(second_options)" \
        <<<'{"execute": "qmp_capabilities"} {"execute": "quit"}'
}

# Opens read-write at once, as a disk without auto-read-only does.
second_options() {
    disk_options false | sed 's/, *"auto-read-only": true//'
}

test_a_second_machine_is_refused() {
    local path sets
    sets_make helper
    qemu_system_start "${sets[@]}" -blockdev "$(second_options)"
    qemu_io disk 'write -P 1 0 4k'
    export FDSET_PRELOAD_VERBOSE=1
    refused 'Device or resource busy' second_machine
    refused "held by qemu-system-x86_64 (pid $qemu)" second_machine
    unset FDSET_PRELOAD_VERBOSE
    leases_are 1 read-write
    equal "$qemu" "$(fdsetctl list -n -l | awk '{ print $7 }')" "process with the lease"
    qemu_io disk 'read -P 1 0 4k'
    qemu_quit
    succeeds second_machine >output
    opens_equal_closes
}

# It writes to the disk of a running machine: locks are the description's, and both
# have the same one.
test_native_sets_let_a_second_machine_in() {
    local path sets
    sets_make native
    qemu_system_start "${sets[@]}" -blockdev "$(second_options)"
    qemu_io disk 'write -P 1 0 4k'
    succeeds second_machine >output
}

run_tests
