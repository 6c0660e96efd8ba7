/* SPDX-License-Identifier: MIT */
/* The numbers of the contract: the most that fdset.proto lets anybody send or ask for.
 * Helper and library keep them, and so can programs: what is longer, or more, is refused. */
#pragma once

/* One packet, either way, in bytes. AddFds of 250 members with labels of 40 bytes fits, and
 * a socket's default buffers hold a dozen. */
#define FDSET_MAX_PACKET_BYTES 16384

/* Descriptors of one packet, and with that members of one call. The kernel's SCM_MAX_FD: more
 * is EINVAL. */
#define FDSET_MAX_DESCRIPTORS 253

/* Opens of one packet: as many as fit in one reply with their descriptors and some words. */
#define FDSET_MAX_OPENS 250

/* A VMM's name, and an owner's label, in bytes of printable ASCII. */
#define FDSET_MAX_NAME_BYTES 63

/* A set's name, in bytes of UTF-8. */
#define FDSET_MAX_SET_NAME_BYTES 255

/* A member's label, in bytes of UTF-8. */
#define FDSET_MAX_OPAQUE_BYTES 255

/* How long an open or a removal waits: an hour. */
#define FDSET_MAX_WAIT_MS 3600000
