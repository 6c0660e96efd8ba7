#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The example VMM (contrib/example-vmm): an emulator that links libfdset, with qemu-io
# as its guest.
# shellcheck disable=SC2317,SC2119
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

# vmm_start OPTION...: with its monitor on two pipes. Standard error goes to vmm.log.
vmm_start() {
    mkfifo vmm.in vmm.out
    "$FDSET_EXAMPLE_VMM" --listen nbd "$@" <vmm.in >vmm.out 2>>vmm.log &
    vmm=$!
    exec {to_vmm}>vmm.in {from_vmm}<vmm.out
    rm vmm.in vmm.out
}

# Waits until it serves.
vmm_ready() {
    vmm_says ready
}

vmm_says() {
    local line=''
    IFS= read -r line <&"$from_vmm"
    [[ $line == $1 ]] || fail "the VMM says '$line' and not '$1': $(cat vmm.log)"
}

# vmm_does ANSWER COMMAND: the answer is a pattern.
vmm_does() {
    echo "$2" >&"$to_vmm"
    vmm_says "$1"
}

vmm_quit() {
    vmm_does ok quit
    succeeds wait "$vmm"
    exec {to_vmm}>&- {from_vmm}<&-
    [ ! -e nbd ] || fail "its socket is left"
}

# guest OPTION... : qemu-io, without anything preloaded.
guest() {
    qemu-io -f raw "$@" "nbd+unix:///?socket=$PWD/nbd" || return
}

test_it_serves_what_it_was_given() {
    truncate -s 1M disk.img
    succeeds qemu-io -f raw -c 'write -P 5 64k 64k' disk.img
    exec {disk}<disk.img
    vmm_start --add-fd "fd=$disk,set=7,opaque=the disk" --manage "$PWD/manage" /dev/fdset/7
    exec {disk}<&-
    vmm_ready
    export FDSET_MANAGE_SOCKET=$PWD/manage
    succeeds guest -r -c 'read -P 5 64k 64k' -c 'read -P 0 0 64k'
    refused 'Permission denied' guest -c 'write 0 4k' # the export says that it is read-only
    leases_are 7 read-only
    equal "the disk" "$(fdsetctl list --json | sed -n 's/.*"opaque": "\(.*\)".*/\1/p')" label
    vmm_quit
    refused 'cannot connect' fdsetctl list # the helper ended with it
}

# What a commit does to the image below: read-write as long as it takes, and back.
test_reopened_while_a_guest_reads() {
    helper_start
    truncate -s 1M disk.img
    succeeds fdsetctl add --set 1 disk.img
    vmm_start --vmm "$PWD/vmm" /dev/fdset/1
    vmm_ready
    coproc GUEST { exec qemu-io -r -f raw "nbd+unix:///?socket=$PWD/nbd" 2>&1; }
    guest_reads 0
    vmm_does 'error: set 1 has no read-write member*add one' 'reopen read-write'
    vmm_does read-only status
    guest_reads 0
    leases_are 1 read-only

    succeeds fdsetctl add --set 1 --read-write disk.img
    vmm_does ok 'reopen read-write'
    vmm_does read-write status
    leases_are 1 read-write
    succeeds guest -c 'write -P 9 0 64k' -c 'write -f -P 9 64k 4k' -c flush
    guest_reads 9 # by its connection of before
    vmm_does ok 'reopen read-only'
    leases_are 1 read-only
    succeeds fdsetctl remove 1 2
    vmm_does 'error: *add one' 'reopen read-write'
    guest_reads 9
    echo quit >&"${GUEST[1]}"
    vmm_quit
    opens_equal_closes
    equal 3 "$(total opens)" opens
    succeeds qemu-io -r -f raw -c 'read -P 9 0 68k' -c 'read -P 0 68k 4k' disk.img
}

# guest_reads PATTERN: by the connection that is there.
guest_reads() {
    local line
    # shellcheck disable=SC2153 # bash sets it
    echo "read -P $1 0 4k" >&"${GUEST[1]}"
    while IFS= read -r line <&"${GUEST[0]}"; do
        [[ $line != *'bytes at offset'* ]] || return 0
        [[ $line != *failed* ]] || break
    done
    fail "the guest says '$line'"
}

