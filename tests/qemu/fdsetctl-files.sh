#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# fdsetctl, asked about files: which set a file is in and who has it open, over one
# helper and over all.
# shellcheck disable=SC2317,SC2119,SC2094,SC2016,SC2034
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

# status WANTED COMMAND...: its exit status.
status() {
    local wanted=$1 found=0
    shift
    "$@" >output 2>errors || found=$?
    equal "$wanted" "$found" "status of '$*', which says '$(cat output errors)'"
}

# helper_run OPTION...: waits until it serves. It is one of this shell's jobs, which end
# with the test.
helper_run() {
    local line log
    rm -f log
    mkfifo log
    "$FDSET_HELPER" "$@" 2>log &
    helpers+=($!)
    exec {log}<log
    while IFS= read -r line <&"$log" && [[ $line != *ready:* ]]; do :; done
    [[ $line == *ready:* ]] || fail "the helper does not start"
}

# A helper with its sockets in run/NAME.
helper_in() {
    mkdir -p "run/$1"
    helper_run --manage "run/$1/manage" --vmm "run/$1/vmm" --observe "run/$1/observe"
}

# A VMM of the helper in run/NAME that opens PATH and keeps it.
vmm_in() {
    local answer
    coproc VMM {
        FDSET_VMM_SOCKET=run/$1/vmm exec "$FDSET_TEST_VMM"
    }
    vmm=$VMM_PID
    echo "open $2 $3 0" >&"${VMM[1]}"
    read -r -t 60 answer <&"${VMM[0]}"
    [[ $answer == *done* ]] || fail "the VMM says $answer"
}

two_helpers() {
    helpers=()
    truncate -s 64k base.img other.img
    helper_in vm1
    helper_in vm2
    fdsetctl -S run/vm1/manage add --set 4 --name base base.img >output
    fdsetctl -S run/vm1/manage add --set 5 --read-write other.img >output
    fdsetctl -S run/vm2/manage add --set 1 base.img >output
    ln base.img another.name
}

test_list_file() {
    two_helpers
    export FDSET_MANAGE_SOCKET=run/vm1/manage
    equal '4 base' "$(fdsetctl list -n -o set,name --file base.img | xargs)" "by its name"
    equal '4 base' "$(fdsetctl list -n -o set,name --file another.name | xargs)" "by another"
    equal 5 "$(fdsetctl list -n -o set --file other.img | xargs)" "the other"
    equal 4 "$(fdsetctl list --values SET --file base.img)" "a value"
    fdsetctl list --json --file base.img >listed
    json listed '[s["set"] for s in j["sets"]] == [4]'
    truncate -s 1 third.img
    status 3 fdsetctl list --file third.img
    status 3 fdsetctl list --json --file third.img
    status 1 fdsetctl list --file nowhere.img
    status 2 fdsetctl list --waiting --file base.img
}

test_who() {
    two_helpers
    export FDSET_MANAGE_SOCKET=run/vm1/manage
    status 3 fdsetctl who base.img
    vmm_in vm1 /dev/fdset/base r
    status 0 fdsetctl who another.name
    equal 'SET SET-NAME MEMBER MODE NAME PID SINCE' "$(head -n 1 output | xargs)" "columns"
    equal "4 base 1 read-only vmm $vmm" "$(tail -n 1 output | awk '{ $7 = ""; print }' | xargs)" "who"
    [[ $(tail -n 1 output) =~ \ 20[0-9-]{8}T[0-9:.]{12}[+-][0-9:]{5}$ ]] || fail "since: $(cat output)"
    fdsetctl who --json base.img >who
    json who "[(h['vm'], h['set_name'], h['name'], h['pid']) for h in j['holders']] == [('vm1', 'base', 'vmm', $vmm)]"
    status 3 fdsetctl who other.img
    status 3 fdsetctl who --json other.img
    status 2 fdsetctl who
    status 2 fdsetctl who base.img other.img
    status 1 fdsetctl who nowhere.img
}

