/* SPDX-License-Identifier: MIT */
/* Well-formed requests from few bytes each, so that the fuzzer gets deep fast.
 * What is not well-formed it makes itself, from the packets of the corpus. */
#include "world.h"

#include <fcntl.h>
#include <string.h>

#define SOME_MEMBERS 8

static const char *const names[] = {"a", "b", "disk0", "n.-_0", "", "0", "ä 9", "a/b"};

static const int open_flags[] = {
    O_RDWR,
    O_RDONLY,
    O_WRONLY,
    O_ACCMODE,
    O_RDWR | O_APPEND,
    O_RDWR | O_DIRECT,
    O_RDWR | O_SYNC,
    O_RDWR | O_DSYNC,
    O_RDWR | O_NONBLOCK,
    O_RDWR | O_NOATIME,
    O_RDWR | O_TRUNC,
    O_RDWR | O_CREAT | O_EXCL,
    O_RDONLY | O_NONBLOCK,
    O_RDWR | O_APPEND | O_NONBLOCK,
    O_RDWR | O_CREAT,
    -1,
};

static const uint32_t times[] = {0, 0, 0, 1, 100, 5000, 3600000, 3600001};

/* Room for one request at a time. */
static struct {
    char path[64], text[300];
    Fdset__V1__Open open[256], *open_pointers[256];
    Fdset__V1__NewMembers sets[4], *set_pointers[4];
    Fdset__V1__NewMember members[4][SOME_MEMBERS], *member_pointers[4][SOME_MEMBERS];
    uint64_t numbers[8];
} room;

/* Most are of a few sets, so that requests meet. */
static char *some_path(struct input *input) {
    uint8_t choice = input_byte(input);
    const char *name = names[choice % 8];

    if (choice < 0xa0)
        snprintf(room.path, sizeof(room.path), "/dev/fdset/%u", choice % 6);
    else if (choice < 0xf0)
        snprintf(room.path, sizeof(room.path), "/dev/fdset/%s", name);
    else
        snprintf(room.path, sizeof(room.path), "%s%u", name, choice);
    return room.path;
}

static char *some_label(struct input *input) {
    uint8_t choice = input_byte(input);
    size_t length = choice & 0x80 ? 24 + (choice & 0x7f) * 2u : choice & 3;

    memset(room.text, 'a' + (choice & 3), length);
    room.text[length] = '\0';
    return room.text;
}

static void fill_hello(Fdset__V1__Hello *hello, struct input *input) {
    uint8_t choice = input_byte(input);

    hello->version = choice & 1 ? choice >> 4 : 1;
    hello->features = choice & 0x40 ? 0 : ~UINT64_C(0);
    hello->owner = choice & 2 ? (char *)names[choice >> 2 & 7] : hello->owner;
    hello->name = choice & 0x80 ? some_label(input) : hello->name;
}

static void fill_open(Fdset__V1__Open *open, struct input *input) {
    uint8_t choice = input_byte(input);

    open->path = some_path(input);
    open->flags = (uint32_t)open_flags[choice & 15];
    open->wait_ms = times[choice >> 4 & 7];
}

/* One path in all of them, which is what fits into `room`. */
static void fill_open_many(Fdset__V1__OpenMany *many, struct input *input) {
    uint8_t count = input_byte(input);

    many->n_opens = count & 0x80 ? count : count & 7;
    many->opens = room.open_pointers;
    for (size_t i = 0; i < many->n_opens; i++) {
        fdset__v1__open__init(&room.open[i]);
        room.open_pointers[i] = &room.open[i];
        if (i < 2)
            fill_open(&room.open[i], input);
        else
            room.open[i] = room.open[i - 2];
    }
}

static void fill_close(Fdset__V1__Close *closed, struct input *input) {
    closed->n_leases = input_below(input, 8);
    closed->leases = room.numbers;
    for (size_t i = 0; i < closed->n_leases; i++)
        room.numbers[i] = input_byte(input);
}

