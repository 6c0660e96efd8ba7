#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What the shim costs a program's other files: counted, not timed.
# shellcheck disable=SC2317,SC2119
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

# In ordinary.c.
calls_each=10
# The kernel alone needs thousands for an open, and some hundreds for a close.
most_instructions=300

set_make() {
    helper_start
    truncate -s 4k disk.img
    succeeds fdsetctl add --set 1 disk.img
}

# instructions ENVIRONMENT... -- ARGUMENT...: what 100 rounds take.
instructions() {
    local environment=() rounds counts=()
    while [ "$1" != -- ]; do
        environment+=("$1")
        shift
    done
    shift
    for rounds in 100 200; do
        env "${environment[@]}" valgrind --tool=callgrind --callgrind-out-file=/dev/null \
            "$FDSET_ORDINARY" "$rounds" "$@" >valgrind.log 2>&1 || fail "$(cat valgrind.log)"
        counts+=("$(sed -n 's/.*Collected : //p' valgrind.log)")
    done
    echo $((counts[1] - counts[0]))
}

# more_instructions ARGUMENT...: fails if the shim adds too many to a call.
instructions_are_few() {
    local without with each
    without=$(instructions A=b -- ) || exit
    with=$(instructions "LD_PRELOAD=$FDSET_PRELOAD" -- "$@") || exit
    each=$(((with - without) / 100 / calls_each))
    echo "# $each instructions more for a call ${*:-unattached}" >&3
    [ "$with" -gt "$without" ] || fail "the shim was not there: $with instructions, $without without it"
    [ "$each" -le "$most_instructions" ] || fail "the shim adds $each instructions to a call"
}

test_few_instructions_before_it_attaches() {
    instructions_are_few
}

test_few_instructions_while_a_set_is_open() {
    set_make
    instructions_are_few attached
}

# calls_of PRELOAD ARGUMENT...: the system calls of 50 rounds, each with how often.
calls_of() {
    local preload=$1 rounds
    shift
    for rounds in 50 100; do
        strace -f -qq -o "trace.$rounds" -E "LD_PRELOAD=$preload" "$FDSET_ORDINARY" "$rounds" "$@" ||
            fail "status $?"
        sed 's/^[0-9]* *//; s/(.*//' "trace.$rounds" | sort | uniq -c | awk '{ print $2, $1 }' >"calls.$rounds"
    done
    join -a 2 -e 0 -o 0,1.2,2.2 calls.50 calls.100 | awk '$3 != $2 { print $1, $3 - $2 }'
}

test_no_system_call_more() {
    local without
    set_make
    without=$(calls_of '') || exit
    [ -n "$without" ] || fail "no system calls were seen"
    equal "$without" "$(calls_of "$FDSET_PRELOAD")" "system calls before it attaches"
    equal "$without" "$(calls_of "$FDSET_PRELOAD" attached)" "system calls while a set is open"
}

run_tests
