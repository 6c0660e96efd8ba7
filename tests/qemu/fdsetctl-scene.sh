# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2317,SC2119,SC2094,SC2016,SC2034
# What the tests of fdsetctl share, beside common.sh. To be sourced.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

# status WANTED COMMAND...: its exit status.
status() {
    local wanted=$1 found=0
    shift
    "$@" >output 2>&1 || found=$?
    equal "$wanted" "$found" "status of '$*', which says '$(cat output)'"
}

images_make() {
    truncate -s 64k a.img b.img c.img
}

# A VMM that does what it is told: see vmm.c.
vmm_start() {
    coproc VMM {
        exec "$FDSET_TEST_VMM"
    }
    # shellcheck disable=SC2153 # bash sets it
    vmm=$VMM_PID
    vmm_out=${VMM[0]} vmm_in=${VMM[1]}
}

# vmm_ask COMMAND: does not wait for the answer, as vmm_says ANSWER does.
vmm_ask() {
    echo "$*" >&"$vmm_in"
}

vmm_says() {
    local answer
    IFS= read -r -t 60 answer <&"$vmm_out" || fail "the VMM says nothing"
    [[ $answer == *"$1"* ]] || fail "the VMM says '$answer' and not '$1'"
}

vmm_does() {
    vmm_ask "$@"
    vmm_says 'done'
}

# Waits until a total is so.
total_becomes() {
    local attempt
    for ((attempt = 0; attempt < 500; attempt++)); do
        [ "$(total "$1")" != "$2" ] || return 0
    done
    fail "total $1 is $(total "$1") and not $2"
}
