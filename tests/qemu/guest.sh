#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A machine that runs: contrib/qemu/guest.S, which writes and reads its disk and
# tells of it on the serial port. The serial log is a set as well.
# shellcheck disable=SC2317,SC2119
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source-path=SCRIPTDIR source=machine.sh
. "$(dirname "$0")/machine.sh"

# guest_make: base.img with the guest in set 1, read-only; over.img on it in set
# 2; guest.log in set 3.
guest_make() {
    boot_sector_make
    truncate -s 1M base.img
    dd if=guest.bin of=base.img conv=notrunc status=none
    qemu-img create -q -f qcow2 -b base.img -F raw over.img
    : >guest.log
    succeeds fdsetctl add --set 1 base.img
    succeeds fdsetctl add --set 2 --read-write over.img
    succeeds fdsetctl add --set 3 --write-only guest.log
}

guest_start() {
    qemu_start qemu-system-x86_64 -accel tcg -m 32 -nodefaults -no-user-config -display none \
        -qmp stdio -chardev file,id=serial,path=//dev/fdset/3 -serial chardev:serial \
        -blockdev '{"driver": "file", "node-name": "base-file", "filename": "//dev/fdset/1", "auto-read-only": true}' \
        -blockdev '{"driver": "raw", "node-name": "base", "file": "base-file", "read-only": true}' \
        -blockdev '{"driver": "file", "node-name": "over-file", "filename": "//dev/fdset/2"}' \
        -blockdev '{"driver": "qcow2", "node-name": "over", "file": "over-file", "backing": "base"}' \
        -device virtio-blk-pci,drive=over "$@"
}

test_the_guest_does_not_notice_a_commit() {
    helper_start
    guest_make
    guest_start
    guest_goes_on
    qemu_refuses 'Permission denied' block-commit '{"device": "over", "job-id": "job"}'
    guest_goes_on
    succeeds fdsetctl add --set 1 --read-write base.img
    qemu_does block-commit '{"device": "over", "job-id": "job"}'
    job_finish
    guest_goes_on
    leases_are 1 read-write
    qemu_does blockdev-del '{"node-name": "over"}'
    qemu_does blockdev-del '{"node-name": "over-file"}'
    leases_are 2
    qemu_quit
    leases_end
    told_is_found base.img
}

test_killed_while_it_writes_and_started_again() {
    helper_start
    guest_make
    for _ in 1 2 3; do
        guest_start
        guest_goes_on
        qemu_kill
        leases_end
        succeeds qemu-img check over.img
    done
    guest_start
    guest_goes_on
    qemu_quit
    equal 0 "$(tr -d . <guest.log | wc -c)" "other than dots in a log that begins anew"
}

test_reset() {
    helper_start
    guest_make
    guest_start
    guest_goes_on
    qemu_does system_reset
    guest_goes_on
    qemu_quit
    leases_end
}

# migrate_to URI: and ends the machine that was.
migrate_to() {
    qemu_does migrate "{\"uri\": \"$1\"}"
    qmp_wait '*"STOP"*' || fail "the migration does not stop the guest"
    until qemu_does query-migrate && [[ $qmp_reply == *'"completed"'* ]]; do
        [[ $qmp_reply != *'"failed"'* ]] || fail "$qmp_reply"
    done
    qemu_quit
    leases_end
}

comes_back_from() {
    local before
    before=$(told)
    guest_start -incoming "$1"
    qmp_wait '*"RESUME"*' || fail "the guest does not come back"
    guest_goes_on
    qemu_quit
    went_on_from "$before" "$before"
}

# How much the guest has told of since the log was begun.
told() {
    stat -c %s guest.log
}

# went_on_from LEAST MOST: the log was begun anew, but not the guest, which was in
# a round between these; the dot of the round that it was in may have been lost.
went_on_from() {
    local found
    succeeds qemu-img convert -O raw over.img disk.raw
    found=$(newest disk.raw)
    ((found >= $1 + $(told) - 2 && found <= $2 + $(told) + 2)) ||
        fail "in round $found after $(told) from $1 to $2"
}

state_make() {
    : >state
    succeeds fdsetctl add --set 4 --read-only --write-only state
}

# By QEMU itself, which can since version 8.2.
test_migrated_to_a_set_and_back() {
    helper_start
    guest_make
    state_make
    guest_start
    guest_goes_on
    if ! qmp migrate '{"uri": "file://dev/fdset/4"}'; then
        [[ $(qmp_error) == *'migration protocol'* ]] || fail "$(qmp_error)"
        echo "# this QEMU cannot migrate to a file by itself: see the next two" >&3
        qemu_quit
        return
    fi
    qmp_wait '*"STOP"*' || fail "the migration does not stop the guest"
    until qemu_does query-migrate && [[ $qmp_reply == *'"completed"'* ]]; do
        [[ $qmp_reply != *'"failed"'* ]] || fail "$qmp_reply"
    done
    qemu_quit
    opens_equal_closes
    comes_back_from file://dev/fdset/4
    opens_equal_closes
}

# By a program that QEMU starts, which has the shim as well.
test_migrated_to_a_set_and_back_by_dd() {
    helper_start
    guest_make
    state_make
    guest_start
    guest_goes_on
    migrate_to 'exec:dd of=//dev/fdset/4 bs=64k status=none'
    [ "$(stat -c %s state)" -gt 100000 ] || fail "nothing is in the set"
    comes_back_from 'exec:dd if=//dev/fdset/4 bs=64k status=none'
    opens_equal_closes
}

# Into the image itself, and back into a machine that was started anew.
test_saved_in_a_set_and_loaded() {
    local least most
    helper_start
    guest_make
    guest_start
    guest_goes_on
    least=$(told)
    qemu_does snapshot-save '{"job-id": "save", "tag": "t", "vmstate": "over", "devices": ["over"]}'
    job_concludes save
    most=$(told)
    guest_goes_on
    qemu_quit
    opens_equal_closes
    guest_start -S
    qemu_does snapshot-load '{"job-id": "load", "tag": "t", "vmstate": "over", "devices": ["over"]}'
    job_concludes load
    qemu_does cont
    guest_goes_on
    qemu_quit
    opens_equal_closes
    went_on_from "$least" "$most"
}

# A job that is no block job.
job_concludes() {
    qmp_wait '*"JOB_STATUS_CHANGE"*"concluded"*"'"$1"'"*' || fail "$1 does not end"
    qemu_does query-jobs
    [[ $qmp_reply != *'"error"'* ]] || fail "$qmp_reply"
    qemu_does job-dismiss "{\"id\": \"$1\"}"
}

run_tests