test_all() {
    two_helpers
    unset FDSET_MANAGE_SOCKET
    vmm_in vm2 /dev/fdset/1 r
    equal "vm2 1 vmm $vmm" \
        "$(fdsetctl who --directory run -n -o vm,set,name,pid base.img | xargs)" "who"
    equal 'VM SET MEMBER MODE FLAGS STATE LEASES AGE LIFETIME NAME OPAQUE' \
        "$(fdsetctl list --directory run | head -n 1 | xargs)" "columns"
    equal 'vm1 4 vm1 5 vm2 1' "$(fdsetctl list --directory run -n -o vm,set | xargs)" "all"
    equal 'vm1 4 vm2 1' "$(fdsetctl list --directory run -n -o vm,set --file base.img | xargs)" "a file"
    equal 'vm1 4' "$(fdsetctl list --directory run -n -o vm,set base | xargs)" "a set that one has"
    equal 'vm2 1' "$(fdsetctl list --directory run/vm2 -n -o vm,set | xargs)" "one's directory"
    fdsetctl list --json --directory run >listed
    json listed '[(h["vm"], len(h["sets"])) for h in j["helpers"]] == [("vm1", 2), ("vm2", 1)]'
    json listed 'j["helpers"][0]["socket"].endswith("run/vm1/observe")'
    status 3 fdsetctl list --directory run nobody
    status 3 fdsetctl list --all --directory /proc/self/fdinfo
    [[ $(cat errors) == *'no manage or observe socket is in these directories'* ]] || fail "$(cat errors)"
    status 1 fdsetctl list --directory nowhere
    status 2 fdsetctl -S run/vm1/manage list --all
    status 2 fdsetctl who --all --socket run/vm1/manage base.img
    # The usual places.
    mkdir runtime
    mv run runtime/fdset-helper
    equal 'vm1 4 vm1 5 vm2 1' \
        "$(XDG_RUNTIME_DIR=$PWD/runtime fdsetctl list -a -n -o vm,set | xargs)" "in the runtime directory"
}

# Those that are dead or refuse, or that are something else, do not keep the others from
# being heard.
test_all_but_some() {
    two_helpers
    unset FDSET_MANAGE_SOCKET
    helper_in dead
    kill -KILL "${helpers[2]}"
    ended_by KILL "${helpers[2]}"
    rm run/dead/observe
    mkdir run/odd run/empty
    touch run/odd/manage
    ln -s nowhere run/odd/observe
    python3 -c 'import socket
listener = socket.socket(socket.AF_UNIX)
listener.bind("run/odd/observe.sock")'
    # The observe socket of the one is dead, its manage socket will do.
    rm run/vm2/observe
    python3 -c 'import socket
socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).bind("run/vm2/observe")'
    status 1 fdsetctl list --directory run -n -o vm,set
    equal 'vm1 4 vm1 5 vm2 1' "$(xargs <output)" "those that live"
    grep -q 'cannot ask run/dead/manage: no process listens there any more' errors || fail "$(cat errors)"
    grep -q 'cannot ask run/odd/observe.sock' errors || fail "$(cat errors)"
    equal 2 "$(wc -l <errors)" "complaints: $(cat errors)"
    status 1 fdsetctl who --directory run base.img
}

# Sockets without directories of their own.
test_names_of_sockets() {
    helpers=()
    mkdir run
    truncate -s 64k base.img
    for name in web.manage manage-db.sock mail-observe.sock; do
        role=observe
        [[ $name != *manage* ]] || role=manage
        helper_run "--$role" "run/$name" --vmm "run/$name.vmm" --manage "other-$name"
        fdsetctl -S other-$name add base.img >output
    done
    equal 'db mail web' "$(fdsetctl list --directory run -n -o vm | sort | xargs)" "names"
}

