#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# QEMU's own tests, as it is and through fdset-qemu: of its sets of descriptors (iotest 045);
# and where tests may take long, of commits, of chains and mirrors, of reopening, and of backups
# with bitmaps (040, 155, 245, 257). They come from Debian's source package at test time, and
# are kept in the user's cache; nothing of them is in this tree.
# shellcheck disable=SC2317,SC2119,SC2016
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

more="040 155 245 257"
kept=${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/fdset-helper

# Where this machine gets its packages, as lines for sources.
source_lines() {
    apt-get "$@" indextargets --format 'deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' 'Origin: Debian' 2>/dev/null | sort -u
}

# Downloads the source package into the current directory, with sources and
# lists of our own: root's are neither needed nor changed.
source_download() {
    local own=(-q -o Dir::State::Lists="$PWD/lists" -o Dir::Cache="$PWD/cache"
        -o Acquire::Retries=3 -o APT::Sandbox::User=)
    mkdir -p lists/partial cache/archives/partial
    source_lines >sources.list
    if ! [ -s sources.list ]; then # this machine has no lists yet
        timeout 300 apt-get "${own[@]}" update
        source_lines "${own[@]}" >sources.list
    fi
    [ -s sources.list ] || return
    own+=(-o Dir::Etc::SourceList="$PWD/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o Dir::Etc::Trusted=/usr/share/keyrings/debian-archive-keyring.gpg)
    timeout 300 apt-get "${own[@]}" update &&
        timeout 300 apt-get "${own[@]}" source --download-only --tar-only qemu
}

# tests_fetch: iotests/ here, from the cache if it is there.
tests_fetch() {
    local version place
    version=$(dpkg-query -W -f='${source:Upstream-Version}' qemu-system-x86 2>/dev/null) ||
        skip "the source of QEMU is Debian's, and this is not"
    place=$kept/qemu-$version
    if ! [ -e "$place/tests/qemu-iotests/257" ]; then
        mkdir -p download
        (cd download && source_download) >download.log 2>&1 ||
            skip "QEMU's source package cannot be had: $(grep -v '^Get' download.log | tail -n 1)"
        mkdir -p "$kept" unpacked
        # shellcheck disable=SC2046,SC2086 # words
        tar -xJf download/qemu_*.orig.tar.xz -C unpacked --strip-components=1 --wildcards \
            '*/python/qemu/*' '*/tests/qemu-iotests/check' '*/tests/qemu-iotests/*.py' \
            '*/tests/qemu-iotests/common*' \
            $(printf '*/tests/qemu-iotests/%s* ' 045 $more) ||
            skip "QEMU's source package is not what it was: $(ls download)"
        rm -rf "$place"
        mv unpacked "$place"
    fi
    cp -r "$place" iotests
}

# iotest FORMAT NUMBER PROGRAM...: Debian's QEMU has no accelerator called qtest.
iotest() {
    local format=$1 number=$2 here=$PWD
    shift 2
    cat >program <<END
#!/bin/bash
words=()
for word; do
    [ "\$word" = qtest ] && [ "\${words[-1]:-}" = -accel ] && word=tcg
    words+=("\$word")
done
exec $* "\${words[@]}"
END
    chmod +x program
    mkdir -p images sockets
    (cd iotests/tests/qemu-iotests &&
        QEMU_PROG=$here/program QEMU_IMG_PROG=$(command -v qemu-img) \
            QEMU_IO_PROG=$(command -v qemu-io) QEMU_NBD_PROG=$(command -v qemu-nbd) \
            QSD_PROG=$(command -v qemu-storage-daemon) TEST_DIR=$here/images \
            SOCK_DIR=$here/sockets timeout 240 ./check "-$format" "$number") >check.log 2>&1 ||
        fail "$(tail -n 60 check.log)"
    grep -q 'Passed all 1 iotests' check.log || fail "$(tail -n 60 check.log)"
}

has_run_11_tests() {
    grep -q '^Ran 11 tests' iotests/tests/qemu-iotests/045.out || fail "not 11 tests"
}

test_045_on_qemu_itself() {
    tests_fetch
    iotest raw 045 qemu-system-x86_64
    has_run_11_tests
}

# All 11 run a QEMU that fdset-qemu becomes.
test_045_through_fdset_qemu() {
    tests_fetch
    iotest raw 045 "$FDSET_QEMU" "--fdset-log $PWD/log"
    has_run_11_tests
    equal 11 "$(grep -c 'becomes .*-mon chardev=mon' log)" "machines"
}

# The others open images by path, and fdset-qemu is not to make a difference.
on_qemu_itself() {
    tests_fetch
    iotest qcow2 "$1" qemu-system-x86_64
}

through_fdset_qemu() {
    tests_fetch
    iotest qcow2 "$1" "$FDSET_QEMU" "--fdset-log $PWD/log"
    grep -q 'becomes ' log || fail "fdset-qemu was not asked"
}

tests=(test_045_on_qemu_itself test_045_through_fdset_qemu)
if [ -n "${FDSET_TEST_LONG:-}" ]; then
    for number in $more; do
        tests+=("on_qemu_itself $number" "through_fdset_qemu $number")
    done
fi
run_tests "${tests[@]}"