static void fill_member(Fdset__V1__NewMember *member, struct input *input) {
    uint8_t choice = input_byte(input);

    member->sharing = (Fdset__V1__Sharing)(choice & 3);
    member->serves_read_only = choice & 4;
    member->keep_content = choice & 8;
    member->keep_locks = choice & 16;
    member->allow_socket = choice & 32;
    if (choice & 64) {
        member->label_case = FDSET__V1__NEW_MEMBER__LABEL_OPAQUE;
        member->opaque = some_label(input);
    }
}

static void fill_set(Fdset__V1__NewMembers *set, struct input *input) {
    uint8_t choice = input_byte(input), more = input_byte(input);

    if (choice & 0xf) {
        set->which_case = FDSET__V1__NEW_MEMBERS__WHICH_SET;
        set->set = (choice & 0xf) == 15 ? -1 : (choice & 0xf) - 1;
    }
    if (choice & 0x10)
        set->name = (char *)names[more & 7];
    set->replace = choice & 0x20;
    set->mixed = choice & 0x40;
    set->lifetime = (Fdset__V1__Lifetime)(more >> 3 & 7);
    set->grace_ms = times[more >> 5];
    set->idle_ms = times[more >> 5];
}

/* Returns how many descriptors go with it; their kinds are in `files`. */
static size_t fill_add(Fdset__V1__AddFds *add, struct input *input, uint8_t *files) {
    size_t count = 0;

    add->n_sets = input_below(input, 5);
    add->sets = room.set_pointers;
    for (size_t i = 0; i < add->n_sets; i++) {
        Fdset__V1__NewMembers *set = &room.sets[i];
        fdset__v1__new_members__init(set);
        room.set_pointers[i] = set;
        fill_set(set, input);
        set->n_members = input_below(input, SOME_MEMBERS);
        set->members = room.member_pointers[i];
        for (size_t j = 0; j < set->n_members; j++) {
            fdset__v1__new_member__init(&room.members[i][j]);
            room.member_pointers[i][j] = &room.members[i][j];
            fill_member(&room.members[i][j], input);
            files[count++] = input_byte(input);
        }
    }
    return count;
}

static void fill_query(Fdset__V1__Query *query, Fdset__V1__Cursor *after, struct input *input) {
    uint8_t choice = input_byte(input);

    if (choice & 1) {
        query->which_case = FDSET__V1__QUERY__WHICH_SET;
        query->set = input_below(input, 7) - 1;
    }
    query->name = choice & 2 ? (char *)names[choice >> 5] : query->name;
    query->owner = choice & 4 ? (char *)names[choice >> 5] : query->owner;
    if (choice & 8) {
        query->label_case = FDSET__V1__QUERY__LABEL_OPAQUE;
        query->opaque = some_label(input);
    }
    query->sandbox = choice & 16;
    if (choice & 32) {
        query->after = after;
        after->set = input_below(input, 7);
        after->member = input_byte(input);
        after->lease = input_byte(input);
        after->waiting = input_byte(input);
    }
}

static void fill_subscribe(Fdset__V1__Subscribe *subscribe, struct input *input) {
    static Fdset__V1__EventKind kinds[4];

    subscribe->all = input_byte(input) & 1;
    subscribe->n_kinds = input_below(input, 5);
    subscribe->kinds = kinds;
    for (size_t i = 0; i < subscribe->n_kinds; i++)
        kinds[i] = (Fdset__V1__EventKind)input_below(input, 13);
}

/* A body of which nothing is known but its fields' names and types. */
static void fill_any(ProtobufCMessage *body, struct input *input) {
    const ProtobufCMessageDescriptor *type = body->descriptor;

    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        void *value = (uint8_t *)body + field->offset;
        /* What has more to it than this knows needs a function of its own above. */
        CHECK(field->label != PROTOBUF_C_LABEL_REPEATED);
        switch (field->type) {
        case PROTOBUF_C_TYPE_STRING:
            *(char **)value = some_path(input);
            break;
        case PROTOBUF_C_TYPE_UINT64:
            *(uint64_t *)value = input_byte(input);
            break;
        case PROTOBUF_C_TYPE_UINT32:
        case PROTOBUF_C_TYPE_INT32:
        case PROTOBUF_C_TYPE_BOOL:
            *(uint32_t *)value = input_below(input, 8);
            break;
        default:
            CHECK(!"a field of a type that no request had");
        }
    }
}

