#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A real guest: Debian's kernel on a chain of three images, and its kernel and
# initramfs from sets as well. It writes files while the middle image is committed
# into the base; then it, and the host, look at every byte.
# shellcheck disable=SC2317,SC2119,SC2154,SC2015,SC2016
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

here=$(cd "$(dirname "$0")" && pwd)
modules="virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk"

# ------------------------------------------------------------ what it takes

# download PACKAGE...: into the current directory; with new package lists if need be.
download() {
    apt-get -q download "$@" 2>>apt.log && return
    local sudo=''
    [ "$(id -u)" = 0 ] || sudo='sudo -n'
    $sudo apt-get -q -o DPkg::Lock::Timeout=120 update >>apt.log 2>&1
    apt-get -q download "$@" >>apt.log 2>&1
}

# kernel_packages: the one with a version in its name; in later releases it is empty, and
# depends on those that have the kernel and its modules.
kernel_packages() {
    local image
    image=$(apt-cache depends linux-image-cloud-amd64 |
        sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | grep -m 1 .) && echo "$image" &&
        apt-cache depends "$image" | sed -n 's/^ *Depends: \(linux-\(binary\|modules\)-[0-9].*\)/\1/p'
}

cannot_download() {
    local why
    why=$(tail -n 1 apt.log)
    cd .. # where the skip is looked for
    skip "cannot download $1: $why"
}

# unpack PACKAGE PATTERN...: those files of the package that was downloaded.
unpack() {
    local package=$1
    shift
    dpkg --fsys-tarfile "$package"_*.deb | tar -x -C unpacked --wildcards "$@"
}

