/* SPDX-License-Identifier: MIT */
/* Adding descriptors to a helper's sets, and removing them. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "duplicates.h"
#include "feature.h"
#include "manager/manager.h"
#include "wire/failure.h"

/* The kernel, which lets no descriptor through to there, has no words for it. */
static int changes_check(struct connection *connection) {
    if (connection_inherited(connection))
        return connection_say_foreign();
    LOCKED(connection->lock);
    if (connection->role != FDSET__V1__ROLE__ROLE_OBSERVER)
        return 0;
    return fail(EPERM, "this is an observer's socket, by which nothing can be added or removed: "
                       "use the helper's manage socket");
}

/* An AddFds with all that it points to. */
struct adding {
    struct question question;                            /* first */
    struct fdset_add *their_sets[FDSET_MAX_DESCRIPTORS]; /* the caller's */
    struct fdset_member *their_members[FDSET_MAX_DESCRIPTORS];
    size_t member_count;
    Fdset__V1__AddFds body;
    Fdset__V1__NewMembers sets[FDSET_MAX_DESCRIPTORS];
    Fdset__V1__NewMembers *set_pointers[FDSET_MAX_DESCRIPTORS];
    Fdset__V1__NewMember members[FDSET_MAX_DESCRIPTORS];
    Fdset__V1__NewMember *member_pointers[FDSET_MAX_DESCRIPTORS];
    int descriptors[FDSET_MAX_DESCRIPTORS];
};

static int member_write(struct adding *adding, struct fdset_member *theirs, size_t size) {
    size_t index = adding->member_count;
    Fdset__V1__NewMember *to = &adding->members[index];
    struct fdset_member ours, *member = &ours;
    int error = sized_take(member, sizeof(*member), theirs, size);

    if (error)
        return error;
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
    adding->member_pointers[index] = to;
    adding->descriptors[index] = member->fd;
    adding->their_members[index] = theirs;
    adding->member_count++;
    return 0;
}

static int members_write(struct adding *adding, const struct fdset_add *set) {
    if (set->member_count == 0)
        return fail(EINVAL, "no member is given to add to a set");
    if (set->member_count > FDSET_MAX_DESCRIPTORS - adding->member_count)
        return fail(E2BIG, "one call adds at most %d descriptors", FDSET_MAX_DESCRIPTORS);
    size_t size = sized_stride(set->members, sizeof(*set->members));
    int error = 0;
    for (size_t i = 0; !error && i < set->member_count; i++)
        error = member_write(adding, (void *)((char *)set->members + i * size), size);
    return error;
}

/* An older helper would put it there for all, and say nothing. */
static int reservation_check(struct adding *adding, const struct fdset_add *set) {
    struct connection *connection = &adding->question.manager->connection;

    if (!set->reserved_for)
        return 0;
    LOCKED(connection->lock);
    if (connection->features & FEATURE_BIT(ENDPOINTS))
        return 0;
    return fail(EOPNOTSUPP, "this fdset-helper cannot reserve a set for '%s': a newer one can",
                set->reserved_for);
}

static int set_write(struct adding *adding, struct fdset_add *theirs, size_t size) {
    size_t index = adding->body.n_sets, first = adding->member_count;
    struct fdset_add ours, *set = &ours;
    int error = sized_take(set, sizeof(*set), theirs, size);

    if (!error && set->set < 0 && set->set != FDSET_NEW_SET)
        error = fail(EINVAL, "a set's number is 0 to 2147483647, not %d", set->set);
    if (!error)
        error = reservation_check(adding, set);
    if (!error)
        error = members_write(adding, set);
    if (error)
        return error;
    Fdset__V1__NewMembers *to = adding->set_pointers[index] = &adding->sets[index];
    adding->their_sets[index] = theirs;
    adding->body.n_sets++;
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
    if (set->reserved_for)
        to->reserved_for = (char *)set->reserved_for;
    to->n_members = set->member_count;
    to->members = &adding->member_pointers[first];
    return 0;
}

/* Checks all before it writes anything. */
static int added_read(struct question *question, const Fdset__V1__Reply *reply) {
    const struct adding *adding = (const struct adding *)question;
    const Fdset__V1__Added *added = reply->added;
    size_t count = adding->body.n_sets, member = 0;
    bool fits = added->n_sets == count;

    for (size_t i = 0; fits && i < count; i++)
        fits = added->sets[i]->n_members == adding->sets[i].n_members;
    if (!fits)
        return fail(EPROTO, "fdset-helper's answer does not fit what was added");
    for (size_t i = 0; i < count; i++) {
        adding->their_sets[i]->set = added->sets[i]->set;
        for (size_t j = 0; j < adding->sets[i].n_members; j++)
            adding->their_members[member++]->id = added->sets[i]->members[j];
    }
    return 0;
}

