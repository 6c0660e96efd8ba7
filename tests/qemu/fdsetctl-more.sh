#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# fdsetctl, against a helper: names, lifetimes, what is listed of them.
# shellcheck disable=SC2317,SC2119,SC2094,SC2016,SC2034
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

test_wrong_command_lines_do_nothing() {
    helper_start
    images_make
    status 2 fdsetctl add --name 1/a a.img
    status 2 fdsetctl add --name '' a.img
    status 2 fdsetctl add --name "a$(printf '%0255d' 0)" a.img
    status 2 fdsetctl add --name base a.img b.img
    status 2 fdsetctl add --replace a.img
    status 2 fdsetctl add --lifetime long a.img
    status 2 fdsetctl add --lifetime idle a.img
    status 2 fdsetctl add --idle 5s a.img
    status 2 fdsetctl add --grace 5s a.img
    status 2 fdsetctl add --lifetime once --idle 5s --grace 5s a.img
    status 2 fdsetctl add --allow-socket a.img
    status 2 fdsetctl add --owner '' a.img
    status 2 fdsetctl add --owner "$(printf '%064d' 0)" a.img
    status 2 fdsetctl add --owner $'\e' a.img
    local time
    for time in 5 5h s 0s -1s '5 s' 4294968s 71583min 5sec ''; do
        status 2 fdsetctl add --lifetime idle --idle "$time" a.img
    done
    refused '--lifetime once ends with the connection of fdsetctl, which is at once: give it --grace TIME' \
        fdsetctl add --lifetime once a.img
    refused 'give it --grace TIME' fdsetctl add --lifetime connection a.img
    status 2 fdsetctl list --leases --waiting
    status 2 fdsetctl list --name base 1
    status 2 fdsetctl list --name 1
    status 2 fdsetctl list --owner ''
    status 2 fdsetctl list --json --output SET
    refused "'SETS' is not a list of columns; there are VM,SET,MEMBER,MODE" fdsetctl list --output SETS
    status 2 fdsetctl list --output ''
    status 2 fdsetctl list --output SET,
    status 2 fdsetctl list --leases --output STATE
    status 2 fdsetctl remove -- -x/
    status 2 fdsetctl show
    status 2 fdsetctl show 1 2
    status 2 fdsetctl show 1 --sandbox
    status 2 fdsetctl show /dev/fdset/
    status 1 fdsetctl show 1
    status 1 fdsetctl show base
    status 2 fdsetctl stats 1
    status 2 fdsetctl watch 1
    status 2 fdsetctl watch --count 0
    status 2 fdsetctl watch --count x
    status 2 fdsetctl watch --all --kinds added
    status 2 fdsetctl watch --kinds ''
    status 2 fdsetctl watch --kinds added,
    refused "'gone' is not a list of kinds; there are added,removed,opened,closed,denied,wanted," \
        fdsetctl watch --kinds gone
    status 2 fdsetctl stats --json --openmetrics
    equal '' "$(fdsetctl list)" "sets"
}

test_a_name() {
    helper_start
    images_make
    fdsetctl add --name base --set 4 a.img >output
    equal 'PATH NAME-PATH MEMBER MODE FILE /dev/fdset/4 /dev/fdset/base 1 read-only a.img' \
        "$(xargs <output)" "output"
    equal /dev/fdset/base "$(fdsetctl add --path --name base --read-write a.img)" "path"
    fdsetctl add --json --name other b.img >added
    json added 'j["sets"][0]["name"] == "other" and j["sets"][0]["name_path"] == "/dev/fdset/other"'
    json added 'j["sets"][0]["path"] == "/dev/fdset/5"'
    fdsetctl add --json c.img >added
    json added 'j["sets"][0]["name"] is None and j["sets"][0]["name_path"] is None'

    equal '4 base 4 base' "$(fdsetctl list -n -o set,NAME base | xargs)" "by name"
    equal '4 base 4 base' "$(fdsetctl list -n -o set,NAME /dev/fdset/base | xargs)" "by path"
    equal '5 other' "$(fdsetctl list -n -o set,NAME --name other | xargs)" "by --name"
    equal '6 -' "$(fdsetctl list -n -o set,NAME 6 | xargs)" "by number"
    refused 'no set called nobody' fdsetctl list nobody
    refused 'no set called nobody' fdsetctl list --name nobody
    fdsetctl list --json other >listed
    json listed '[s["name"] for s in j["sets"]] == ["other"]'
    refused "the name base belongs to set 4" fdsetctl add --set 5 --name base b.img

    equal '/dev/fdset/base: 1 member removed' "$(fdsetctl remove base 1)" "output"
    equal '/dev/fdset/base: 1 member removed' "$(fdsetctl remove /dev/fdset/base)" "output"
    equal '/dev/fdset/other: 1 member removed' "$(fdsetctl remove other)" "output"
    refused 'no set called base' fdsetctl remove base
}

