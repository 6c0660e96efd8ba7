#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What one open, or one machine, must not do to another: change the flags of what is
# open, or take its locks.
# shellcheck disable=SC2317,SC2119
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

# file_node NAME SET READ-ONLY DIRECT / image_node NAME READ-ONLY
file_node() {
    echo "{\"driver\": \"file\", \"node-name\": \"$1\", \"filename\": \"//dev/fdset/$2\",
        \"locking\": \"on\", \"read-only\": $3, \"cache\": {\"direct\": $4}}" | tr -d '\n'
}

image_node() {
    echo "{\"driver\": \"qcow2\", \"node-name\": \"$1\", \"file\": \"$1-file\", \"read-only\": $2}"
}

# flags_of SET: the status flags, in octal, of the descriptors that QEMU has of it.
flags_of() {
    local link
    for link in /proc/"$qemu"/fd/*; do
        [[ $(readlink "$link") == "$PWD/$1" ]] || continue
        sed -n 's/^flags:[[:space:]]*0*//p' "/proc/$qemu/fdinfo/${link##*/}"
    done
}

# A reopen of two nodes of which the second fails: the first one's description must be as
# it was, buffered, or its next unaligned write fails under the running guest.
test_a_reopen_that_fails_leaves_no_flag() {
    local before
    helper_start
    qemu-img create -q -f qcow2 f.img 1M
    qemu-img create -q -f qcow2 g.img 1M
    succeeds fdsetctl add --set 1 --read-only --read-write f.img
    succeeds fdsetctl add --set 2 --read-only g.img
    qemu_system_start \
        --blockdev "$(file_node f-file 1 false false)" --blockdev "$(image_node f false)" \
        --blockdev "$(file_node g-file 2 true false)" --blockdev "$(image_node g true)"
    before=$(flags_of f.img)
    [ "$before" ] || fail "QEMU has not opened f.img"
    qemu_refuses 'Could not open' blockdev-reopen "{\"options\": [$(file_node g-file 2 false false),
        $(file_node f-file 1 false true)]}"
    equal "$before" "$(flags_of f.img)" "flags of what was open"
    qemu_does block_resize '{"node-name": "f", "size": 2097152}'
    qemu_io f 'write -P 1 100 300'
    qemu_does blockdev-snapshot-internal-sync '{"device": "f", "name": "one"}' ||
        fail "no snapshot: $(qmp_error)"
    qemu_quit
    succeeds qemu-img check -q f.img
    [[ $(cat qemu.log) != *bitmap* ]] || fail "$(cat qemu.log)"
    opens_equal_closes
}

# A second node with cache.direct on a set in use: refused, or a member of its own.
test_a_second_node_changes_no_flag() {
    local before
    helper_start
    truncate -s 1M f.img
    succeeds fdsetctl add --set 1 --read-write f.img
    qemu_system_start --blockdev "$(file_node f 1 false false | sed 's/"on"/"off"/')"
    before=$(flags_of f.img)
    qemu_refuses 'busy' blockdev-add "$(file_node g 1 false true | sed 's/"on"/"off"/')"
    equal "$before" "$(flags_of f.img)" "flags of what was open"
    qemu_io f 'write -P 1 100 300'
    succeeds fdsetctl add --set 1 --read-write f.img
    qemu_does blockdev-add "$(file_node g 1 false true | sed 's/"on"/"off"/')"
    qemu_io f 'read -P 1 100 300'
    qemu_io g 'write -P 2 4096 4096'
    equal 2 "$(flags_of f.img | sort -u | wc -l)" "different flags, of one member each"
    qemu_quit
    opens_equal_closes
}

# machine_start TOP: on an overlay in set TOP over the base in set 1, which is so locked
# against those who would write to it.
machine_start() {
    qemu_storage_daemon_start \
        --blockdev '{"driver": "file", "node-name": "base-file", "filename": "//dev/fdset/1", "locking": "on", "read-only": true}' \
        --blockdev '{"driver": "qcow2", "node-name": "base", "file": "base-file", "read-only": true}' \
        --blockdev "{\"driver\": \"file\", \"node-name\": \"top-file\", \"filename\": \"//dev/fdset/$1\"}" \
        --blockdev '{"driver": "qcow2", "node-name": "top", "file": "top-file", "backing": "base"}' \
        --nbd-server "addr.type=unix,addr.path=nbd-$1" \
        --export '{"type": "nbd", "id": "guest", "node-name": "top", "writable": true}'
}

base_is_locked() {
    refused 'Failed to get' qemu-io -c "write 0 512" base.img
}

# Two machines over one base. The second has to have a member of its own; as it quits in an
# orderly way, and unlocks, the host still finds the base locked by the first.
test_an_orderly_quit_takes_nobody_elses_locks() {
    helper_start
    qemu-img create -q -f qcow2 base.img 1M
    qemu-img create -q -f qcow2 -b base.img -F qcow2 one.img
    qemu-img create -q -f qcow2 -b base.img -F qcow2 two.img
    succeeds fdsetctl add --set 1 --read-only base.img
    succeeds fdsetctl add --set 2 --read-write one.img
    succeeds fdsetctl add --set 3 --read-write two.img
    machine_start 2
    base_is_locked
    ! (machine_start 3 && qemu_quit) >refused.log 2>&1 ||
        fail "two machines have one description of the base"
    [[ $(cat refused.log qemu.log) == *busy* ]] || fail "refused for another reason: $(cat refused.log qemu.log)"
    base_is_locked
    succeeds fdsetctl add --set 1 --read-only base.img
    (machine_start 3 && qemu_quit) >second.log 2>&1 || fail "the second: $(cat second.log)"
    base_is_locked
    qemu_quit
    leases_end
    succeeds qemu-io -c "write 0 512" base.img
}

run_tests
