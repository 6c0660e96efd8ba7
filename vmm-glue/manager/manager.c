/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fdset/manager.h>

#include "duplicates.h"
#include "manager/listing.h"
#include "manager/manager.h"
#include "wire/connection.h"
#include "wire/failure.h"

/* ------------------------------------------------------- beginning and end */

int fdset_manager_attach_fd_as(struct fdset_manager **manager, int socket,
                               const struct fdset_manager_options *options) {
    NO_CANCELLATION;
    static const struct fdset_manager_options defaults;
    if (!options)
        options = &defaults;
    *manager = NULL;
    struct fdset_manager *new = calloc(1, sizeof(*new));
    if (!new) {
        close(socket);
        return fail(ENOMEM, "out of memory");
    }
    int error = connection_open(&new->connection, socket, FDSET__V1__ROLE__ROLE_MANAGER,
                                options->name, options->owner);
    if (error)
        free(new);
    else
        *manager = new;
    return error;
}

int fdset_manager_attach_fd(struct fdset_manager **manager, int socket, const char *name) {
    return fdset_manager_attach_fd_as(manager, socket,
                                      &(struct fdset_manager_options){.name = name});
}

int fdset_manager_connect_as(struct fdset_manager **manager, const char *path,
                             const struct fdset_manager_options *options) {
    NO_CANCELLATION;
    *manager = NULL;
    int socket = connection_dial(path, 0);
    int error = socket < 0 ? socket : fdset_manager_attach_fd_as(manager, socket, options);
    if (!error)
        error = connection_remember(&(*manager)->connection, path, options ? options->name : NULL,
                                    options ? options->owner : NULL);
    if (error && *manager) {
        fdset_manager_free(*manager);
        *manager = NULL;
    }
    return error;
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
    connection_close(&manager->connection);
    free(manager->events);
    free(manager);
}

/* --------------------------------------------------------------------- add */

/* An AddFds with all that it points to. */
struct add_message {
    size_t member_count;
    Fdset__V1__AddFds body;
    Fdset__V1__NewMembers sets[FDSET_MAX_DESCRIPTORS];
    Fdset__V1__NewMembers *set_pointers[FDSET_MAX_DESCRIPTORS];
    Fdset__V1__NewMember members[FDSET_MAX_DESCRIPTORS];
    Fdset__V1__NewMember *member_pointers[FDSET_MAX_DESCRIPTORS];
    int descriptors[FDSET_MAX_DESCRIPTORS];
};

static int add_check(const struct fdset_add *sets, size_t count) {
    size_t members = 0;
    if (count == 0)
        return fail(EINVAL, "no set to add to is given");
    for (size_t i = 0; i < count; i++) {
        if (sets[i].set < 0 && sets[i].set != FDSET_NEW_SET)
            return fail(EINVAL, "a set's number is 0 to 2147483647, not %d", sets[i].set);
        if (sets[i].member_count == 0)
            return fail(EINVAL, "no member is given to add to a set");
        if (sets[i].member_count > FDSET_MAX_DESCRIPTORS - members)
            return fail(E2BIG, "one call adds at most %d descriptors", FDSET_MAX_DESCRIPTORS);
        members += sets[i].member_count;
    }
    return 0;
}

static int member_write(struct add_message *message, const struct fdset_member *member) {
    size_t index = message->member_count;
    Fdset__V1__NewMember *to = &message->members[index];
    if (fcntl(member->fd, F_GETFD) < 0)
        return fail(errno, "descriptor %d cannot be added: %m", member->fd);
    if (member->opaque && strlen(member->opaque) > FDSET_MAX_OPAQUE_BYTES)
        return fail(EINVAL, "the label of descriptor %d is longer than %d bytes", member->fd,
                    FDSET_MAX_OPAQUE_BYTES);
    fdset__v1__new_member__init(to);
    if (member->opaque) {
        to->label_case = FDSET__V1__NEW_MEMBER__LABEL_OPAQUE;
        to->opaque = (char *)member->opaque;
    }
    to->sharing = (Fdset__V1__Sharing)member->sharing;
    to->serves_read_only = member->serves_read_only;
    to->keep_content = member->keep_content;
    to->keep_locks = member->keep_locks;
    to->allow_socket = member->allow_socket;
    message->member_pointers[index] = to;
    message->descriptors[index] = member->fd;
    message->member_count++;
    return 0;
}

