#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# fdsetctl, against a helper. QEMU has no part in it.
# shellcheck disable=SC2317,SC2119,SC2094,SC2016
# shellcheck source-path=SCRIPTDIR source=fdsetctl-scene.sh
. "$(dirname "$0")/fdsetctl-scene.sh"

test_wrong_command_lines_do_nothing() {
    helper_start
    images_make
    status 2 fdsetctl
    status 2 fdsetctl --bogus
    status 2 fdsetctl frobnicate
    status 2 fdsetctl add
    status 2 fdsetctl add --bogus a.img
    status 2 fdsetctl add --set -1 a.img
    status 2 fdsetctl add --set 2147483648 a.img
    status 2 fdsetctl add --set 1x a.img
    status 2 fdsetctl add --set 1 a.img b.img
    status 2 fdsetctl add --fd 0 a.img
    status 2 fdsetctl add --fd 0 --read-write
    status 2 fdsetctl add --fd 0 --direct
    status 2 fdsetctl add --fd x
    status 2 fdsetctl add --sharing some a.img
    status 2 fdsetctl add --path --json a.img
    status 2 fdsetctl add --serves-read-only a.img
    status 2 fdsetctl add --opaque "$(printf '%256s' x)" a.img
    status 1 fdsetctl add --opaque "$(printf '\xe9')" a.img # which is not UTF-8
    status 2 fdsetctl remove
    status 2 fdsetctl remove /dev/fdset/
    status 2 fdsetctl remove 1 0
    status 2 fdsetctl remove 1 2 3
    status 2 fdsetctl list 1x/
    status 2 fdsetctl list 1 2
    equal '' "$(fdsetctl list)" "sets"
}

