# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2119,SC2120,SC2013
# For the shell scripts among the tests. To be sourced; then come functions
# test_*, and at the end run_tests, with arguments where there is a table.
#
# Each test runs in a process and an empty directory of its own, with a helper
# of its own, and ends with everything that it started. From meson come
# FDSET_HELPER, FDSETCTL, FDSET_PRELOAD and FDSET_SOURCE (the source tree).
set -u -o pipefail

# shellcheck source-path=SCRIPTDIR source=../../contrib/qemu/qmp.sh
. "$FDSET_SOURCE/contrib/qemu/qmp.sh"

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# skip WHY: this test cannot be run here.
skip() {
    echo "$*" >skipped
    exit 77
}

# succeeds COMMAND... / refused TEXT COMMAND...: what it prints must have TEXT in it.
succeeds() {
    "$@" || fail "$* ended with status $?"
}

refused() {
    local text=$1 output
    shift
    output=$("$@" 2>&1) && fail "$* succeeded: $output"
    [[ $output == *"$text"* ]] || fail "$* says '$output' and not '$text'"
}

# ended_by SIGNAL PROCESS: waits for it.
ended_by() {
    local status=0
    wait "$2" 2>/dev/null || status=$?
    equal "$((128 + $(kill -l "$1")))" "$status" "status of what should have been ended by SIG$1"
}

# equal WANTED FOUND WHAT
equal() {
    [ "$1" = "$2" ] || fail "$3: '$2' where '$1' should be"
}

# json FILE EXPRESSION: is it true of the document `j`?
json() {
    python3 -c 'import json, sys
j = json.load(open(sys.argv[1]))
if not eval(sys.argv[2]): sys.exit(json.dumps(j))' "$1" "$2" || fail "not so: $2"
}

# ------------------------------------------------------------------- helper

fdsetctl() {
    "$FDSETCTL" "$@"
}

# Starts the helper, and waits until it is locked in. Its messages go to helper.log.
helper_start() {
    local line
    mkfifo ready
    "$FDSET_HELPER" --manage manage --vmm vmm --observe observe "$@" 2>ready &
    helper=$!
    exec {ready}<ready
    while IFS= read -r line <&"$ready"; do
        echo "$line" >>helper.log
        [[ $line != *ready:* ]] || break
    done
    [[ $line == *ready:* ]] || fail "the helper does not start"
    cat <&"$ready" >>helper.log &
    exec {ready}<&-
    export FDSET_MANAGE_SOCKET=$PWD/manage FDSET_VMM_SOCKET=$PWD/vmm
}

# leases [SET]: how many there are.
leases() {
    fdsetctl list --no-headings --leases "$@" | wc -l
}

# leases_are SET MODE...: sorted.
leases_are() {
    local set=$1
    shift
    equal "$*" "$(fdsetctl list --no-headings --leases "$set" | awk '{ print $4 }' | sort | xargs)" \
        "leases of set $set"
}

# Waits until no lease is left, as after a kill that the helper has yet to hear of.
leases_end() {
    local attempt
    for ((attempt = 0; attempt < 2000; attempt++)); do
        [ "$(leases)" != 0 ] || return 0
    done
    fail "leases are left: $(fdsetctl list --leases)"
}

# total NAME: one of the totals.
total() {
    fdsetctl list --json | sed -n "/\"totals\"/,\$ s/.*\"$1\": \([0-9]*\),\?/\1/p"
}

# All members have been looked at, and closed where they were to be.
settled() {
    local attempt
    for ((attempt = 0; attempt < 500; attempt++)); do
        [ "$(total settling)" != 0 ] || return 0
    done
    fail "members are settling for ever"
}

# Every lease was given back by a close, none by a hang-up alone.
opens_equal_closes() {
    leases_end
    equal "$(total opens)" "$(total closes)" "closes"
    equal 0 "$(total hangups)" "hang-ups with leases"
}

# ---------------------------------------------------------------------- QEMU

# Runs a program of QEMU's with the library preloaded.
preloaded() {
    LD_PRELOAD=$FDSET_PRELOAD "$@"
}

# qemu_start PROGRAM...: with its monitor on standard input and output.
qemu_start() {
    coproc QEMU {
        LD_PRELOAD=$FDSET_PRELOAD exec "$@" 2>>qemu.log
    }
    # shellcheck disable=SC2153 # bash sets it
    qemu=$QEMU_PID
    qmp_open "${QEMU[0]}" "${QEMU[1]}" || fail "QEMU does not start: $(cat qemu.log)"
}

