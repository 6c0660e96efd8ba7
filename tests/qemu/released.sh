#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What was removed is free: the manager may unmount, detach or reset at once, each time.
# shellcheck disable=SC2317,SC2119
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

rounds=200

# In a mount namespace of its own, so that nothing is left mounted if it ends early. It is
# made before the helper, which is to see what a manager's mounts are to it.
needs_mounts() {
    [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null || skip "only root can mount"
}

# written FILE: as ext4's auto_da_alloc has it, a close after this flushes.
written() {
    truncate -s 0 "$1" && head -c 256k /dev/zero >"$1"
}

# add_and_remove FILE: a member, used by a VMM, then removed.
add_and_remove() {
    succeeds fdsetctl add --set 1 --read-write "$1" >/dev/null
    succeeds preloaded bash -c 'echo hello 1<>//dev/fdset/1'
    succeeds fdsetctl remove 1 >/dev/null
}

test_an_overlay_is_unmounted() {
    local round
    needs_mounts
    mkdir lower upper work merged
    truncate -s 1M lower/disk
    helper_start
    for ((round = 0; round < rounds; round++)); do
        mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none merged ||
            skip "overlayfs cannot be mounted here"
        add_and_remove merged/disk
        umount merged || fail "busy in round $round"
    done
}

# ext4 on a loop device: unmounted, mounted read-only, and detached.
test_a_loop_device_is_detached() {
    local round device
    needs_mounts
    mkdir mnt
    truncate -s 16M image
    mkfs.ext4 -q image
    device=$(losetup -f --show image 2>/dev/null) || skip "there are no loop devices here"
    losetup -d "$device"
    helper_start
    for ((round = 0; round < rounds; round++)); do
        device=$(losetup -f --show image) || fail "no loop device in round $round"
        mount "$device" mnt || fail "not mounted in round $round"
        written mnt/disk
        add_and_remove mnt/disk
        mount -o remount,ro mnt || fail "cannot be made read-only in round $round"
        umount mnt || fail "busy in round $round"
        succeeds fdsetctl add --set 2 "$device" >/dev/null
        succeeds fdsetctl remove 2 >/dev/null
        losetup -d "$device" || fail "not detached in round $round"
        [ -z "$(losetup -j image)" ] || fail "still attached in round $round: $(losetup -j image)"
    done
}

# zram_rounds NUMBER
zram_rounds() {
    local round
    for ((round = 0; round < rounds; round++)); do
        echo 16M >"/sys/block/zram$1/disksize"
        succeeds fdsetctl add --set 1 --read-write "/dev/zram$1" >/dev/null
        succeeds fdsetctl remove 1 >/dev/null
        echo 1 >"/sys/block/zram$1/reset" || fail "busy in round $round"
    done
}

# One that is the test's own, which is taken away again.
test_a_zram_device_is_reset() {
    local number status=0
    number=$(cat /sys/class/zram-control/hot_add 2>/dev/null) || skip "no zram device can be made here"
    helper_start
    (zram_rounds "$number") || status=$?
    echo "$number" >/sys/class/zram-control/hot_remove
    return $status
}

# A refused descriptor keeps nothing busy either.
test_what_was_refused_is_free_too() {
    local round
    needs_mounts
    mkdir mnt
    helper_start
    truncate -s 4k other
    succeeds fdsetctl add --set 1 other >/dev/null
    for ((round = 0; round < rounds; round++)); do
        mount -t tmpfs none mnt
        truncate -s 4k mnt/disk
        ! fdsetctl add --set 1 mnt/disk >/dev/null 2>&1 || fail "another file was taken"
        umount mnt || fail "busy in round $round"
    done
}

if [ -z "${RELEASED_UNSHARED-}" ] && [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
    RELEASED_UNSHARED=yes exec unshare -m --propagation private "$0"
fi
run_tests