/* All that a Request can have as its body, in their order. */
#define BODIES (fdset__v1__request__descriptor.fields + 2)
#define KINDS  (fdset__v1__request__descriptor.n_fields - 2)

/* The first ten, and now and then one of those that came later. */
static const ProtobufCFieldDescriptor *choose_body(uint8_t choice) {
    return &BODIES[choice < 250 ? choice % 10u : 10 + (choice - 250u) % (KINDS - 10)];
}

static size_t fill_request(Fdset__V1__Request *request, const ProtobufCFieldDescriptor *field,
                           uint8_t choice, struct input *input, uint8_t *files) {
    static union {
        ProtobufCMessage base;
        Fdset__V1__Hello hello;
        Fdset__V1__Open open;
        Fdset__V1__OpenMany many;
        Fdset__V1__Close close;
        Fdset__V1__AddFds add;
        Fdset__V1__RemoveFd remove;
        Fdset__V1__Query query;
        Fdset__V1__Subscribe subscribe;
        uint64_t others[16];
    } body;
    static Fdset__V1__Cursor after;

    request->body_case = (Fdset__V1__Request__BodyCase)field->id;
    request->hello = &body.hello; /* or what it is */
    CHECK(((const ProtobufCMessageDescriptor *)field->descriptor)->sizeof_message <= sizeof(body));
    protobuf_c_message_init(field->descriptor, &body.base);
    fdset__v1__cursor__init(&after);
    switch (request->body_case) {
    case FDSET__V1__REQUEST__BODY_HELLO:
        fill_hello(&body.hello, input);
        break;
    case FDSET__V1__REQUEST__BODY_OPEN:
        fill_open(&body.open, input);
        break;
    case FDSET__V1__REQUEST__BODY_OPEN_MANY:
        fill_open_many(&body.many, input);
        break;
    case FDSET__V1__REQUEST__BODY_CLOSE:
        fill_close(&body.close, input);
        break;
    case FDSET__V1__REQUEST__BODY_ADD_FDS:
        return fill_add(&body.add, input, files);
    case FDSET__V1__REQUEST__BODY_REMOVE_FD:
        body.remove.set = input_below(input, 8) - 1;
        body.remove.which_case = choice & 0x80 ? FDSET__V1__REMOVE_FD__WHICH_MEMBER : 0;
        body.remove.member = choice & 0x80 ? input_byte(input) : 0;
        break;
    case FDSET__V1__REQUEST__BODY_QUERY:
        fill_query(&body.query, &after, input);
        break;
    case FDSET__V1__REQUEST__BODY_SUBSCRIBE:
        fill_subscribe(&body.subscribe, input);
        break;
    default:
        fill_any(&body.base, input);
    }
    return 0;
}

void request_try_all(void) {
    Fdset__V1__Request request = FDSET__V1__REQUEST__INIT;
    uint8_t files[4 * SOME_MEMBERS];

    for (unsigned i = 0; i < KINDS; i++)
        fill_request(&request, &BODIES[i], 0, &(struct input){.left = 0}, files);
}

void request_send(struct peer *peer, struct input *input) {
    static uint8_t bytes[FDSET_MAX_PACKET_BYTES];
    Fdset__V1__Request request = FDSET__V1__REQUEST__INIT;
    uint8_t files[4 * SOME_MEMBERS];

    request.serial = ++peer->serial;
    uint8_t choice = input_byte(input);
    size_t count = fill_request(&request, choose_body(choice), choice, input, files);
    request.descriptors = (uint32_t)count;
    int length = packet_encode(&request.base, bytes);
    if (length >= 0)
        peer_send(peer, bytes, (size_t)length, files, count);
}