# Debian's kernel and busybox, unpacked once and kept in the build directory, never
# installed: $linux/vmlinuz, $linux/busybox, $linux/NAME.ko.
linux_fetch() {
    local kernels package module files=()
    linux=$FDSET_BUILD/linux
    [ ! -e "$linux" ] || return 0
    [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || skip "no Debian amd64 to take a kernel from"
    mkdir fetch && cd fetch || fail "no directory"
    download busybox-static || cannot_download busybox-static
    # The first time may have brought new package lists.
    for _ in 1 2; do
        kernels=$(kernel_packages) && download $kernels && break
        kernels=''
    done
    [ "$kernels" ] || cannot_download "Debian's kernel"
    # Later releases have busybox below /usr, compress their modules, and have some of them
    # built in: tar tells of what it does not find.
    for module in $modules; do
        files+=("*/$module.ko*")
    done
    mkdir linux unpacked
    unpack busybox-static '*/bin/busybox' || fail "no busybox in its package"
    for package in $kernels; do
        unpack "$package" '*/vmlinuz*' "${files[@]}" 2>>unpack.log || true
    done
    find unpacked -name '*.xz' -exec xz -d {} +
    find unpacked -name 'vmlinuz*' -exec mv {} linux/vmlinuz \;
    find unpacked -type f -exec mv -t linux {} +
    [ -e linux/vmlinuz ] || fail "not what a kernel should have: $(cat unpack.log)"
    # All of it or nothing.
    cd .. && mv fetch/linux "$linux.$$" && mv -T "$linux.$$" "$linux" || fail "cannot keep it in $linux"
}

initramfs_make() {
    local module files=()
    for module in $modules; do
        [ ! -e "$linux/$module.ko" ] || files+=("modules/$module.ko=$linux/$module.ko")
    done
    succeeds "$here/initramfs.py" "init=$here/linux-init" "bin/busybox=$linux/busybox" "${files[@]}" >initramfs
}

# ------------------------------------------------------------------- guest

# base <- mid <- top in sets 1 to 3, each with an area of 8 MiB of its own, after 32
# MiB for a file system. Only the top can be written to.
chain_make() {
    truncate -s 64M disk.raw
    succeeds "$linux/busybox" mke2fs -F disk.raw 32768 >mke2fs.log
    succeeds qemu-io -f raw -c 'write -P 0xb1 32M 8M' disk.raw
    qemu-img convert -O qcow2 disk.raw base.img
    qemu-img create -q -f qcow2 -b base.img -F qcow2 mid.img
    qemu-img create -q -f qcow2 -b mid.img -F qcow2 top.img
    succeeds qemu-io -c 'write -P 0xb2 40M 8M' mid.img
    succeeds qemu-io -c 'write -P 0xb3 48M 8M' top.img
    succeeds fdsetctl add --set 1 base.img
    succeeds fdsetctl add --set 2 mid.img
    succeeds fdsetctl add --set 3 --read-write top.img
    succeeds fdsetctl add --set 4 "$linux/vmlinuz"
    succeeds fdsetctl add --set 5 initramfs
}

guest_start() {
    local image='"driver": "qcow2"' file='"driver": "file", "filename": "//dev/fdset'
    mkfifo console.in console.out
    exec {guest_in}<>console.in {guest_out}<>console.out
    qemu_start qemu-system-x86_64 -machine pc -accel tcg -m 128 -nodefaults -no-user-config -display none \
        -no-reboot -qmp stdio -kernel //dev/fdset/4 -initrd //dev/fdset/5 \
        -append 'console=ttyS0 quiet panic=-1 tsc=unstable' \
        -chardev file,id=log,path=console.log -serial chardev:log \
        -chardev pipe,id=console,path=console -serial chardev:console \
        -blockdev "{$file/1\", \"node-name\": \"base-file\", \"auto-read-only\": true}" \
        -blockdev "{$image, \"node-name\": \"base\", \"file\": \"base-file\", \"read-only\": true, \"backing\": null}" \
        -blockdev "{$file/2\", \"node-name\": \"mid-file\", \"auto-read-only\": true}" \
        -blockdev "{$image, \"node-name\": \"mid\", \"file\": \"mid-file\", \"read-only\": true, \"backing\": \"base\"}" \
        -blockdev "{$file/3\", \"node-name\": \"top-file\"}" \
        -blockdev "{$image, \"node-name\": \"top\", \"file\": \"top-file\", \"backing\": \"mid\"}" \
        -device virtio-blk-pci,drive=top
    guest_answers ready
}

# guest_answers STATUS: what the guest says before that goes to $said.
guest_answers() {
    local line part='' patience=60
    said=''
    while ((patience--)); do
        if ! IFS= read -r -t 5 -u "$guest_out" line; then
            part+=$line # of a line that goes on
            kill -0 "$qemu" 2>/dev/null || break
            continue
        fi
        line=${part}${line%$'\r'} part=''
        if [[ $line == '= '* ]]; then
            equal "= $1" "$line" "the guest's answer"
            return
        fi
        said+=$line
    done
    fail "the guest does not answer: $(tail -n 20 console.log)"
}

# guest COMMAND: runs it there; it must succeed.
guest() {
    echo "$1" >&"$guest_in"
    guest_answers 0
}

# checksum_of OCTAL: of 8 MiB of that byte.
checksum_of() {
    head -c 8M /dev/zero | tr '\0' "\\$1" | sha256sum | cut -d ' ' -f 1
}

test_commit_while_linux_writes() {
    local said guest_in guest_out area sum
    linux_fetch
    helper_start
    initramfs_make
    chain_make
    guest_start
    leases_are 4
    leases_are 5
    guest 'mount /dev/vda /mnt'
    guest 'write_on & writer=$!'
    guest 'has_written 3'

    # Slowly: for as long as the guest writes.
    local commit='{"device": "top", "top-node": "mid", "base-node": "base", "job-id": "job", "speed": 65536}'
    qemu_refuses 'Permission denied' block-commit "$commit"
    succeeds fdsetctl add --set 1 --read-write base.img
    qemu_does block-commit "$commit"
    guest 'has_written 5'
    leases_are 1 read-write
    qemu_does query-block-jobs
    [[ $qmp_reply == *'"device": "job"'* ]] || fail "the job has ended already: $qmp_reply"
    qemu_does block-job-set-speed '{"device": "job", "speed": 0}'
    job_finish
    leases_are 1 read-only
    qemu_does blockdev-del '{"node-name": "mid"}'
    qemu_does blockdev-del '{"node-name": "mid-file"}'
    leases_are 2
    guest 'has_written 3'
    guest 'touch /stop; wait $writer; cd /mnt && sha256sum file* >/sums; cd /; umount /mnt'

    # Read again, from what is the chain now.
    guest 'echo 3 >/proc/sys/vm/drop_caches; mount -o ro /dev/vda /mnt'
    guest 'cd /mnt && sha256sum -c -s /sums && [ $(ls file* | wc -l) = $(cat /written) ]; sum=$?; cd /; umount /mnt; [ $sum = 0 ]'
    for area in '32 261' '40 262' '48 263'; do
        guest "area ${area% *} 8"
        equal "$(checksum_of "${area#* }")" "$said" "the area at ${area% *} MiB"
    done
    guest 'area 0 64'
    sum=$said
    echo 'exit' >&"$guest_in"
    qmp_wait '*"SHUTDOWN"*' || fail "the guest does not end"
    qmp_close
    wait "$qemu" || fail "QEMU ended with status $?"
    opens_equal_closes

    # The host sees the same, without the middle image.
    rm mid.img
    succeeds qemu-img convert -O raw --image-opts \
        driver=qcow2,file.filename=top.img,backing.driver=qcow2,backing.file.filename=base.img disk.raw
    equal "$sum" "$(sha256sum <disk.raw | cut -d ' ' -f 1)" "the disk, on the host"
    succeeds qemu-img check base.img
    succeeds qemu-io -r -c 'read -P 0xb1 32M 8M' -c 'read -P 0xb2 40M 8M' base.img
}

run_tests