static int set_write(struct add_message *message, const struct fdset_add *set) {
    Fdset__V1__NewMembers *to = &message->sets[message->body.n_sets];
    fdset__v1__new_members__init(to);
    if (set->set != FDSET_NEW_SET) {
        to->which_case = FDSET__V1__NEW_MEMBERS__WHICH_SET;
        to->set = set->set;
    }
    to->lifetime = (Fdset__V1__Lifetime)set->lifetime;
    if (set->name)
        to->name = (char *)set->name;
    to->replace = set->replace;
    to->mixed = set->mixed;
    to->grace_ms = set->grace_ms;
    to->idle_ms = set->idle_ms;
    to->n_members = set->member_count;
    to->members = &message->member_pointers[message->member_count];
    message->set_pointers[message->body.n_sets++] = to;
    for (size_t i = 0; i < set->member_count; i++) {
        int error = member_write(message, &set->members[i]);
        if (error)
            return error;
    }
    return 0;
}

/* Checks all before it writes anything. */
static int added_read(const Fdset__V1__Added *added, struct fdset_add *sets, size_t count) {
    bool fits = added->n_sets == count;
    for (size_t i = 0; fits && i < count; i++)
        fits = added->sets[i]->n_members == sets[i].member_count;
    if (!fits)
        return fail(EPROTO, "fdset-helper's answer does not fit what was added");
    for (size_t i = 0; i < count; i++) {
        sets[i].set = added->sets[i]->set;
        for (size_t j = 0; j < sets[i].member_count; j++)
            sets[i].members[j].id = added->sets[i]->members[j];
    }
    return 0;
}

static int add_exchange(struct connection *connection, struct add_message *message,
                        struct fdset_add *sets, size_t count) {
    Fdset__V1__Request request = REQUEST(add_fds = &message->body, ADD_FDS);
    fdset__v1__add_fds__init(&message->body);
    message->body.sets = message->set_pointers;
    for (size_t i = 0; i < count; i++) {
        int error = set_write(message, &sets[i]);
        if (error)
            return error;
    }
    size_t first, second;
    if (duplicates_find(message->descriptors, message->member_count, &first, &second))
        return fail(EINVAL,
                    "descriptors %d and %d are of one open: open the file once for each member",
                    message->descriptors[first], message->descriptors[second]);
    int error = connection_call(connection, &request, message->descriptors, message->member_count,
                                FDSET__V1__REPLY__BODY_ADDED);
    if (error)
        return error;
    error = added_read(connection->reply->added, sets, count);
    connection_release(connection);
    return error;
}

/* The kernel, which lets no descriptor through to there, has no words for it. */
static int changes_check(const struct connection *connection) {
    if (connection->role != FDSET__V1__ROLE__ROLE_OBSERVER)
        return 0;
    return fail(EPERM, "this is an observer's socket, by which nothing can be added or removed: "
                       "use the helper's manage socket");
}

int fdset_add_fds(struct fdset_manager *manager, struct fdset_add *sets, size_t count) {
    int error = add_check(sets, count);
    if (!error)
        error = changes_check(&manager->connection);
    if (error)
        return error;
    struct add_message *message = calloc(1, sizeof(*message));
    if (!message)
        return fail(ENOMEM, "out of memory");
    error = add_exchange(&manager->connection, message, sets, count);
    free(message);
    return error;
}

/* ------------------------------------------------------------------ remove */

int fdset_remove_wait(struct fdset_manager *manager, int set, uint32_t member, unsigned wait_ms,
                      struct fdset_removed *removed) {
    Fdset__V1__RemoveFd remove = FDSET__V1__REMOVE_FD__INIT;
    Fdset__V1__Request request = REQUEST(remove_fd = &remove, REMOVE_FD);
    struct connection *connection = &manager->connection;
    int error = changes_check(connection);
    if (error)
        return error;
    remove.set = set;
    if (member) {
        remove.which_case = FDSET__V1__REMOVE_FD__WHICH_MEMBER;
        remove.member = member;
    }
    remove.patience_case = FDSET__V1__REMOVE_FD__PATIENCE_WAIT_MS;
    remove.wait_ms = wait_ms;
    error = connection_call(connection, &request, NULL, 0, FDSET__V1__REPLY__BODY_REMOVED);
    if (error)
        return error;
    const Fdset__V1__Removed *answer = connection->reply->removed;
    uint32_t members = answer->members;
    if (removed)
        *removed = (struct fdset_removed){members, answer->leases, answer->closing};
    connection_release(connection);
    return members > INT_MAX ? INT_MAX : (int)members;
}