static int adding_write(struct adding *adding, struct fdset_add *sets, size_t count) {
    size_t first, second;
    int error = changes_check(&adding->question.manager->connection);

    if (error)
        return error;
    if (count == 0)
        return fail(EINVAL, "no set to add to is given");
    fdset__v1__add_fds__init(&adding->body);
    adding->body.sets = adding->set_pointers;
    size_t size = sized_stride(sets, sizeof(*sets));
    for (size_t i = 0; i < count; i++) {
        error = set_write(adding, (void *)((char *)sets + i * size), size);
        if (error)
            return error;
    }
    if (!duplicates_find(adding->descriptors, adding->member_count, &first, &second))
        return 0;
    return fail(EINVAL, "descriptors %d and %d are of one open: open the file once for each member",
                adding->descriptors[first], adding->descriptors[second]);
}

static struct question *adding_new(struct fdset_manager *manager, struct fdset_add *sets,
                                   size_t count) {
    struct adding *adding = question_new(manager, sizeof(*adding), FDSET__V1__REQUEST__BODY_ADD_FDS,
                                         FDSET__V1__REPLY__BODY_ADDED, added_read);

    if (!adding)
        return NULL;
    adding->question.message.add_fds = &adding->body;
    adding->question.result = adding_write(adding, sets, count);
    adding->question.descriptors = adding->descriptors;
    adding->question.descriptor_count = adding->member_count;
    return &adding->question;
}

int fdset_add_fds(struct fdset_manager *manager, struct fdset_add *sets, size_t count) {
    return question_put(adding_new(manager, sets, count), NULL, NULL);
}

int fdset_add_submit(struct fdset_manager *manager, struct fdset_add *sets, size_t count,
                     fdset_done_function done, void *context) {
    return question_put(adding_new(manager, sets, count), done, context);
}

/* ------------------------------------------------------------------ remove */

/* A RemoveFd, and what is to be filled in; may be NULL. */
struct removing {
    struct question question; /* first */
    Fdset__V1__RemoveFd body;
    struct fdset_removed *removed;
};

static int removed_read(struct question *question, const Fdset__V1__Reply *reply) {
    const struct removing *removing = (const struct removing *)question;
    const Fdset__V1__Removed *answer = reply->removed;

    if (removing->removed)
        *removing->removed = (struct fdset_removed){
            .members = answer->members, .leases = answer->leases, .closing = answer->closing};
    return answer->members > INT_MAX ? INT_MAX : (int)answer->members;
}

static struct question *removing_new(struct fdset_manager *manager, int set, uint32_t member,
                                     unsigned wait_ms, struct fdset_removed *removed) {
    struct removing *removing =
        question_new(manager, sizeof(*removing), FDSET__V1__REQUEST__BODY_REMOVE_FD,
                     FDSET__V1__REPLY__BODY_REMOVED, removed_read);

    if (!removing)
        return NULL;
    removing->question.result = changes_check(&manager->connection);
    removing->question.message.remove_fd = &removing->body;
    fdset__v1__remove_fd__init(&removing->body);
    removing->body.set = set;
    if (member) {
        removing->body.which_case = FDSET__V1__REMOVE_FD__WHICH_MEMBER;
        removing->body.member = member;
    }
    removing->body.patience_case = FDSET__V1__REMOVE_FD__PATIENCE_WAIT_MS;
    removing->body.wait_ms = wait_ms;
    removing->removed = removed;
    return &removing->question;
}

int fdset_remove_wait(struct fdset_manager *manager, int set, uint32_t member, unsigned wait_ms,
                      struct fdset_removed *removed) {
    return question_put(removing_new(manager, set, member, wait_ms, removed), NULL, NULL);
}

int fdset_remove(struct fdset_manager *manager, int set, uint32_t member) {
    return fdset_remove_wait(manager, set, member, FDSET_REMOVE_WAIT_MS, NULL);
}

int fdset_remove_submit(struct fdset_manager *manager, int set, uint32_t member, unsigned wait_ms,
                        struct fdset_removed *removed, fdset_done_function done, void *context) {
    return question_put(removing_new(manager, set, member, wait_ms, removed), done, context);
}