test_devices() {
    helper_start
    mknod one c 1 3 && mknod two c 1 3 && mknod zero c 1 5 || skip "no devices can be made"
    : <>one || skip "devices cannot be opened here"
    truncate -s 64k a.img
    fdsetctl add --set 1 -rw one >output
    fdsetctl add --set 2 a.img >output
    equal 'character 1:3 regular -' \
        "$(fdsetctl list -n -o type,device-number | uniq | xargs)" "which device"
    fdsetctl list --json >listed
    json listed '[s["members"][0]["device_number"] for s in j["sets"]] == ["1:3", None]'
    json listed '[s["members"][0]["type"] for s in j["sets"]] == ["character", "regular"]'
    json listed "j['sets'][1]['members'][0]['device'] == '$(stat -c %Hd:%Ld a.img)'"
    equal '1 1' "$(fdsetctl list -n -o set --file two | xargs)" "by another node"
    status 3 fdsetctl list --file zero
    [[ $(fdsetctl show 1) == *' character 1:3 '* ]] || fail "$(fdsetctl show 1)"
    fdsetctl remove 1 >output
    [[ $(fdsetctl list) != *DEVICE-NUMBER* ]] || fail "a column of nothing"
}

test_remove_says_who_has_it_open() {
    two_helpers
    export FDSET_MANAGE_SOCKET=run/vm1/manage
    vmm_in vm1 /dev/fdset/base r
    status 0 fdsetctl remove base
    equal '/dev/fdset/base: 1 member removed' "$(cat output)" "output"
    equal "fdsetctl remove: it stays open, 1 lease is live: vmm (pid $vmm)" "$(cat errors)" "who"
    status 0 fdsetctl remove --json base
    json output "(j['set'], j['removed'], j['leases'], j['closing']) == (4, 0, 1, 0)"
    json output "[(h['name'], h['pid'], h['mode']) for h in j['holders']] == [('vmm', $vmm, 'read-only')]"
    status 0 fdsetctl remove --no-wait 5
    equal '' "$(cat errors)" "errors"
    status 0 fdsetctl -S run/vm2/manage remove --timeout 5 --json 1
    json output "(j['removed'], j['leases'], j['closing'], j['holders']) == (1, 0, 0, [])"
    local time
    for time in 0 x 3601 61min -1 ''; do
        status 2 fdsetctl remove --timeout "$time" 1
    done
    status 2 fdsetctl remove --timeout 5 --no-wait 1
}

# Each VMM has a member of its own, and so locks of its own.
test_copies() {
    local vmms=()
    helpers=()
    truncate -s 64k base.img other.img
    helper_in vm
    export FDSET_MANAGE_SOCKET=run/vm/manage
    fdsetctl add --set 1 --copies 3 base.img >output
    equal '1 read-only 2 read-only 3 read-only' "$(sed 1d output | awk '{ print $2, $3 }' | xargs)" "members"
    for i in 1 2 3; do
        vmm_in vm /dev/fdset/1 r 2>/dev/null # bash warns of a second coprocess
        vmms+=("$vmm")
    done
    equal '1 1 1' "$(fdsetctl list -n -o leases 1 | xargs)" "leases"
    status 3 fdsetctl who other.img
    fdsetctl add --json -rw --copies 2 other.img >added
    json added '[m["mode"] for m in j["sets"][0]["members"]] == ["read-only", "read-write"] * 2'
    status 2 fdsetctl add --copies 0 other.img
    status 2 fdsetctl add --copies 254 other.img
    status 2 fdsetctl add --copies 127 -rw other.img
    status 0 fdsetctl add --copies 126 -rw other.img
    status 2 fdsetctl add --copies 2 --shared other.img
    status 2 fdsetctl add --copies 2 --fd 0
}

test_shared_and_exclusive() {
    helper_start
    truncate -s 64k a.img
    fdsetctl add --set 1 --shared a.img >output
    fdsetctl add --set 2 --exclusive a.img >output
    equal 'shared exclusive' "$(fdsetctl list -n -o flags | xargs)" "rules"
    status 2 fdsetctl add --shared --exclusive a.img
    status 2 fdsetctl add --shared --sharing exclusive a.img
}

run_tests
