/* SPDX-License-Identifier: MIT */
/* Connections, all the way: a history of peers that connect, send what is a
 * request and what is none, read, close, hang up; of time that passes; of work
 * that ends late; of descriptors that run out. After each step the model's
 * invariants hold; whatever is received is what it is said to be; and at the end
 * nothing is left over.
 *
 * The input is a sequence of steps of one byte (low four bits: what; three more:
 * which peer; the highest: without a turn of the loop after it) and what the step
 * needs. */
#include "world.h"

#define MOST_STEPS 400

enum step {
    STEP_CONNECT,
    STEP_REQUEST,
    STEP_RAW,
    STEP_READ,
    STEP_READ_ONE,
    STEP_CLOSE,
    STEP_HANG_UP,
    STEP_TIME,
    STEP_SETTLE,
    STEP_STARVE,
    STEP_USE,
    STEP_FLOOD,
    STEP_SHUT_DOWN,
    STEP_GREET,
    STEP_TURN,
};

static struct world world;

/* Any bytes with any files. */
static void send_raw(struct peer *peer, struct input *input) {
    uint8_t files[16];
    size_t count = input_below(input, 17), length = input_byte(input);

    length |= (size_t)input_byte(input) << 8;
    for (size_t i = 0; i < count; i++)
        files[i] = input_byte(input);
    if (length > input->left)
        length = input->left;
    peer_send(peer, input->data, length, files, count);
    input->data += length;
    input->left -= length;
}

/* The same request again and again, which nobody reads the replies of. */
static void flood(struct peer *peer, struct input *input) {
    unsigned times = 1 + input_below(input, 64);
    struct input same = *input;

    for (unsigned i = 0; i < times; i++) {
        same = *input;
        request_send(peer, &same);
    }
    *input = same;
}

static void pass_time(struct input *input) {
    static const uint64_t times[] = {1, 4, 10, 100, 1000, 2500, 5000, 3600000};
    world_pass_time(times[input_below(input, 8)]);
}

static void greet(struct peer *peer) {
    static const uint8_t bytes[] = {0x08, 0x01, 0x1a, 0x04, 0x08, 0x01, 0x10, 0x01};
    peer_send(peer, bytes, sizeof(bytes), NULL, 0);
}

static void take_step(uint8_t step, struct input *input) {
    struct peer *peer = &world.peers[step >> 4 & 7];
    uint8_t choice;

    if ((step & 15) == STEP_CONNECT) {
        choice = input_byte(input);
        peer_connect(&world, peer, (enum role)(1 + choice % 3), choice & 0x40, choice & 0x80);
        if (!(choice & 0x20))
            greet(peer);
        return;
    }
    switch (step & 15) {
    case STEP_TIME:
        pass_time(input);
        return;
    case STEP_SETTLE:
        choice = input_byte(input);
        settle_finish(&world.service.settle, choice, choice & 0x80);
        return;
    case STEP_STARVE:
        world_turn_starved(&world, input_below(input, 4));
        return;
    }
    if (peer->socket < 0)
        return;
    switch (step & 15) {
    case STEP_REQUEST:
        request_send(peer, input);
        break;
    case STEP_RAW:
        send_raw(peer, input);
        break;
    case STEP_READ:
        peer_read(&world, peer, 1000);
        break;
    case STEP_READ_ONE:
        peer_read(&world, peer, 1);
        break;
    case STEP_CLOSE:
        peer_close_lease(peer, input_byte(input));
        break;
    case STEP_HANG_UP:
        peer_hang_up(peer);
        break;
    case STEP_USE:
        choice = input_byte(input);
        peer_use_lease(&world, peer, choice >> 4, choice);
        break;
    case STEP_FLOOD:
        flood(peer, input);
        break;
    case STEP_SHUT_DOWN:
        shutdown(peer->socket, input_byte(input) % 3);
        break;
    case STEP_GREET:
        greet(peer);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool tried;
    struct input input = {data, size};

    if (!tried)
        request_try_all();
    tried = true;
    world_begin(&world);
    for (int steps = 0; input.left > 0 && steps < MOST_STEPS; steps++) {
        uint8_t step = input_byte(&input);
        take_step(step, &input);
        if (!(step & 0x80))
            world_turn(&world);
    }
    world_end(&world);
    return 0;
}
