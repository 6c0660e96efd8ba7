# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Talks to QEMU's monitor from bash, without Python: for contrib/demo and the
# tests. To be sourced.
#
#     coproc QEMU { exec qemu-system-x86_64 -qmp stdio ...; }
#     qmp_open "${QEMU[0]}" "${QEMU[1]}" || fail "no QEMU"
#     qmp query-status || fail "$(qmp_error)"

qmp_timeout=30 # seconds after which a missing answer or event is a failure
qmp_reply=''   # the last answer, a line of JSON
qmp_event=''   # the event that qmp_wait found, a line of JSON
qmp_events=()  # events that came and were not waited for yet, oldest first

# qmp_open READ WRITE: waits for the greeting and ends the negotiation.
qmp_open() {
    # Copies, because bash hides a coprocess's own descriptors from subshells.
    exec {qmp_in}<&"$1" {qmp_out}>&"$2"
    qmp_events=()
    qmp_read && [[ $qmp_reply == '{"QMP"'* ]] && qmp qmp_capabilities
}

# qmp_close: hangs up; QEMU does not mind.
qmp_close() {
    exec {qmp_in}<&- {qmp_out}>&-
}

# qmp COMMAND [ARGUMENTS]: true if QEMU did it; qmp_error says why not.
qmp() {
    # In a subshell, which SIGPIPE may kill if QEMU has gone.
    (echo "{\"execute\": \"$1\", \"arguments\": ${2:-"{}"}}" >&"$qmp_out") 2>/dev/null
    while qmp_read; do
        case $qmp_reply in
        '{"return"'*) return 0 ;;
        '{"error"'*) return 1 ;;
        *) qmp_events+=("$qmp_reply") ;;
        esac
    done
    return 1
}

# qmp_wait PATTERN...: waits for the first event that one of the patterns of
# the shell matches, and forgets those before it.
qmp_wait() {
    local pattern
    while true; do
        while ((${#qmp_events[@]})); do
            qmp_event=${qmp_events[0]}
            qmp_events=("${qmp_events[@]:1}")
            for pattern in "$@"; do
                # shellcheck disable=SC2053 # a pattern is what is wanted
                [[ $qmp_event == $pattern ]] && return 0
            done
        done
        qmp_read || return 1
        qmp_events+=("$qmp_reply")
    done
}

# The sentence for people in the last answer.
qmp_error() {
    local text=${qmp_reply#*'"desc": "'}
    text=${text%'"}'*}
    echo "${text//\\\"/\"}"
}

qmp_read() {
    local line
    if IFS= read -r -t "$qmp_timeout" -u "$qmp_in" line; then
        qmp_reply=$line
    else
        qmp_reply='{"error": {"desc": "no answer: QEMU hangs or has gone"}}'
        return 1
    fi
}