test_wrong_options_do_nothing() {
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

test_help_and_version_need_no_helper() {
    local command
    for command in '' $FDSETCTL_VERBS; do
        # shellcheck disable=SC2086 # none where it is empty
        [[ $(fdsetctl $command --help) == Usage:* ]] || fail "no help of '$command'"
    done
    [[ $(fdsetctl --version) == 'fdsetctl '[0-9]* ]] || fail "no version"
    [[ $(fdsetctl list -V) == 'fdsetctl '[0-9]* ]] || fail "no version of a command"
}

test_the_socket_is_found() {
    helper_start
    images_make
    unset FDSET_MANAGE_SOCKET
    status 2 fdsetctl list
    refused 'use --socket PATH or set FDSET_MANAGE_SOCKET' fdsetctl list
    status 0 fdsetctl --socket manage list
    status 0 fdsetctl list --socket manage
    status 0 fdsetctl list -S observe
    status 1 fdsetctl -S observe add a.img
    status 1 fdsetctl -S nowhere list
    FDSET_MANAGE_SOCKET=nowhere status 0 fdsetctl -S manage list
}

test_one_set_for_each_file() {
    helper_start
    images_make
    equal '/dev/fdset/0 /dev/fdset/1' "$(fdsetctl add --path a.img b.img | xargs)" "paths"
    equal '/dev/fdset/7' "$(fdsetctl add --path --set 7 -rw c.img)" "path"
    equal '0 read-only 1 read-only 7 read-only 7 read-write' \
        "$(fdsetctl list -n | awk '{ print $1, $3 }' | xargs)" "members"
}

test_all_or_nothing() {
    helper_start
    images_make
    status 1 fdsetctl add a.img b.img no.img
    status 1 fdsetctl add a.img .
    fdsetctl add --set 5 a.img >output
    status 1 fdsetctl add --set 5 b.img
    equal 1 "$(fdsetctl list -n | wc -l)" "members"
}

test_inherited_descriptors_are_one_set() {
    helper_start
    images_make
    exec {one}<a.img {two}<>a.img
    succeeds fdsetctl add --set 3 --fd "$one" --fd "$two" >output
    equal 'read-only read-write' "$(fdsetctl list -n 3 | awk '{ print $3 }' | xargs)" "modes"
    succeeds fdsetctl add --fd 0 <b.img >output
    refused 'not open' fdsetctl add --fd 99
}

test_how_files_are_opened() {
    helper_start
    images_make
    succeeds fdsetctl add --set 1 --write-only --append --sync a.img >output
    equal 'write-only append,sync' "$(fdsetctl list -n 1 | awk '{ print $3, $4 }')" "flags"
    succeeds fdsetctl add --set 2 -rw --serves-read-only --keep-content --keep-locks \
        --sharing shared --opaque 'a label' b.img >output
    equal 'read-only shared,keep-content,keep-locks' \
        "$(fdsetctl list -n 2 | awk 'NR == 1 { print $3, $4 }')" "rules"
    equal 'read-write shared,serves-read-only,keep-content,keep-locks' \
        "$(fdsetctl list -n 2 | awk 'NR == 2 { print $3, $4 }')" "rules"
    [[ $(fdsetctl list -n 2) == *'a label' ]] || fail "no label"
}

test_remove() {
    helper_start
    images_make
    fdsetctl add --set 1 -rw a.img >output
    equal '/dev/fdset/1: 1 member removed' "$(fdsetctl remove 1 2)" "output"
    equal read-only "$(fdsetctl list -n 1 | awk '{ print $3 }')" "the member that is left"
    equal '/dev/fdset/1: 1 member removed' "$(fdsetctl remove /dev/fdset/1)" "output"
    status 1 fdsetctl list 1
    status 1 fdsetctl remove 1
}

test_json() {
    local name
    helper_start
    images_make
    succeeds fdsetctl add --json -rw a.img >added
    json added 'j["sets"][0]["path"] == "/dev/fdset/0" and j["sets"][0]["file"] == "a.img"'
    json added '[m["mode"] for m in j["sets"][0]["members"]] == ["read-only", "read-write"]'
    succeeds fdsetctl add --json --fd 0 <b.img >added
    json added 'j["sets"][0]["file"] is None'
    # JSON has no other bytes than UTF-8's, names of files do.
    name=$(printf 'caf\xe9 \xe2\x82\xac')
    cp a.img "$name"
    succeeds fdsetctl add --set 9 --json "$name" >added
    json added 'j["sets"][0]["file"] == "caf\ufffd \ufffd\ufffd\ufffd"'
    fdsetctl remove 9 >output
    fdsetctl add --set 5 --opaque '' c.img >output
    fdsetctl add --set 5 --opaque 'a "€"' c.img >output

    fdsetctl list --json >listed
    json listed '[s["set"] for s in j["sets"]] == [0, 1, 5]'
    json listed '[m["opaque"] for s in j["sets"] for m in s["members"]] == \
        [None, None, None, "", "a \"\u20ac\""]'
    json listed 'all(m["leases"] == [] and m["state"] == "listed" for s in j["sets"] for m in s["members"])'
    json listed '__import__("os").stat("c.img").st_ino == j["sets"][2]["members"][0]["inode"]'
    json listed 'j["totals"]["members"] == 5 and j["totals"]["leases"] == 0'
    fdsetctl list --json 5 >listed
    json listed 'len(j["sets"]) == 1 and j["sets"][0]["lifetime"] == "keep"'
}

test_tables() {
    helper_start
    equal '' "$(fdsetctl list)" "a table of nothing"
    images_make
    fdsetctl add --set 1 a.img >output
    equal 'PATH MEMBER MODE FILE' "$(head -n 1 output | xargs)" "columns of add"
    equal 'SET MEMBER MODE FLAGS STATE LEASES AGE LIFETIME OPAQUE' \
        "$(fdsetctl list | head -n 1 | xargs)" "columns of list"
    # What a label may hold must not reach the terminal.
    fdsetctl add --set 1 --opaque $'\e[2J' a.img >output
    ! fdsetctl list | grep -q $'\e' || fail "an escape sequence comes through"
}

# Nothing that would change a terminal comes out, whoever said it and however it is printed.
test_hostile_text_is_printed_as_bytes() {
    local label way
    export LC_ALL=C.UTF-8
    helper_start
    images_make
    for label in $'\e[2J' $'\u009b2J' $'turned\u202eround' $'two\nlines' $'zero\u200bwidth' $'\x7f'; do
        succeeds fdsetctl add --set 1 --opaque "$label" a.img >output
        for way in list 'list --json' 'list --values OPAQUE' 'list -o OPAQUE' 'show 1' 'show --json 1'; do
            # shellcheck disable=SC2086 # its words
            fdsetctl $way | python3 -c 'import sys, unicodedata
sys.exit(any(c != "\n" and unicodedata.category(c) in ("Cc", "Cf") for c in sys.stdin.read()))' ||
                fail "$way lets $(printf %q "$label") through"
        done
        equal '' "$(fdsetctl list --values OPAQUE)" "a value"
        fdsetctl list --json >listed
        json listed "j['sets'][0]['members'][0]['opaque'] == $(python3 -c 'import sys; print(ascii(sys.argv[1]))' "$label")"
        fdsetctl remove 1 >output
    done
    mkdir $'name\e[2J'
    ! fdsetctl add $'name\e[2J' 2>&1 | grep -q $'\e' || fail "a message lets it through"
    ! fdsetctl list $'\e[2J' 2>&1 | grep -q $'\e' || fail "a usage error lets it through"
    # What was a backslash stays one, and is not mistaken for such a byte.
    succeeds fdsetctl add --set 2 --opaque '\x1b' a.img >output
    equal '\x5cx1b' "$(fdsetctl list -n -o OPAQUE 2)" "a label of four characters"
    equal '\x1b' "$(fdsetctl list --values OPAQUE 2)" "the same as it is"
}

test_values() {
    helper_start
    images_make
    fdsetctl add --set 1 --owner 'one owner' --opaque 'a  b' -rw a.img >output
    fdsetctl add --set 2 --opaque - b.img >output
    fdsetctl add --set 3 --owner ' - ' c.img >output
    equal $'one owner\n - ' "$(fdsetctl list --values OWNER)" "owners"
    equal $'a  b\n-' "$(fdsetctl list --values opaque)" "labels"
    equal $'1\n2' "$(fdsetctl list --values MEMBER 1)" "members"
    status 2 fdsetctl list --values SET,NAME
    status 2 fdsetctl list --values NAMES
    status 2 fdsetctl list --values SET --json
    status 2 fdsetctl list --values SET --output SET
}

test_a_closed_output_does_not_end_up_in_an_image() {
    helper_start
    images_make
    status 1 bash -c '"$1" add --read-write a.img >/dev/full' bash "$FDSETCTL"
    "$FDSETCTL" add --read-write --write-only a.img >&- 2>&- <&-
    cmp a.img b.img || fail "the table was written into the image"
}

run_tests
