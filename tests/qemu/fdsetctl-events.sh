#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# fdsetctl, against a helper: what watch tells, and managers that listen.
# shellcheck disable=SC2317,SC2119,SC2094,SC2016,SC2034
# shellcheck source-path=SCRIPTDIR source=fdsetctl-scene.sh
. "$(dirname "$0")/fdsetctl-scene.sh"

# watch_start OPTION...: its output is to be read from $events. It has subscribed.
# It does not stay for ever where an event does not come. A job in the background ignores
# SIGINT, and so would timeout, and fdsetctl.
watch_start() {
    mkfifo events
    env --default-signal=INT timeout 60 "$FDSETCTL" watch --ready "$@" >events 2>watch.log &
    watch=$!
    exec {events}<events
    event_is ready
}

event_is() {
    local event
    IFS= read -r -t 60 event <&"$events" || fail "watch says nothing: $(cat watch.log)"
    # The time that stands before it is looked at elsewhere.
    event=${event##*T[0-9][0-9]:[0-9][0-9]:*$'\t'}
    equal "$1" "$event" "event"
}

# watch_ends STATUS
watch_ends() {
    local found=0
    wait "$watch" || found=$?
    equal "$1" "$found" "status of watch, which says '$(cat watch.log)'"
}

test_watch() {
    helper_start
    images_make
    watch_start --count 7
    fdsetctl add --set 1 -rw a.img >output
    event_is 'added set 1 member 1 read-only'
    event_is 'added set 1 member 2 read-write'
    vmm_start
    event_is "vmm-connected by vmm (pid $vmm, connection 3)"
    vmm_does open /dev/fdset/1 r 0 # of which it is not told
    fdsetctl remove 1 2 >output
    event_is 'removed set 1 member 2'
    vmm_ask open /dev/fdset/1 rw 600000
    event_is "wanted /dev/fdset/1 read-write because of mode for 600000ms by vmm (pid $vmm, connection 3)"
    fdsetctl add --set 1 --read-write --append a.img >output
    event_is 'added set 1 member 3 read-write,append'
    vmm_says 'done'
    fdsetctl remove 1 1 >output
    event_is 'removed set 1 member 1'
    watch_ends 0
}

test_watch_kinds() {
    local connection one other
    helper_start
    images_make
    watch_start --kinds opened,denied,closed,set-gone,vmm-gone
    fdsetctl add --set 1 a.img >output
    vmm_start
    vmm_does open /dev/fdset/1 r 0
    connection=$(fdsetctl list --json | sed -n 's/ *"connection": \([0-9]*\),/\1/p')
    event_is "opened set 1 member 1 lease 1 read-only by vmm (pid $vmm, connection $connection)"
    vmm_ask open /dev/fdset/nowhere w 0
    vmm_says nowhere
    event_is "denied /dev/fdset/nowhere write-only because of no-set by vmm (pid $vmm, connection $connection)"
    fdsetctl remove 1 >output
    exec {vmm_in}>&-
    event_is "closed set 1 member 1 lease 1 by vmm (pid $vmm, connection $connection)"
    # The set goes once its locks are cleared, which may take its time.
    { IFS= read -r -t 60 one && IFS= read -r -t 60 other; } <&"$events"
    one=${one#*$'\t'} other=${other#*$'\t'}
    equal "set-gone set 1 vmm-gone by vmm (pid $vmm, connection $connection)" \
        "$(printf '%s\n' "$one" "$other" | sort | xargs)" "events"
}

test_watch_json() {
    local line
    helper_start
    images_make
    watch_start --json --all
    fdsetctl add --set 1 a.img >output
    vmm_start
    vmm_ask open /dev/fdset/1 w 600000
    for line in added vmm-connected wanted; do
        IFS= read -r -t 60 event <&"$events" || fail "watch says nothing"
        echo "$event" >"$line"
    done
    json added '(j["event"], j["set"], j["member"], j["lost"]) == ("added", 1, 1, 0)'
    json added '(j["mode"], j["flags"]) == ("read-only", [])'
    json added 'all(j[k] is None for k in "lease path code wait_ms connection pid name".split())'
    json vmm-connected '(j["event"], j["name"], j["set"]) == ("vmm-connected", "vmm", None)'
    json vmm-connected "j['pid'] == $vmm and j['connection'] > 0 and j['mode'] is None"
    json wanted '(j["event"], j["path"], j["code"]) == ("wanted", "/dev/fdset/1", "mode")'
    json wanted '(j["mode"], j["wait_ms"], j["name"]) == ("write-only", 600000, "vmm")'
    json wanted 'j["sequence"] == __import__("json").load(open("added"))["sequence"] + 2'
}

# Nobody reads what watch prints, so watch reads no events, and there come more
# than its socket and the helper's queue have room for. Then it is read again,
# up to the line that tells of it: a line as $1 describes it.
watch_falls_behind() {
    local many i=0
    many=$(printf 'a.img %.0s' {1..200})
    until [[ $(total events_lost) -gt 0 ]]; do
        # shellcheck disable=SC2086
        succeeds fdsetctl add --mixed --set $((++i)) $many >output
        succeeds fdsetctl remove $i >output
    done
    grep -m1 "$1" <&"$events" >seen || fail "no loss was told"
    exec {events}<&- # and that is enough
    watch_ends 0
}

test_watch_tells_of_losses() {
    helper_start --limit events=4
    images_make
    watch_start
    watch_falls_behind '^lost [1-9][0-9]* events$'
}

test_watch_tells_of_losses_in_json() {
    helper_start --limit events=4
    images_make
    watch_start --json
    watch_falls_behind '"lost": *[1-9]'
}

test_watch_ends() {
    helper_start
    watch_start
    kill -TERM "$watch"
    watch_ends 0
    rm events
    watch_start
    kill -INT "$watch"
    watch_ends 0
    rm events
    watch_start
    exec {events}<&- # and nobody reads it any more
    watch_ends 0
    rm events
    watch_start
    kill -KILL "$helper"
    watch_ends 1
    [[ $(cat watch.log) == 'fdsetctl watch: '*'ended'* ]] || fail "watch says: $(cat watch.log)"
    status 1 fdsetctl watch
}

test_an_observer_may_watch_and_show() {
    helper_start
    images_make
    watch_start --socket observe --count 1
    fdsetctl add --set 1 a.img >output
    event_is 'added set 1 member 1 read-only'
    watch_ends 0
    succeeds fdsetctl show --socket observe 1 >output
    succeeds fdsetctl stats --socket observe >output
}

# The manual's manager in shell.
test_a_manager_that_listens() {
    helper_start
    images_make
    vmm_start
    vmm_ask open /dev/fdset/first r 600000 # before anybody listens
    total_becomes waiting 1
    fdsetctl watch --ready --count 1 --json --kinds wanted |
        while read -r event; do
            if [ "$event" = ready ]; then
                fdsetctl list --waiting --no-headings --output path
            else
                python3 -c 'import json, sys; print(json.loads(sys.argv[1])["path"])' "$event"
            fi
        done |
        while read -r path; do
            case $path in
            /dev/fdset/first) fdsetctl add --name first a.img ;;
            /dev/fdset/second) fdsetctl add --name second --read-write b.img ;;
            esac
        done >output &
    vmm_says 'done'
    vmm_does open /dev/fdset/second rw 600000
    equal 2 "$(leases)" "leases"
}

run_tests
