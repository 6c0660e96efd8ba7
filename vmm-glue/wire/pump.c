/* SPDX-License-Identifier: MIT */
/* A thread waits for something to come. */
#include "wire/pump.h"

#include <poll.h>

#include "wire/failure.h"
#include "wire/receive.h"
#include "wire/reconnect.h"
#include "wire/schedule.h"
#include "wire/waiters.h"

/* So many turns at once, though the time is over: what is there already comes with them. */
#define TURNS_AT_ONCE 64

int pump(struct connection *connection, const struct timespec *until, unsigned *turns) {
    int error = connection_check_entry(connection);

    if (error)
        return error;
    if (++*turns % TURNS_AT_ONCE == 0 && until && time_is_over(until))
        return 0;
    if (connection->broken)
        return reconnect(connection, until);
    return connection->buffers_taken ? waiters_wait(connection, until)
                                     : receive_until(connection, until);
}

/* Nobody tells of room in the socket: look again after so long. */
#define ROOM_MS 10

int pump_for_room(struct connection *connection, const struct timespec *until) {
    NO_CANCELLATION;
    struct pollfd pollfd = {connection->socket, POLLIN | POLLOUT, 0};
    struct timespec soon;
    char kept[FAILURE_BYTES];

    pthread_mutex_unlock(&connection->lock);
    int ready = poll(&pollfd, 1, connection_remaining_ms(until));
    pthread_mutex_lock(&connection->lock);
    if (ready == 0 || connection->broken || pollfd.revents & ~POLLIN)
        return ready != 0;
    failure_keep(kept);
    if (connection->buffers_taken)
        waiters_wait(connection, until && connection_remaining_ms(until) < ROOM_MS
                                     ? until
                                     : connection_until(&soon, ROOM_MS));
    else
        receive_until(connection, connection_until(&soon, 0));
    waiters_pass_on(connection);
    failure_restore(kept);
    return 1;
}
