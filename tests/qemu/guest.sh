#!/usr/bin/env bash
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

test_migrated_to_a_file_and_back() {
    helper_start
    guest_make
    guest_start
    guest_goes_on
    qemu_does migrate '{"uri": "exec:cat >state"}'
    qmp_wait '*"STOP"*' || fail "the migration does not stop the guest"
    until qemu_does query-migrate && [[ $qmp_reply == *'"completed"'* ]]; do
        [[ $qmp_reply != *'"failed"'* ]] || fail "$qmp_reply"
    done
    qemu_quit
    leases_end
    guest_start -incoming 'exec:cat state'
    qmp_wait '*"RESUME"*' || fail "the guest does not come back"
    guest_goes_on
    qemu_quit
}

run_tests