test_replace() {
    helper_start
    images_make
    fdsetctl add --name base -rw a.img >output
    vmm_start
    vmm_does open /dev/fdset/base r 0
    refused 'a set is of one file' fdsetctl add --name base b.img
    succeeds fdsetctl add --replace --name base b.img >output
    settled
    equal '1 removed 1 3 listed 0' \
        "$(fdsetctl list -n --output member,state,leases base | xargs)" "members"
    fdsetctl list --json >listed
    json listed '__import__("os").stat("b.img").st_ino == j["sets"][0]["members"][1]["inode"]'
}

test_mixed() {
    helper_start
    images_make
    status 1 fdsetctl add --fd 8 --fd 9 8<a.img 9<b.img
    succeeds fdsetctl add --mixed --fd 8 --fd 9 8<a.img 9<b.img >output
    fdsetctl add --json --mixed --set 7 a.img b.img >added
    json added 'len(j["sets"]) == 1 and j["sets"][0]["file"] is None'
    json added '[m["file"] for m in j["sets"][0]["members"]] == ["a.img", "b.img"]'
    fdsetctl add --json --mixed -rw c.img >added
    json added 'j["sets"][0]["file"] == "c.img" and len(j["sets"][0]["members"]) == 2'
    fdsetctl list --json 7 >listed
    json listed 'j["sets"][0]["mixed"] is True and len(j["sets"][0]["members"]) == 2'
    equal 2 "$(fdsetctl list -n -o inode 7 | sort -u | wc -l)" "inodes"
}

test_sockets_are_refused_unless_allowed() {
    helper_start
    # Standard input of the right side of a socket pair, as inetd would give it.
    local with='import socket, subprocess, sys
a, b = socket.socketpair()
sys.exit(subprocess.call(sys.argv[1:], stdin=a))'
    refused socket python3 -c "$with" "$FDSETCTL" add --fd 0
    succeeds python3 -c "$with" "$FDSETCTL" add --allow-socket --fd 0 >output
    equal read-write "$(fdsetctl list -n -o mode)" "mode"
}

test_lifetimes() {
    helper_start
    images_make
    fdsetctl add --set 1 a.img >output
    equal 'SET MEMBER MODE FLAGS STATE LEASES AGE LIFETIME OPAQUE' \
        "$(fdsetctl list | head -n 1 | xargs)" "columns"
    fdsetctl add --set 2 --lifetime idle --idle 5min b.img >output
    fdsetctl add --set 3 --lifetime once --grace 600s --owner me c.img >output
    fdsetctl add --set 4 --lifetime connection --grace 600000ms a.img >output
    equal 'SET MEMBER MODE FLAGS STATE LEASES AGE LIFETIME OWNER EXPIRES OPAQUE' \
        "$(fdsetctl list | head -n 1 | xargs)" "columns"
    equal '1 keep - 2 idle - 3 once me 4 connection -' \
        "$(fdsetctl list -n --output set,lifetime,owner | xargs)" "lifetimes"
    fdsetctl list --json >listed
    json listed '[s["lifetime"] for s in j["sets"]] == ["keep", "idle", "once", "connection"]'
    json listed '[s["grace_ms"] for s in j["sets"]] == [0, 0, 600000, 600000]'
    json listed '[s["idle_ms"] for s in j["sets"]] == [0, 300000, 0, 0]'
    json listed '[s["owner"] for s in j["sets"]] == [None, None, "me", None]'
    json listed 'j["sets"][0]["expires_ms"] is None'
    json listed 'all(0 < s["expires_ms"] <= 600000 for s in j["sets"][1:])'
    refused 'exists with lifetime idle' fdsetctl add --set 2 b.img
    succeeds fdsetctl add --set 2 --lifetime idle --idle 5min --read-write b.img >output

    # The first open uses it up.
    vmm_start
    vmm_does open /dev/fdset/3 r 0
    vmm_ask open /dev/fdset/3 r 0
    vmm_says 'set 3'
}

