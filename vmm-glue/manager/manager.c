/* SPDX-License-Identifier: MIT */
/* A manager's object: its beginning, its end, and what there is to know of it. */
#include "manager/manager.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "wire/failure.h"
#include "wire/handshake.h"
#include "wire/poll.h"
#include "wire/reconnect.h"
#include "wire/requests.h"

/* Consumes `socket`, or fails as connection_dial() has, which has returned it. */
static int manager_new(struct fdset_manager **manager, int socket, const char *path,
                       const struct fdset_manager_options *options) {
    struct fdset_manager_options ours = {0};
    struct fdset_manager *new = calloc(1, sizeof(*new));
    int error = new ? 0 : fail(ENOMEM, "out of memory");

    *manager = NULL;
    if (!error && options)
        error = SIZED_TAKE(&ours, options);
    if (error) {
        close(socket);
        free(new);
        return error;
    }
    struct identity identity = {FDSET__V1__ROLE__ROLE_MANAGER, path, ours.name, ours.owner};
    error = connection_open(&new->connection, socket, &identity);
    if (error)
        free(new);
    else
        *manager = new;
    return error;
}

int fdset_manager_attach_fd_as(struct fdset_manager **manager, int socket,
                               const struct fdset_manager_options *options) {
    NO_CANCELLATION;

    return manager_new(manager, connection_adopt(socket), NULL, options);
}

int fdset_manager_attach_fd(struct fdset_manager **manager, int socket, const char *name) {
    return fdset_manager_attach_fd_as(manager, socket,
                                      &(struct fdset_manager_options){.name = name});
}

int fdset_manager_connect_as(struct fdset_manager **manager, const char *path,
                             const struct fdset_manager_options *options) {
    NO_CANCELLATION;

    *manager = NULL;
    return manager_new(manager, connection_dial(path, true), path, options);
}

int fdset_manager_set_reconnect(struct fdset_manager *manager,
                                const struct fdset_reconnect *reconnect) {
    return connection_set_reconnect(&manager->connection, reconnect);
}

int fdset_manager_connect(struct fdset_manager **manager, const char *path, const char *name) {
    return fdset_manager_connect_as(manager, path, &(struct fdset_manager_options){.name = name});
}

int fdset_manager_socket(const struct fdset_manager *manager) {
    return manager->connection.socket;
}

void fdset_manager_helper_info(struct fdset_manager *manager, struct fdset_helper_info *info) {
    *info = (struct fdset_helper_info){0};
    if (connection_foreign(&manager->connection))
        return;
    pthread_mutex_lock(&manager->connection.lock);
    *info = manager->connection.helper;
    pthread_mutex_unlock(&manager->connection.lock);
}

int fdset_manager_poll_fd(struct fdset_manager *manager) {
    return connection_poll_fd(&manager->connection);
}

void fdset_manager_free(struct fdset_manager *manager) {
    NO_CANCELLATION;

    if (!manager)
        return;
    requests_cancel(&manager->connection);
    connection_close(&manager->connection);
    free(manager->events);
    free(manager);
}
