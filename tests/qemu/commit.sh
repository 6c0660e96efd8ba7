#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The commit of one image of a chain into another, while a guest writes: in every
# form in which QEMU can be given a chain. The base has no read-write member until
# QEMU has failed for want of it.
#
#     commit.sh system|daemon
# shellcheck disable=SC2317,SC2119,SC2154
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source-path=SCRIPTDIR source=machine.sh
. "$(dirname "$0")/machine.sh"

# base <- mid <- top in sets 1 to 3, each with bytes of its own. The base boots.
# Their headers name sets, which only the form "header" looks at.
chain_make() {
    boot_sector_make
    truncate -s 8M boot.raw
    dd if=guest.bin of=boot.raw conv=notrunc status=none
    qemu-img convert -O qcow2 boot.raw base.img
    qemu-img create -q -f qcow2 -u -b //dev/fdset/1 -F qcow2 mid.img 8M
    qemu-img create -q -f qcow2 -u -b //dev/fdset/2 -F qcow2 top.img 8M
    succeeds qemu-io -c 'write -P 0xb1 1M 64k' base.img
    io_written mid.img -c 'write -P 0xb2 2M 1M'
    io_written top.img -c 'write -P 0xb3 4M 64k'
    : >guest.log
    succeeds fdsetctl add --set 1 base.img
    succeeds fdsetctl add --set 2 mid.img
    # -drive, without a node's name, tries it read-only first.
    succeeds fdsetctl add --set 3 --read-only --read-write top.img
}

# io_written IMAGE COMMAND...: without its backing file.
io_written() {
    local image=$1
    shift
    succeeds qemu-io "$@" --image-opts "driver=qcow2,file.filename=$image,backing="
}

file_node() {
    echo "\"driver\": \"file\", \"filename\": \"//dev/fdset/$1\""
}

# chain_options FORM: the words after --blockdev, or -drive, into options; the
# chain's nodes are top, mid, base or named by QEMU.
chain_options() {
    local image='"driver": "qcow2"'
    case $1 in
    nodes)
        options=(
            --blockdev "{$(file_node 1), \"node-name\": \"base-file\", \"auto-read-only\": true}"
            --blockdev "{$image, \"node-name\": \"base\", \"file\": \"base-file\", \"read-only\": true, \"backing\": null}"
            --blockdev "{$(file_node 2), \"node-name\": \"mid-file\", \"auto-read-only\": true}"
            --blockdev "{$image, \"node-name\": \"mid\", \"file\": \"mid-file\", \"read-only\": true, \"backing\": \"base\"}"
            --blockdev "{$(file_node 3), \"node-name\": \"top-file\"}"
            --blockdev "{$image, \"node-name\": \"top\", \"file\": \"top-file\", \"backing\": \"mid\"}")
        ;;
    inline)
        options=(--blockdev "{$image, \"node-name\": \"top\", \"file\": {$(file_node 3)}, \"backing\":
            {$image, \"node-name\": \"mid\", \"file\": {$(file_node 2)}, \"backing\":
            {$image, \"node-name\": \"base\", \"file\": {$(file_node 1)}, \"backing\": null}}}")
        ;;
    header)
        options=(--blockdev "{$image, \"node-name\": \"top\", \"file\": {$(file_node 3)}}")
        ;;
    drive)
        options=(-drive "if=none,id=top,format=qcow2,file=//dev/fdset/3")
        ;;
    esac
}

# commit_arguments FORM WHAT: by nodes, or by the names of files.
commit_arguments() {
    local base='"base-node": "base"' mid='"top-node": "mid", '
    case $1 in
    header | drive) base='"base": "//dev/fdset/1"' mid='"top": "//dev/fdset/2", ' ;;
    esac
    [ "$2" = mid ] || mid=''
    # Slowly, so that the guest writes meanwhile.
    echo "{\"device\": \"top\", $mid$base, \"job-id\": \"job\", \"speed\": 65536}"
}

# ------------------------------------------------- what runs on top of them

system_start() {
    qemu_start qemu-system-x86_64 -accel tcg -m 32 -nodefaults -no-user-config -display none \
        -qmp stdio -chardev file,id=serial,path=guest.log -serial chardev:serial \
        "${options[@]/#--/-}" -device virtio-blk-pci,drive=top
}

system_goes_on() {
    guest_goes_on 20
}

# The storage daemon has no guest, but clients.
daemon_start() {
    qemu_storage_daemon_start "${options[@]}" \
        --nbd-server "addr.type=unix,addr.path=nbd" \
        --export type=nbd,id=export,node-name=top,name=disk,writable=on
    round=0
}

daemon_goes_on() {
    round=$((round + 1))
    succeeds qemu-io -f raw -c "write -P $round 6M 64k" -c "write -P $round $((6400 + round * 4))k 4k" \
        -c "read -P $round 6M 64k" "nbd:unix:$PWD/nbd:exportname=disk"
}

# base_and_top_merge WHAT: the guest's disk as it is in the files, into disk.raw.
base_and_top_merge() {
    local base='driver=qcow2,file.filename=base.img'
    [ "$1" = active ] || base="driver=qcow2,file.filename=top.img,backing.driver=qcow2,backing.file.filename=base.img"
    succeeds qemu-img convert -O raw --image-opts "$base" disk.raw
}

disk_check() {
    base_and_top_merge "$2"
    succeeds qemu-io -r -f raw -c 'read -P 0xb1 1M 64k' -c 'read -P 0xb2 2M 1M' \
        -c 'read -P 0xb3 4M 64k' disk.raw
    succeeds qemu-io -r -c 'read -P 0xb2 2M 1M' base.img
    succeeds qemu-img check base.img
    case $1 in
    system) told_is_found disk.raw ;;
    daemon)
        succeeds qemu-io -r -f raw -c "read -P $round 6M 64k" disk.raw
        while ((round--)); do
            succeeds qemu-io -r -f raw -c "read -P $((round + 1)) $((6404 + round * 4))k 4k" disk.raw
        done
        ;;
    esac
}

# --------------------------------------------------------------- the scenario

job_is_running() {
    qemu_does query-block-jobs
    [[ $qmp_reply == *'"device": "job"'* ]] || fail "the job has ended already: $qmp_reply"
}

# commit PROGRAM FORM WHAT
test_commit() {
    local options arguments round
    helper_start
    chain_make
    chain_options "$2"
    arguments=$(commit_arguments "$2" "$3")
    "$1_start"
    "$1_goes_on"
    leases_are 1 read-only
    leases_are 2 read-only
    leases_are 3 read-write
    qemu_refuses 'Permission denied' block-commit "$arguments"
    "$1_goes_on"
    leases_are 1 read-only

    succeeds fdsetctl add --set 1 --read-write base.img
    qemu_does block-commit "$arguments"
    leases_are 1 read-write
    "$1_goes_on"
    job_is_running
    qemu_does block-job-set-speed '{"device": "job", "speed": 0}'
    job_finish
    "$1_goes_on"
    case $3 in
    mid) leases_are 1 read-only ;;
    active) leases_are 1 read-write ;;
    esac
    qemu_quit
    opens_equal_closes
    disk_check "$1" "$3"
}

rows=()
for form in nodes inline header drive; do
    [ "$1 $form" != 'daemon drive' ] || continue
    rows+=("test_commit $1 $form mid" "test_commit $1 $form active")
done
run_tests "${rows[@]}"
