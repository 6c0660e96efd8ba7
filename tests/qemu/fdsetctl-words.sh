#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# fdsetctl, when something is wrong: what it says, and how it waits for a helper.
# shellcheck disable=SC2317,SC2119,SC2094,SC2016,SC2034
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

# listener_start PATH TYPE: somebody listens there, but says nothing.
listener_start() {
    coproc LISTENER {
        exec python3 -c 'import socket, sys
listener = socket.socket(socket.AF_UNIX, getattr(socket, sys.argv[2]))
listener.bind(sys.argv[1])
listener.listen()
print("listens", flush=True)
sys.stdin.read()' "$1" "$2"
    }
    read -r <&"${LISTENER[0]}"
}

test_the_wrong_socket() {
    helper_start
    truncate -s 64k a.img
    local text="this is an observer's socket, by which nothing can be added or removed: use the helper's manage socket"
    refused "$text" fdsetctl -S observe add a.img
    refused "$text" fdsetctl -S observe remove 1
    refused 'is for VMMs, not for managers: use its manage socket' fdsetctl -S vmm list
    refused 'it is not a socket' fdsetctl -S a.img list
    refused 'it is not a socket' fdsetctl -S . list
    refused 'there is no such socket: is fdset-helper running? (--wait waits for it)' \
        fdsetctl -S nowhere list
    refused 'cannot be longer than 107 bytes' fdsetctl -S "$(printf '%0108d' 1)" list
    listener_start monitor SOCK_STREAM
    refused 'not one of fdset-helper' fdsetctl -S monitor list
    kill -KILL "$helper"
    ended_by KILL "$helper"
    refused 'no process listens there any more: start fdset-helper again' fdsetctl list
}

# means WORD... OURS
means() {
    local ours=${*: -1}
    refused "id you mean '$ours'?" fdsetctl "${@:1:$#-1}"
}

test_what_was_meant() {
    unset FDSET_MANAGE_SOCKET
    means ls list
    means rm remove
    means rem remove
    means delete remove
    means lst list
    means stat stats
    means monitor watch
    means add --rw a.img --read-write
    means add --ro a.img --read-only
    means add --readonly a.img --read-only
    means add --label=x a.img --opaque
    means list --owners me --owner
    means watch --jsn --json
    means --sockt x list --socket
    ! fdsetctl frobnicate 2>&1 | grep -q 'mean' || fail "frobnicate means something"
    ! fdsetctl list --frobnicate 2>&1 | grep -q 'mean' || fail "--frobnicate means something"
    refused "Try 'fdsetctl list --help'." fdsetctl list --frobnicate
}

# What each text tells to use is there.
test_options_that_are_named_are_there() {
    local command option
    for command in $(fdsetctl --help | sed -n 's/^  \([a-z]*\)  .*/\1/p'); do
        for option in $(fdsetctl "$command" --help | grep -o -- '--[a-z][a-z-]*' | sort -u); do
            # An option that is there is followed by what is not.
            fdsetctl "$command" --socket=/ "$option" --no-such-option-either >output 2>&1 || true
            ! grep -qE "(unrecognized|ambiguous).*'$option'" output ||
                fail "$command --help names $option: $(cat output)"
        done
    done
}

test_wait() {
    helper_start
    kill -KILL "$helper"
    ended_by KILL "$helper"
    refused 'no process listens' fdsetctl list
    # Over a stale socket, and over none.
    for round in stale none; do
        [ $round = stale ] || rm manage
        fdsetctl --wait=120 list >"listed" 2>&1 &
        waits=$!
        fdsetctl stats --wait=2min >output 2>&1 &
        also=$!
        rm ready
        helper_start
        wait "$waits" || fail "list --wait ends with $?: $(cat listed)"
        wait "$also" || fail "stats --wait ends with $?: $(cat output)"
        kill -KILL "$helper"
        ended_by KILL "$helper"
    done
    refused 'no fdset-helper has answered at nowhere within 0.1 s: there is no such socket' \
        fdsetctl -S nowhere list --wait=100ms
    refused 'no fdset-helper has answered' fdsetctl --wait=1ms list
}

# Somebody listens, as systemd does before the helper has started, but says nothing.
test_wait_for_an_answer() {
    listener_start silent SOCK_SEQPACKET
    refused 'no fdset-helper has answered at silent within 0.2 s: fdset-helper does not answer' \
        fdsetctl -S silent list --wait=200ms
}

test_wrong_times_to_wait() {
    local time
    for time in 0 -1 x 1h 4294968 '' 0s; do
        refused "'$time' is not a time" fdsetctl --wait="$time" -S nowhere list
    done
}

run_tests
