/* SPDX-License-Identifier: MIT */
/* The server's half of the Network Block Device protocol, as much of it as a client
 * needs: fixed newstyle negotiation; READ, WRITE, FLUSH and DISC. One export, whatever
 * name it is asked for by. Each client has a thread of its own, which may block. */
#include "nbd.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OPTION_BYTES   4096u       /* of an option's data: more is no client of ours */
#define TRANSFER_BYTES (32u << 20) /* of one read or write: what clients count on */

enum magic_32 { REQUEST_MAGIC = 0x25609513, REPLY_MAGIC = 0x67446698 };
#define GREETING_MAGIC     0x4e42444d41474943u /* "NBDMAGIC" */
#define OPTION_MAGIC       0x49484156454f5054u /* "IHAVEOPT" */
#define OPTION_REPLY_MAGIC 0x0003e889045565a9u

enum handshake_flag { FIXED_NEWSTYLE = 1, NO_ZEROES = 2 };
enum option { EXPORT_NAME = 1, ABORT = 2, INFO = 6, GO = 7 };
#define OPTION_ACK         1u
#define OPTION_INFO        3u
#define OPTION_UNSUPPORTED 0x80000001u
#define OPTION_INVALID     0x80000003u
enum export_flag { HAS_FLAGS = 1, READ_ONLY = 2, SEND_FLUSH = 4, SEND_FUA = 8 };
enum command { READ = 0, WRITE = 1, DISCONNECT = 2, FLUSH = 3 };
enum command_flag { FUA = 1 };

#define WIRE __attribute__((packed)) /* and big-endian */

struct WIRE option_header {
    uint64_t magic;
    uint32_t option, length;
};

struct WIRE option_reply {
    uint64_t magic;
    uint32_t option, type, length;
};

struct WIRE export {
    uint64_t size;
    uint16_t flags;
};

struct WIRE nbd_request {
    uint32_t magic;
    uint16_t flags, command;
    uint64_t cookie, offset;
    uint32_t length;
};

struct WIRE nbd_reply {
    uint32_t magic, error;
    uint64_t cookie;
};

static bool take(int socket, void *bytes, size_t length) {
    return length == 0 || recv(socket, bytes, length, MSG_WAITALL) == (ssize_t)length;
}

static bool give(int socket, const void *bytes, size_t length) {
    while (length > 0) {
        ssize_t sent = send(socket, bytes, length, MSG_NOSIGNAL);
        if (sent < 0)
            return false;
        bytes = (const char *)bytes + sent;
        length -= (size_t)sent;
    }
    return true;
}

/* ------------------------------------------------------------- negotiation */

static struct export export_of(struct disk *disk) {
    int flags = HAS_FLAGS | SEND_FLUSH | SEND_FUA | (disk_is_read_only(disk) ? READ_ONLY : 0);
    return (struct export){htobe64(disk->size), htobe16((uint16_t)flags)};
}

static bool option_answer(int socket, uint32_t option, uint32_t type, const void *data,
                          size_t length) {
    struct option_reply reply = {htobe64(OPTION_REPLY_MAGIC), htobe32(option), htobe32(type),
                                 htobe32((uint32_t)length)};
    return give(socket, &reply, sizeof(reply)) && give(socket, data, length);
}

/* INFO and GO: a name's length, the name, the number of things to be told, these. */
static bool export_is_well_formed(const uint8_t *data, uint32_t length) {
    uint32_t name;
    uint16_t infos;
    if (length < sizeof(name) + sizeof(infos))
        return false;
    memcpy(&name, data, sizeof(name));
    if (be32toh(name) > length - sizeof(name) - sizeof(infos))
        return false;
    memcpy(&infos, data + sizeof(name) + be32toh(name), sizeof(infos));
    return length == sizeof(name) + be32toh(name) + sizeof(infos) * (1u + be16toh(infos));
}

