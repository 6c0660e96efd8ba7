#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# fdsetctl, against a helper: names, lifetimes and what else a set is told as it is added.
# shellcheck disable=SC2317,SC2119,SC2094,SC2016,SC2034
# shellcheck source-path=SCRIPTDIR source=fdsetctl-scene.sh
. "$(dirname "$0")/fdsetctl-scene.sh"

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

# For the VMM of the helper's other socket there is no such set.
test_for_one_machine() {
    helper_start --vmm vm1.sock,name=vm1 --manage bound,for=vm1
    images_make
    fdsetctl add --set 1 --for vm1 a.img >output
    equal vm1 "$(fdsetctl list --no-headings --output FOR)" "whom it is for"
    fdsetctl list --json >list
    json list 'j["sets"][0]["reserved_for"] == "vm1"'
    vmm_start
    vmm_ask open /dev/fdset/1 r 0
    vmm_says 'there is no set 1'
    refused "there are 'vmm', 'vm1'" fdsetctl add --for nobody b.img
    refused 'set 1 exists and is for vm1' fdsetctl add --set 1 --for vmm a.img
    status 2 fdsetctl add --for '' a.img

    # By a socket that is bound to it nothing else is seen.
    fdsetctl add --set 2 b.img >output
    equal 1 "$(fdsetctl -S bound list --no-headings --output SET | xargs)" "what is seen"
    fdsetctl -S bound add --set 3 b.img >output
    equal vm1 "$(fdsetctl list 3 --no-headings --output FOR)" "whom it is for"
    fdsetctl -S bound info >info
    equal 'Bound to: vm1' "$(grep '^Bound' info | xargs)" "what it is bound to"
    refused 'no set 2' fdsetctl -S bound remove 2
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