test_a_lifetime_ends() {
    helper_start
    images_make
    succeeds fdsetctl add --lifetime once --grace 1ms a.img >output
    succeeds fdsetctl add --lifetime connection --grace 1ms b.img >output
    succeeds fdsetctl add --lifetime idle --idle 1ms b.img >output
    total_becomes sets 0
}

test_filters() {
    helper_start
    images_make
    fdsetctl add --set 1 --owner one --opaque old a.img >output
    fdsetctl add --set 1 --owner one --opaque new a.img >output
    fdsetctl add --set 2 --owner two --opaque new b.img >output
    fdsetctl add --set 3 --opaque '' c.img >output
    equal '1 1 1 2' "$(fdsetctl list -n --owner one -o set,member | xargs)" "owner"
    equal '1 2 2 3' "$(fdsetctl list -n --opaque new -o set,member | xargs)" "opaque"
    equal '3 4' "$(fdsetctl list -n --opaque '' -o set,member | xargs)" "an empty label"
    equal '2 3' "$(fdsetctl list -n --opaque new --owner two -o set,member | xargs)" "both"
    equal '1 2' "$(fdsetctl list -n --opaque new -o set,member 1 | xargs)" "with a set"
    equal '' "$(fdsetctl list --owner three)" "nobody's"
}

test_holds_and_waiting_opens() {
    helper_start
    images_make
    fdsetctl add --set 1 a.img >output
    equal '' "$(fdsetctl list --waiting)" "none"
    vmm_start
    vmm_does hold /dev/fdset/1
    fdsetctl remove 1 >output
    equal 'SET MEMBER MODE FLAGS STATE LEASES AGE LIFETIME HOLDS OPAQUE 1 - - - - 0 - keep 1 -' \
        "$(fdsetctl list | xargs)" "a set without a member"
    fdsetctl list --json >listed
    json listed 'j["sets"][0]["holds"] == 1 and j["waiting"] == []'

    vmm_ask open /dev/fdset/later rw 600000
    total_becomes waiting 1
    equal 'WAITING PATH MODE FLAGS AGE EXPIRES PID NAME' \
        "$(fdsetctl list --waiting | head -n 1 | xargs)" "columns"
    equal "1 /dev/fdset/later read-write $vmm vmm" \
        "$(fdsetctl list -nw --output waiting,path,mode,pid,name | xargs)" "what waits"
    fdsetctl list --json >listed
    json listed 'j["waiting"][0]["path"] == "/dev/fdset/later" and j["waiting"][0]["name"] == "vmm"'
    json listed 'j["waiting"][0]["mode"] == "read-write" and j["waiting"][0]["flags"] == []'
    json listed '0 < j["waiting"][0]["expires_ms"] <= 600000'
    succeeds fdsetctl add --name later --read-write b.img >output
    vmm_says 'done'
    fdsetctl list --leases >output
    equal 'LEASE SET MEMBER MODE FLAGS AGE PID NAME' "$(head -n 1 output | xargs)" "columns"
    equal "2 $vmm later" \
        "$(fdsetctl list -nl -o member,pid,opaque --name later | sed 's/-$/later/' | xargs)" "lease"
}

