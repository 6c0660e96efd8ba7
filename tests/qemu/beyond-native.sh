#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What QEMU's own sets do not serve, or do not get back: files that it opens, or
# closes, by other means than its block layer's.
# shellcheck disable=SC2317,SC2119
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

test_memory_of_a_file() {
    helper_start
    truncate -s 1M memory.img
    succeeds fdsetctl add --set 1 --read-write memory.img
    qemu_system_start
    qemu_does object-add '{"qom-type": "memory-backend-file", "id": "memory", "size": 1048576,
        "share": true, "mem-path": "//dev/fdset/1"}'
    [ "$(leases 1)" -gt 0 ] || fail "nothing of set 1 was opened"
    qemu_does object-del '{"id": "memory"}'
    leases_end
    qemu_quit
    opens_equal_closes
}

test_a_secret() {
    helper_start
    echo -n 'not told to anybody' >secret
    succeeds fdsetctl add --set 1 secret
    qemu_system_start
    qemu_does object-add '{"qom-type": "secret", "id": "secret", "file": "//dev/fdset/1"}'
    qemu_does qom-get '{"path": "/objects/secret", "property": "file"}'
    qemu_quit
    equal 1 "$(total opens)" "opens"
    opens_equal_closes
}

# QEMU closes these with plain close(), which its own sets do not see: their
# leases stay for ever.
test_a_log_of_a_character_device() {
    local round
    helper_start
    : >serial.log
    succeeds fdsetctl add --set 1 --write-only serial.log
    qemu_system_start
    for ((round = 0; round < 3; round++)); do
        qemu_does chardev-add '{"id": "serial", "backend": {"type": "null", "data":
            {"logfile": "//dev/fdset/1", "logappend": true}}}'
        equal 1 "$(leases 1)" "leases"
        qemu_does chardev-remove '{"id": "serial"}'
        leases_end
    done
    qemu_quit
    opens_equal_closes
}

test_memory_and_screen() {
    local round
    helper_start
    : >dump
    : >picture
    : >bytes
    succeeds fdsetctl add --set 1 --write-only dump
    succeeds fdsetctl add --set 2 --write-only picture
    succeeds fdsetctl add --set 3 --write-only bytes
    qemu_start qemu-system-x86_64 -accel tcg -m 16 -S -nodefaults -no-user-config -display none \
        -vga std -qmp stdio
    for round in 1 2; do
        qemu_does dump-guest-memory '{"paging": false, "protocol": "file://dev/fdset/1"}'
        leases_end
        qemu_does screendump '{"filename": "//dev/fdset/2"}'
        equal P6 "$(head -c 2 picture)" "the picture's format"
        leases_end
        qemu_does screendump '{"filename": "//dev/fdset/2", "format": "png"}'
        equal PNG "$(head -c 4 picture | tail -c 3)" "the picture's format"
        leases_end
        qemu_does pmemsave '{"val": 0, "size": 4096, "filename": "//dev/fdset/3"}'
        leases_end
    done
    equal ELF "$(head -c 4 dump | tail -c 3)" "the dump's format"
    equal 4096 "$(stat -c %s bytes)" "bytes of memory"
    qemu_quit
    equal 8 "$(total opens)" "opens"
    opens_equal_closes
}

run_tests
