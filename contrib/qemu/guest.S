/* SPDX-License-Identifier: MIT */
/* The smallest guest that shows a disk at work: one boot sector that uses its
 * own disk for ever and says so on the serial port. For contrib/demo and the
 * tests; it needs no kernel, no driver and a second to boot under tcg.
 *
 *     as --32 -o guest.o guest.S
 *     ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o guest.bin guest.o
 *
 * What it leaves on the disk can be checked from outside (LBA of 512 bytes):
 *
 *     0           this program
 *     32          bytes 'G' (0x47), written once at boot: the guest was here
 *     64 .. 127   a ring: round N, counted from 1, fills sector 64 + N % 64
 *                 with 128 times the number N (32 bits, little-endian)
 *
 * Each round writes its sector, reads it back into other memory and compares.
 * Then comes a '.' on the first serial port; after an error an 'E', and the
 * guest stops for good. So the serial log's length is the number of rounds,
 * and the highest number in the ring is the same, or one more where the
 * machine was stopped between the disk and the dot.
 *
 * The BIOS's int 13h (extended read and write) serves IDE, virtio-blk and
 * virtio-scsi alike. */

    .set marker_lba, 32
    .set ring_lba, 64
    .set ring_size, 64          /* a power of two */
    .set written, 0x8000        /* memory that is written to the disk */
    .set read_back, 0x9000      /* memory that is read into */
    .set longs, 128             /* 32-bit words in a sector */
    .set serial, 0x3f8

    .code16
    .globl _start
_start:
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x7c00, %sp
    movb %dl, drive             /* the BIOS says which disk it booted from */
    cld

    movl $0x47474747, %eax
    movl $marker_lba, packet_lba
    call sector_fill
    call sector_write

    xorl %ebp, %ebp
round:
    incl %ebp
    movl %ebp, %eax
    andl $(ring_size - 1), %eax
    addl $ring_lba, %eax
    movl %eax, packet_lba
    movl %ebp, %eax
    call sector_fill
    call sector_write

    movw $read_back, packet_memory
    movb $0x42, %ah
    call disk
    movw $written, %si
    movw $read_back, %di
    movw $longs, %cx
    repe cmpsl
    jne failed

    movb $'.', %al
    call print
    jmp round

/* Fills the memory to write with EAX. */
sector_fill:
    movw $written, %di
    movw $longs, %cx
    rep stosl
    ret

sector_write:
    movw $written, packet_memory
    movw $0x4300, %ax           /* write, without the BIOS's own verifying */
/* int 13h, function AH, as the packet says. Does not return on an error. */
disk:
    movb drive, %dl
    movw $packet, %si
    int $0x13
    jc failed
    ret

/* Prints AL, once the port has room for it. */
print:
    movb %al, %bl
    movw $(serial + 5), %dx
1:  inb %dx, %al
    testb $0x20, %al
    jz 1b
    movw $serial, %dx
    movb %bl, %al
    outb %al, %dx
    ret

failed:
    movb $'E', %al
    call print
1:  hlt
    jmp 1b

drive:
    .byte 0

    .balign 4
packet:                         /* the BIOS's "disk address packet" */
    .byte 16, 0
    .word 1                     /* sectors */
packet_memory:
    .word 0, 0                  /* offset, segment */
packet_lba:
    .long 0, 0

    .org 510
    .word 0xaa55                /* this is a boot sector */
