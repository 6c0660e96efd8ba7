/* SPDX-License-Identifier: MIT */
/* Adding descriptors to a helper's sets, and removing them. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "duplicates.h"
#include "manager/manager.h"
#include "wire/failure.h"
#include "wire/sized.h"

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

static int member_write(struct adding *addition, struct fdset_member *theirs, size_t size) {
    size_t index = addition->member_count;
    Fdset__V1__NewMember *to = &addition->members[index];
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
    addition->member_pointers[index] = to;
    addition->descriptors[index] = member->fd;
    addition->their_members[index] = theirs;
    addition->member_count++;
    return 0;
}

static int members_write(struct adding *addition, const struct fdset_add *set) {
    if (set->member_count == 0)
        return fail(EINVAL, "no member is given to add to a set");
    if (set->member_count > FDSET_MAX_DESCRIPTORS - addition->member_count)
        return fail(E2BIG, "one call adds at most %d descriptors", FDSET_MAX_DESCRIPTORS);
    size_t size = sized_stride(set->members, sizeof(*set->members));
    int error = 0;
    for (size_t i = 0; !error && i < set->member_count; i++)
        error = member_write(addition, (void *)((char *)set->members + i * size), size);
    return error;
}

static int set_write(struct adding *addition, struct fdset_add *theirs, size_t size) {
    size_t index = addition->body.n_sets, first = addition->member_count;
    struct fdset_add ours, *set = &ours;
    int error = sized_take(set, sizeof(*set), theirs, size);

    if (!error && set->set < 0 && set->set != FDSET_NEW_SET)
        error = fail(EINVAL, "a set's number is 0 to 2147483647, not %d", set->set);
    if (!error)
        error = members_write(addition, set);
    if (error)
        return error;
    Fdset__V1__NewMembers *to = addition->set_pointers[index] = &addition->sets[index];
    addition->their_sets[index] = theirs;
    addition->body.n_sets++;
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
    to->members = &addition->member_pointers[first];
    return 0;
}

/* Checks all before it writes anything. */
static int added_read(struct question *question, const Fdset__V1__Reply *reply) {
    const struct adding *addition = (const struct adding *)question;
    const Fdset__V1__Added *added = reply->added;
    size_t count = addition->body.n_sets, member = 0;
    bool fits = added->n_sets == count;

    for (size_t i = 0; fits && i < count; i++)
        fits = added->sets[i]->n_members == addition->sets[i].n_members;
    if (!fits)
        return fail(EPROTO, "fdset-helper's answer does not fit what was added");
    for (size_t i = 0; i < count; i++) {
        addition->their_sets[i]->set = added->sets[i]->set;
        for (size_t j = 0; j < addition->sets[i].n_members; j++)
            addition->their_members[member++]->id = added->sets[i]->members[j];
    }
    return 0;
}

static int addition_write(struct adding *addition, struct fdset_add *sets, size_t count) {
    size_t first, second;

    if (count == 0)
        return fail(EINVAL, "no set to add to is given");
    fdset__v1__add_fds__init(&addition->body);
    addition->body.sets = addition->set_pointers;
    size_t size = sized_stride(sets, sizeof(*sets));
    for (size_t i = 0; i < count; i++) {
        int error = set_write(addition, (void *)((char *)sets + i * size), size);
        if (error)
            return error;
    }
    if (!duplicates_find(addition->descriptors, addition->member_count, &first, &second))
        return 0;
    return fail(EINVAL, "descriptors %d and %d are of one open: open the file once for each member",
                addition->descriptors[first], addition->descriptors[second]);
}

/* The kernel, which lets no descriptor through to there, has no words for it. */
static int changes_check(struct connection *connection) {
    pthread_mutex_lock(&connection->lock);
    bool observes = connection->role == FDSET__V1__ROLE__ROLE_OBSERVER;
    pthread_mutex_unlock(&connection->lock);
    if (!observes)
        return 0;
    return fail(EPERM, "this is an observer's socket, by which nothing can be added or removed: "
                       "use the helper's manage socket");
}