test_show() {
    local a_file
    helper_start
    images_make
    fdsetctl add --name base --set 3 --owner me --lifetime idle --idle 600s --opaque 'a label' \
        --sharing shared a.img >output
    fdsetctl add --set 4 --lifetime connection --grace 600s b.img >output
    equal 'Set: 3 Path: /dev/fdset/3 Name: base Path by name: /dev/fdset/base' \
        "$(fdsetctl show base | head -n 4 | xargs)" "the head"
    [[ $(fdsetctl show base) == *'me (uid '[0-9]*')'* ]] || fail "no owner"
    [[ $(fdsetctl show base) == *'idle, 9m'*' left'* ]] || fail "no time that is left"
    [[ $(fdsetctl show 4) == *'connection, 9m'*' left'* ]] || fail "no grace that is left"
    equal 'MEMBER MODE FLAGS STATE AGE TYPE DEVICE-NUMBER DEVICE INODE OPAQUE' \
        "$(fdsetctl show 3 | sed -n '/^MEMBER/p' | xargs)" "the columns"
    a_file="$(stat -c %Hd:%Ld a.img) $(stat -c %i a.img)"
    equal "1 read-only shared listed regular - $a_file a label" \
        "$(fdsetctl show 3 | sed '1,/^MEMBER/d' | awk '{ $5 = ""; print }' | xargs)" "the member"

    vmm_start
    vmm_does hold /dev/fdset/base
    [[ $(fdsetctl show base) == *'idle, 10m00s after its last use'* ]] || fail "no idle time"
    vmm_does open /dev/fdset/3 r 0
    equal "LEASE MEMBER MODE FLAGS AGE PID NAME 1 1 read-only - $vmm vmm" \
        "$(fdsetctl show base | sed -n '/^LEASE/,$p' | sed '2s/[0-9]*s//' | xargs)" "the lease"
    vmm_ask open /dev/fdset/base rw 600000
    total_becomes waiting 1
    fdsetctl show /dev/fdset/base >output
    equal "1 /dev/fdset/base read-write $vmm vmm" \
        "$(sed '1,/^WAITING/d' output | awk '{ print $1, $2, $3, $(NF-1), $NF }')" "what waits"
    [[ $(xargs <output) == *'Holds: 1'* ]] || fail "no hold: $(cat output)"

    fdsetctl show --json base >shown
    json shown 'j["set"] == 3 and j["name"] == "base" and j["holds"] == 1'
    json shown 'j["members"][0]["leases"][0]["name"] == "vmm"'
    json shown '[w["path"] for w in j["waiting"]] == ["/dev/fdset/base"]'
    fdsetctl show --json 4 >shown
    json shown 'j["set"] == 4 and j["waiting"] == [] and j["name"] is None'
}

test_show_the_sandbox() {
    helper_start
    equal 'STAGE WHOLE DETAIL' "$(fdsetctl show --sandbox | head -n 1 | xargs)" "columns"
    [[ $(fdsetctl show --sandbox | tail -n 1) =~ ^seccomp\ +yes ]] || fail "$(fdsetctl show --sandbox)"
    fdsetctl show --sandbox --json >shown
    json shown '[type(s["whole"]) for s in j["sandbox"]] == [bool] * len(j["sandbox"])'
    json shown 'j["sandbox"][-1]["name"] == "seccomp" and j["sandbox"][-1]["whole"] is True'
    json shown 'all(s["detail"] is None or s["detail"] for s in j["sandbox"])'
}

# What the OpenMetrics specification asks of a text of gauges and counters.
openmetrics_check() {
    python3 -c 'import re, sys
lines = sys.stdin.read().split("\n")
assert lines[-2:] == ["# EOF", ""], "the end"
families, samples, labels = {}, {}, {}
text_of = dict(gauge="", counter="_total", info="_info")
for line in lines[:-2]:
    described = re.fullmatch(r"# (HELP|TYPE|UNIT) (fdset_helper_[a-z_]+) (.+)", line)
    if described:
        what, family, text = described.groups()
        assert not family.endswith("_total"), line
        assert family not in samples, "described after its sample: " + line
        assert what not in families.setdefault(family, {}), "twice: " + line
        assert what != "TYPE" or text in text_of, line
        assert what != "UNIT" or family.endswith("_" + text), line
        families[family][what] = text
        last = family
        continue
    name, label, value = re.fullmatch(
        r"([a-z_]+)\{vm=\"((?:[^\"\\\n]|\\[\"\\n])*)\"(?:,version=\"[^\"]+\")?\} ([0-9]+(?:\.[0-9]+)?)",
        line).groups()
    assert name == last + text_of[families[last]["TYPE"]], line
    assert label == labels.setdefault("vm", label), line
    samples[last] = value
assert len(families) == 31 and all("HELP" in f and "TYPE" in f for f in families.values())
for wanted in sys.argv[1:]:
    family, value = wanted.split("=", 1)
    if family == "vm":
        samples["vm"] = labels["vm"]
    assert samples[family] == value, wanted + ": " + samples[family]' "$@" || fail "no OpenMetrics"
}

