# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
# For tests with contrib/qemu/guest.S in a machine: it tells of its sectors, one
# dot each, in the file guest.log. To be sourced after common.sh.

# The guest, a boot sector: guest.bin.
boot_sector_make() {
    as --32 -o guest.o "$FDSET_SOURCE/contrib/qemu/guest.S" 2>/dev/null || skip "no assembler for x86"
    succeeds ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o guest.bin guest.o
}

# guest_goes_on [SECTORS]: waits until the guest has verified some more; fails if it
# stops.
guest_goes_on() {
    local wanted attempt
    wanted=$(($(stat -c %s guest.log) + ${1:-50}))
    for ((attempt = 0; attempt < 2400; attempt++)); do
        ! grep -q E guest.log || fail "the guest had an I/O error"
        kill -0 "$qemu" 2>/dev/null || fail "QEMU has ended"
        [ "$(stat -c %s guest.log)" -lt "$wanted" ] || return 0
        qemu_does query-status # takes a moment
        sleep 0.05
    done
    fail "the guest stands still"
}

# newest FILE: the highest number in a raw disk's ring.
newest() {
    od -A n -t u4 -w4 -v -j $((64 * 512)) -N $((64 * 512)) "$1" | sort -n | tail -n 1 | xargs
}

# told_is_found FILE: what the guest has told of is in the ring of a raw disk.
told_is_found() {
    local told found
    told=$(stat -c %s guest.log) found=$(newest "$1")
    [ "$found" = "$told" ] || [ "$found" = $((told + 1)) ] || fail "told of $told, found $found"
}