static int addition_new(struct fdset_manager *manager, struct fdset_add *sets, size_t count,
                        struct question **question) {
    int error = changes_check(&manager->connection);

    if (error)
        return error;
    *question =
        question_new(manager, sizeof(struct adding), FDSET__V1__REPLY__BODY_ADDED, added_read);
    struct adding *addition = (struct adding *)*question;
    if (!addition)
        return -ENOMEM;
    error = addition_write(addition, sets, count);
    if (error) {
        free(addition);
        return error;
    }
    addition->question.message.body_case = FDSET__V1__REQUEST__BODY_ADD_FDS;
    addition->question.message.add_fds = &addition->body;
    addition->question.descriptors = addition->descriptors;
    addition->question.descriptor_count = addition->member_count;
    return 0;
}

int fdset_add_fds(struct fdset_manager *manager, struct fdset_add *sets, size_t count) {
    struct question *question;
    int error = addition_new(manager, sets, count, &question);

    return error ? error : question_ask(question);
}

int fdset_add_submit(struct fdset_manager *manager, struct fdset_add *sets, size_t count,
                     fdset_done_function done, void *context) {
    struct question *question;
    int error = addition_new(manager, sets, count, &question);

    return error ? error : question_submit(question, done, context);
}

/* ------------------------------------------------------------------ remove */

/* A RemoveFd, and what is to be filled in; may be NULL. */
struct removing {
    struct question question; /* first */
    Fdset__V1__RemoveFd body;
    struct fdset_removed *removed;
};

static int removed_read(struct question *question, const Fdset__V1__Reply *reply) {
    const struct removing *removal = (const struct removing *)question;
    const Fdset__V1__Removed *answer = reply->removed;

    if (removal->removed)
        *removal->removed = (struct fdset_removed){
            .members = answer->members, .leases = answer->leases, .closing = answer->closing};
    return answer->members > INT_MAX ? INT_MAX : (int)answer->members;
}

static int removal_new(struct fdset_manager *manager, int set, uint32_t member, unsigned wait_ms,
                       struct fdset_removed *removed, struct question **question) {
    int error = changes_check(&manager->connection);

    if (error)
        return error;
    *question = question_new(manager, sizeof(struct removing), FDSET__V1__REPLY__BODY_REMOVED,
                             removed_read);
    struct removing *removal = (struct removing *)*question;
    if (!removal)
        return -ENOMEM;
    fdset__v1__remove_fd__init(&removal->body);
    removal->body.set = set;
    if (member) {
        removal->body.which_case = FDSET__V1__REMOVE_FD__WHICH_MEMBER;
        removal->body.member = member;
    }
    removal->body.patience_case = FDSET__V1__REMOVE_FD__PATIENCE_WAIT_MS;
    removal->body.wait_ms = wait_ms;
    removal->removed = removed;
    removal->question.message.body_case = FDSET__V1__REQUEST__BODY_REMOVE_FD;
    removal->question.message.remove_fd = &removal->body;
    return 0;
}

int fdset_remove_wait(struct fdset_manager *manager, int set, uint32_t member, unsigned wait_ms,
                      struct fdset_removed *removed) {
    struct question *question;
    int error = removal_new(manager, set, member, wait_ms, removed, &question);

    return error ? error : question_ask(question);
}

int fdset_remove(struct fdset_manager *manager, int set, uint32_t member) {
    return fdset_remove_wait(manager, set, member, FDSET_REMOVE_WAIT_MS, NULL);
}

int fdset_remove_submit(struct fdset_manager *manager, int set, uint32_t member, unsigned wait_ms,
                        struct fdset_removed *removed, fdset_done_function done, void *context) {
    struct question *question;
    int error = removal_new(manager, set, member, wait_ms, removed, &question);

    return error ? error : question_submit(question, done, context);
}