test_stats() {
    helper_start
    images_make
    fdsetctl add --set 1 -rw a.img >output
    vmm_start
    vmm_does open /dev/fdset/1 r 0
    vmm_ask open /dev/fdset/1 w 0
    vmm_says 'write-only'
    vmm_ask open /dev/fdset/1 w 1
    vmm_says 'write-only'
    equal 'NAME VALUE MEANING' "$(fdsetctl stats | head -n 1 | xargs)" "columns"
    equal 'sets 1 members 2 leases 1' \
        "$(fdsetctl stats --no-headings | head -n 3 | awk '{ print $1, $2 }' | xargs)" "totals"
    fdsetctl stats --json >stats
    json stats '[j[n] for n in ("members", "opens", "denied", "added")] == [2, 1, 2, 2]'
    json stats '[j[n] for n in ("waited", "expired", "removed", "holds")] == [1, 1, 0, 0]'
    fdsetctl list --json >listed
    json listed 'set(j["totals"]) == set(__import__("json").load(open("stats"))) and len(j["totals"]) == 20'
    fdsetctl stats --openmetrics >metrics
    openmetrics_check fdset_helper_members=2 fdset_helper_opens=1 fdset_helper_denied=2 \
        fdset_helper_expired=1 fdset_helper_hangups=0 fdset_helper_members_limit=4096 \
        "vm=${PWD##*/}" <metrics
    fdsetctl stats --openmetrics --vm 'a "b" \c'$'\n' >metrics
    openmetrics_check 'vm=a \"b\" \\c\\x0a' <metrics
    status 2 fdsetctl stats --vm x
}

test_info() {
    helper_start --limit sets=7
    images_make
    fdsetctl add --set 1 -rw a.img >output
    fdsetctl info --json >info
    json info '(j["version"], j["protocol"], j["role"]) == ("'"$("$FDSET_HELPER" --version | awk '{ print $NF }')"'", 1, "manager")'
    json info "(j['pid'], j['vm']) == ($helper, '${PWD##*/}')"
    json info 'j["limits"]["sets"] == {"used": 1, "maximum": 7} and j["uptime_ms"] >= 0'
    json info 'j["limits"]["members"]["used"] == 2 and j["limits"]["packet_bytes"]["used"] is None'
    fdsetctl -S observe info >output
    equal 'This socket: observer' "$(grep '^This' output | xargs)" "role"
    equal 'LIMIT USED MAXIMUM USED% MEANING' "$(grep '^LIMIT' output | xargs)" "columns"
    equal 'sets 1 7 14' "$(awk '$1 == "sets" { print $1, $2, $3, $4 }' output)" "sets"
    status 2 fdsetctl info 1
}

# watch_start OPTION...: its output is to be read from $events. It has subscribed.
# It does not stay for ever where an event does not come.
watch_start() {
    mkfifo events
    timeout 60 "$FDSETCTL" watch --ready "$@" >events 2>watch.log &
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

# The manual's descriptors for one command.
test_one_shot() {
    local path
    helper_start
    images_make
    path=$(fdsetctl add --path --lifetime once --grace 10min a.img)
    vmm_start
    vmm_does open "$path" r 0
    equal removed "$(fdsetctl list -n --output state)" "state"
    vmm_ask open "$path" r 0
    vmm_says "${path##*/}"
    exec {vmm_in}>&-
    total_becomes sets 0
}

run_tests