# A machine without a processor: all of the block layer, and HMP's qemu-io.
qemu_system_start() {
    qemu_start qemu-system-x86_64 -machine none -nodefaults -no-user-config -display none \
        -qmp stdio "$@"
}

qemu_storage_daemon_start() {
    qemu_start qemu-storage-daemon --chardev stdio,id=stdio --monitor chardev=stdio "$@"
}

qemu_quit() {
    qemu_does quit
    qmp_close
    wait "$qemu" || fail "QEMU ended with status $?: $(cat qemu.log)"
}

qemu_kill() {
    kill -KILL "$qemu"
    ended_by KILL "$qemu"
    qmp_close
}

# qemu_does / qemu_refuses TEXT: COMMAND [ARGUMENTS]
qemu_does() {
    qmp "$@" || fail "$*: $(qmp_error)"
}

qemu_refuses() {
    local text=$1
    shift
    ! qmp "$@" || fail "$* succeeded"
    [[ $(qmp_error) == *"$text"* ]] || fail "$*: QEMU says '$(qmp_error)' and not '$text'"
}

# qemu_io NODE COMMAND: as in qemu-io, in the running QEMU.
qemu_io() {
    qemu_does human-monitor-command "{\"command-line\": \"qemu-io $1 \\\"$2\\\"\"}"
    [[ $qmp_reply != *[Ff]ail* && $qmp_reply != *rror* ]] || fail "qemu-io $2: $qmp_reply"
}

# Waits for the block job "job" and finishes it.
job_finish() {
    qmp_wait '*"BLOCK_JOB_READY"*' '*"BLOCK_JOB_COMPLETED"*' || fail "the job does not get on"
    if [[ $qmp_event == *BLOCK_JOB_READY* ]]; then
        qemu_does job-complete '{"id": "job"}'
        qmp_wait '*"BLOCK_JOB_COMPLETED"*' || fail "the job does not end"
    fi
    [[ $qmp_event != *'"error"'* ]] || fail "the job: $qmp_event"
    # QEMU closes what the job was the last to need after it has said so.
    qmp_wait '*"JOB_STATUS_CHANGE"*"null"*' || fail "the job is not put away"
    qemu_does query-jobs
}

# ------------------------------------------------------------------- running

# One test, in a subshell that it may leave at any time.
test_run() {
    local qemu='' helper='' children
    # Everything that it started, whether it is in a variable or not.
    trap 'trap - ERR; children="$(jobs -rp) $(jobs -sp)"; kill -KILL $children 2>/dev/null; wait 2>/dev/null' EXIT
    # What fails without being looked at would let a test do less than it says.
    set -E
    trap 'fail "line $LINENO: $BASH_COMMAND: status $?"' ERR
    "$@"
    trap - ERR
    nothing_is_leased
}

# Ends what a test that was well has left running; then the helper, if it is still
# there, must have no lease left.
nothing_is_leased() {
    local job
    [ "$helper" ] && kill -0 "$helper" 2>/dev/null && [ -S "${FDSET_MANAGE_SOCKET-}" ] || return 0
    for job in $(jobs -rp); do
        [ "$job" = "$helper" ] || kill -KILL "$job" 2>/dev/null
    done
    leases_end
}

# run_tests [TEST]...: each a function with its arguments, without blanks in them.
# Default: the functions test_* of the script, in their order. Says TAP.
run_tests() {
    local name number=0 failed=0 base
    local tests=("$@")
    (($#)) || mapfile -t tests < <(grep -o '^test_[a-z0-9_]*' "$0")
    base=$(mktemp -d "${TMPDIR:-/var/tmp}/fdset-qemu.XXXXXX") || exit 1
    # shellcheck disable=SC2064 # now
    trap "rm -rf '$base'" EXIT
    for name in "${tests[@]}"; do
        number=$((number + 1))
        mkdir "$base/$number"
        # What a test wants to be read says it on descriptor 3.
        # shellcheck disable=SC2086 # its arguments
        (cd "$base/$number" && test_run $name) 3>&1 >"$base/output" 2>&1 </dev/null
        case $? in
        0) echo "ok $number - ${name// /_}" ;;
        77) echo "ok $number - ${name// /_} # SKIP $(cat "$base/$number/skipped")" ;;
        *)
            echo "not ok $number - ${name// /_}"
            sed 's/^/# /' "$base/output"
            sed 's/^/# QEMU: /' "$base/$number/qemu.log" 2>/dev/null
            failed=1
            ;;
        esac
    done
    echo "1..$number"
    exit $failed
}