static bool export_tell(int socket, struct disk *disk, uint32_t option) {
    struct WIRE {
        uint16_t type; /* 0: size and flags */
        struct export export;
    } info = {0, export_of(disk)};
    return option_answer(socket, option, OPTION_INFO, &info, sizeof(info)) &&
           option_answer(socket, option, OPTION_ACK, NULL, 0);
}

/* Negotiates until the client begins with the disk (true) or leaves. */
static bool negotiate(int socket, struct disk *disk) {
    const struct WIRE {
        uint64_t magic, option_magic;
        uint16_t flags;
    } greeting = {htobe64(GREETING_MAGIC), htobe64(OPTION_MAGIC),
                  htobe16(FIXED_NEWSTYLE | NO_ZEROES)};
    struct option_header header;
    uint8_t data[OPTION_BYTES];
    uint32_t client_flags;

    if (!give(socket, &greeting, sizeof(greeting)) ||
        !take(socket, &client_flags, sizeof(client_flags)))
        return false;
    while (take(socket, &header, sizeof(header)) && be64toh(header.magic) == OPTION_MAGIC) {
        uint32_t option = be32toh(header.option), length = be32toh(header.length);
        bool goes_on = true;
        if (length > sizeof(data) || !take(socket, data, length))
            return false;
        if (option == EXPORT_NAME) { /* has no answer, and ends the negotiation */
            static const uint8_t zeroes[124];
            struct export export = export_of(disk);
            bool padded = !(be32toh(client_flags) & NO_ZEROES);
            return give(socket, &export, sizeof(export)) &&
                   (!padded || give(socket, zeroes, sizeof(zeroes)));
        }
        if (option == ABORT)
            return option_answer(socket, option, OPTION_ACK, NULL, 0) && false;
        if (option != GO && option != INFO)
            goes_on = option_answer(socket, option, OPTION_UNSUPPORTED, NULL, 0);
        else if (!export_is_well_formed(data, length))
            goes_on = option_answer(socket, option, OPTION_INVALID, NULL, 0);
        else if (!export_tell(socket, disk, option) || option == GO)
            return option == GO;
        if (!goes_on)
            return false;
    }
    return false;
}

/* ---------------------------------------------------------------- requests */

/* NBD knows these few, with Linux' numbers. */
static uint32_t nbd_error(int error) {
    switch (-error) {
    case 0:
    case EPERM:
    case ENOMEM:
    case EINVAL:
    case ENOSPC:
        return (uint32_t)-error;
    }
    return EIO;
}

static int execute(struct disk *disk, const struct nbd_request *request, void *bytes) {
    size_t length = be32toh(request->length);
    uint64_t offset = be64toh(request->offset);
    int error;

    switch (be16toh(request->command)) {
    case READ:
        return disk_read(disk, bytes, length, offset);
    case WRITE:
        error = disk_write(disk, bytes, length, offset);
        return error || !(be16toh(request->flags) & FUA) ? error : disk_flush(disk);
    case FLUSH:
        return disk_flush(disk);
    }
    return -EINVAL;
}

/* One request. Returns false where the connection is over. */
static bool request_serve(int socket, struct disk *disk, uint8_t *bytes) {
    struct nbd_request request;
    if (!take(socket, &request, sizeof(request)) || be32toh(request.magic) != REQUEST_MAGIC)
        return false;
    uint16_t command = be16toh(request.command);
    uint32_t length = be32toh(request.length);
    if (command == DISCONNECT || length > TRANSFER_BYTES ||
        (command == WRITE && !take(socket, bytes, length)))
        return false;
    int error = execute(disk, &request, bytes);
    struct nbd_reply reply = {htobe32(REPLY_MAGIC), htobe32(nbd_error(error)), request.cookie};
    return give(socket, &reply, sizeof(reply)) &&
           (command != READ || error || give(socket, bytes, length));
}

void nbd_serve(int socket, struct disk *disk) {
    uint8_t *bytes = malloc(TRANSFER_BYTES); /* the kernel gives what is used of it */
    if (bytes && negotiate(socket, disk))
        while (request_serve(socket, disk, bytes)) {
        }
    free(bytes);
    close(socket);
}