# A guest that began while it could write, and goes on when it cannot.
test_reopened_while_a_guest_writes() {
    local line
    helper_start
    truncate -s 1M disk.img
    succeeds fdsetctl add --set 1 --read-only --read-write disk.img
    vmm_start --vmm "$PWD/vmm" --read-write /dev/fdset/1
    vmm_ready
    coproc GUEST { exec qemu-io -f raw "nbd+unix:///?socket=$PWD/nbd" 2>&1; }
    guest_reads 0
    vmm_does ok 'reopen read-only'
    echo 'write -P 7 0 4k' >&"${GUEST[1]}"
    IFS= read -r line <&"${GUEST[0]}" # "4 KiB, 1 ops" of the read before
    IFS= read -r line <&"${GUEST[0]}"
    [[ $line == *'write failed: Operation not permitted'* ]] || fail "the guest says '$line'"
    vmm_does ok 'reopen read-write'
    echo 'write -P 7 0 4k' >&"${GUEST[1]}"
    guest_reads 7
    echo quit >&"${GUEST[1]}"
    vmm_quit
    opens_equal_closes
}

test_it_waits_for_descriptors() {
    local line
    helper_start
    truncate -s 1M disk.img
    mkfifo events
    "$FDSETCTL" watch --json >events &
    exec {events}<events
    until [ "$(total subscribers)" = 1 ]; do :; done
    vmm_start --vmm "$PWD/vmm" --wait 600 /dev/fdset/disk0
    event_wanted
    succeeds fdsetctl add --name disk0 disk.img
    vmm_ready

    # The reopen waits, the guest does not.
    echo 'reopen read-write' >&"$to_vmm"
    event_wanted
    succeeds guest -r -c 'read 0 4k'
    succeeds fdsetctl add --name disk0 --read-write disk.img
    vmm_says ok
    succeeds guest -c 'write -P 4 0 4k'
    vmm_quit
    opens_equal_closes
}

event_wanted() {
    local line
    while IFS= read -r line <&"$events"; do
        [[ $line != *wanted* ]] || return 0
    done
    fail "nobody is told of what is wanted"
}

test_one_writer_at_a_time() {
    helper_start
    truncate -s 1M disk.img
    succeeds fdsetctl add --set 1 --read-write disk.img
    vmm_start --vmm "$PWD/vmm" --read-write /dev/fdset/1
    vmm_ready
    refused 'held by example-vmm' "$FDSET_EXAMPLE_VMM" --listen nbd2 --vmm "$PWD/vmm" \
        --read-write /dev/fdset/1
    kill -KILL "$vmm"
    ended_by KILL "$vmm"
    leases_end
    rm nbd # as it had no time for that
    vmm_start --vmm "$PWD/vmm" --read-write /dev/fdset/1
    vmm_ready
    vmm_quit
    leases_end
    equal 1 "$(total hangups)" "hang-ups with leases"
}

# What is open stays open.
test_the_helper_dies() {
    helper_start
    truncate -s 1M disk.img
    succeeds fdsetctl add --set 1 --read-only --read-write disk.img
    vmm_start --vmm "$PWD/vmm" /dev/fdset/1
    vmm_ready
    kill -KILL "$helper"
    ended_by KILL "$helper"
    succeeds guest -r -c 'read 0 4k'
    vmm_does 'error: *' 'reopen read-write'
    vmm_does read-only status
    succeeds guest -r -c 'read 0 4k'
    vmm_quit
}

test_wrong_command_lines() {
    succeeds "$FDSET_EXAMPLE_VMM" --help >output
    refused 'See --help' "$FDSET_EXAMPLE_VMM"
    refused 'See --help' "$FDSET_EXAMPLE_VMM" --listen nbd
    refused 'expects a number' "$FDSET_EXAMPLE_VMM" --add-fd fd=x,set=1 --listen nbd /dev/fdset/1
    refused 'expected fd, set or opaque' "$FDSET_EXAMPLE_VMM" --add-fd fd=3,group=1 --listen nbd /dev/fdset/1
    refused 'set option is required' "$FDSET_EXAMPLE_VMM" --add-fd fd=3 --listen nbd /dev/fdset/1
    refused 'not valid or already in use' "$FDSET_EXAMPLE_VMM" --add-fd fd=99,set=1 --listen nbd /dev/fdset/1
    refused 'cannot connect' "$FDSET_EXAMPLE_VMM" --vmm nobody --listen nbd /dev/fdset/1
    helper_start
    refused 'there is no set 1' "$FDSET_EXAMPLE_VMM" --vmm vmm --listen nbd /dev/fdset/1
}

run_tests
