#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Reopening without foresight: a set has no read-write member, QEMU's open waits
# (FDSET_WAIT_MS), and a manager that listens passes what is wanted.
# shellcheck disable=SC2317,SC2119,SC2154,SC2094
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

# The manager: for each open that waits it looks up which image the set is, and
# passes it as it is wanted. What it passed, and for whom, goes to passed.log.
manager_start() {
    mkfifo wanted
    fdsetctl watch --ready --json --kinds wanted >wanted &
    manager_serve <wanted &
    until [ -e passed.log ]; do
        kill -0 $! 2>/dev/null || fail "the manager has ended"
        sleep 0.01
    done
}

manager_serve() {
    local event path mode
    while read -r event; do
        if [ "$event" = ready ]; then
            : >passed.log
            continue
        fi
        path=$(event_field path) mode=$(event_field mode)
        echo "$path $mode $(event_field pid)" >>passed.log
        fdsetctl add --set "${path#/dev/fdset/}" "--$mode" "image${path#/dev/fdset/}" >/dev/null ||
            echo "cannot add $path" >>passed.log
    done
}

# Of a line of JSON; a string or a number.
event_field() {
    sed -n "s/.*\"$1\": *\"\?\([^\",}]*\).*/\1/p" <<<"$event"
}

# image1 <- image2, both only to be read, but for the upper.
chain_make() {
    qemu-img create -q -f qcow2 image1 1M
    qemu-img create -q -f qcow2 -b image1 -F qcow2 image2
    succeeds qemu-io -c 'write -P 1 0 64k' image1
    succeeds qemu-io -c 'write -P 2 64k 64k' image2
    succeeds fdsetctl add --set 1 image1
    succeeds fdsetctl add --set 2 --read-write image2
    chain_options=(
        --blockdev '{"driver": "file", "node-name": "base-file", "filename": "//dev/fdset/1", "auto-read-only": true}'
        --blockdev '{"driver": "qcow2", "node-name": "base", "file": "base-file", "read-only": true, "backing": null}'
        --blockdev '{"driver": "file", "node-name": "top-file", "filename": "//dev/fdset/2"}'
        --blockdev '{"driver": "qcow2", "node-name": "top", "file": "top-file", "backing": "base"}')
}

commit='{"device": "top", "base-node": "base", "job-id": "job"}'

commit_succeeds() {
    qemu_does block-commit "$commit"
    job_finish
    leases_are 1 read-write
    equal "/dev/fdset/1 read-write $qemu" "$(cat passed.log)" "what the manager passed, and to whom"
    equal 1 "$(total waited)" "opens that waited"
    qemu_quit
    opens_equal_closes
    succeeds qemu-io -r -c 'read -P 1 0 64k' -c 'read -P 2 64k 64k' image1
}

test_commit_in_qemu_system() {
    helper_start
    chain_make
    export FDSET_WAIT_MS=600000
    qemu_system_start "${chain_options[@]/#--/-}"
    manager_start
    commit_succeeds
}

test_commit_in_qemus_sandbox() {
    helper_start
    chain_make
    export FDSET_WAIT_MS=600000
    qemu_system_start "${chain_options[@]/#--/-}" \
        -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
    manager_start
    commit_succeeds
}

test_commit_in_the_storage_daemon() {
    helper_start
    chain_make
    export FDSET_WAIT_MS=600000
    qemu_storage_daemon_start "${chain_options[@]}"
    manager_start
    commit_succeeds
}

# A set that nobody made before is made as it is wanted.
test_a_set_that_is_not_there_yet() {
    helper_start
    truncate -s 64k image7
    export FDSET_WAIT_MS=600000
    manager_start
    succeeds preloaded qemu-io -f raw -c 'write -P 7 0 4k' //dev/fdset/7
    # QEMU looks at a disk read-only first.
    equal "/dev/fdset/7 read-only /dev/fdset/7 read-write" "$(cut -d ' ' -f 1,2 passed.log | xargs)" \
        "what the manager passed"
    opens_equal_closes
}

# Nobody listens: after a while it is what it is without waiting.
test_nobody_passes_it() {
    helper_start
    chain_make
    export FDSET_WAIT_MS=100
    qemu_system_start "${chain_options[@]/#--/-}"
    qemu_refuses 'Permission denied' block-commit "$commit"
    equal 1 "$(total expired)" "opens that waited in vain"
    leases_are 1 read-only
    qemu_io top 'write -P 3 128k 64k'
    succeeds fdsetctl add --set 1 --read-write image1
    qemu_does block-commit "$commit"
    job_finish
    qemu_quit
    opens_equal_closes
}

run_tests