int fdset_remove(struct fdset_manager *manager, int set, uint32_t member) {
    return fdset_remove_wait(manager, set, member, FDSET_REMOVE_WAIT_MS, NULL);
}

/* ------------------------------------------------------------------- query */

/* Is `next` further on than `place`? Pages of a faulty helper must not go on
 * for ever. */
static bool cursor_advances(const Fdset__V1__Cursor *place, const Fdset__V1__Cursor *next) {
    if (next->waiting != place->waiting) /* waiting opens come after all sets */
        return next->waiting > place->waiting;
    if (next->set != place->set)
        return next->set > place->set;
    if (next->member != place->member)
        return next->member > place->member;
    return next->lease > place->lease;
}

/* Without the fields of `next` that we do not know: they are in the buffers. */
static void cursor_copy(Fdset__V1__Cursor *place, const Fdset__V1__Cursor *next) {
    ProtobufCMessage base = place->base;
    *place = *next;
    place->base = base;
}

/* Fetches the page after `place` and moves `place` on. Returns 1 if there is
 * more, 0 if that was all, or -errno. */
static int page_fetch(struct connection *connection, Fdset__V1__Query *query,
                      Fdset__V1__Cursor *place, uint32_t *generation,
                      struct fdset_listing *listing) {
    Fdset__V1__Request request = REQUEST(query = query, QUERY);
    int error = connection_call(connection, &request, NULL, 0, FDSET__V1__REPLY__BODY_QUERY);
    if (error)
        return error;
    const Fdset__V1__QueryReply *page = connection->reply->query;
    const Fdset__V1__Cursor *next = page->next;
    int result = next != NULL;
    if (!query->after)
        *generation = connection->generation;
    if (*generation != connection->generation)
        result = fail(ECONNRESET, "fdset-helper was restarted while its sets were listed");
    else if (listing_append(listing, page) < 0)
        result = fail(ENOMEM, "out of memory");
    else if (next && query->after && !cursor_advances(place, next))
        result = fail(EPROTO, "fdset-helper's listing runs in a circle");
    else if (next)
        cursor_copy(place, next);
    query->after = place;
    connection_release(connection);
    return result;
}

static void filter_write(Fdset__V1__Query *query, const struct fdset_filter *filter) {
    if (filter->by_set) {
        query->which_case = FDSET__V1__QUERY__WHICH_SET;
        query->set = filter->set;
    }
    if (filter->name)
        query->name = (char *)filter->name;
    if (filter->owner)
        query->owner = (char *)filter->owner;
    if (filter->opaque) {
        query->label_case = FDSET__V1__QUERY__LABEL_OPAQUE;
        query->opaque = (char *)filter->opaque;
    }
    query->sandbox = filter->sandbox;
}

int fdset_query(struct fdset_manager *manager, int set, struct fdset_listing **listing) {
    struct fdset_filter filter = {.by_set = set != FDSET_ALL_SETS, .set = set};
    return fdset_query_filtered(manager, &filter, listing);
}

int fdset_query_filtered(struct fdset_manager *manager, const struct fdset_filter *filter,
                         struct fdset_listing **listing) {
    Fdset__V1__Query query = FDSET__V1__QUERY__INIT;
    Fdset__V1__Cursor place = FDSET__V1__CURSOR__INIT;
    *listing = NULL;
    if (filter)
        filter_write(&query, filter);
    struct fdset_listing *pages = listing_new();
    if (!pages)
        return fail(ENOMEM, "out of memory");
    uint32_t generation = 0;
    int more;
    do {
        more = page_fetch(&manager->connection, &query, &place, &generation, pages);
    } while (more > 0);
    /* The set may go while its pages are read; then that was all of it. */
    if (more == -ENOENT && pages->count > 0)
        more = 0;
    if (more < 0)
        fdset_listing_free(pages);
    else
        *listing = pages;
    return more;
}
