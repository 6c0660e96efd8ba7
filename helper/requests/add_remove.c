/* SPDX-License-Identifier: MIT */
/* What a manager asks: AddFds, RemoveFd. */
#include "requests/add_remove.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "containers/utf8.h"
#include "feature.h"
#include "model/lifetime.h"
#include "requests/deferred.h"
#include "settle/settle.h"

static const char *type_name(mode_t type) {
    switch (type) {
    case S_IFDIR:
        return "a directory";
    case S_IFLNK:
        return "a symbolic link";
    }
    return "no file (an epoll, event or similar descriptor)";
}

void member_note(struct member *member, const struct open_file *file) {
    member->type = file->type & S_IFMT;
    member->device = file->device;
    member->device_number = file->device_number;
    member->inode = file->inode;
}

static int member_inspect(struct member *member, bool allow_socket, struct refusal *refusal) {
    struct open_file file;

    int result = open_file_look(member->fd, &file);
    if (result < 0)
        return refuse(refusal, REFUSAL_BAD_FD, EBADF, "a descriptor cannot be looked at: %s",
                      strerrordesc_np(-result));
    if (file.flags & O_PATH || (file.flags & O_ACCMODE) == O_ACCMODE)
        return refuse(refusal, REFUSAL_BAD_FD, EBADF,
                      "a descriptor was opened with O_PATH or for nothing: open it for reading or "
                      "writing");
    if (S_ISSOCK(file.type) && !allow_socket)
        return refuse(refusal, REFUSAL_FILE_TYPE, EINVAL,
                      "a descriptor is a socket, which a set takes only if the manager says so: "
                      "fdsetctl add --allow-socket");
    if (!S_ISSOCK(file.type) && !S_ISREG(file.type) && !S_ISBLK(file.type) && !S_ISCHR(file.type) &&
        !S_ISFIFO(file.type))
        return refuse(refusal, REFUSAL_FILE_TYPE, EINVAL,
                      "a descriptor is of %s: a set takes regular files, devices and FIFOs",
                      type_name(file.type));
    member->flags = file.flags;
    member->status = file.flags & STATUS_SETTABLE;
    member_note(member, &file);
    /* Until the settle threads have found out. */
    member->may_block = true;
    return 0;
}

/* Notes on an offered member what the request says of it. */
static int mark_member(struct service *service, struct member *member,
                       const Fdset__V1__NewMember *wanted, struct refusal *refusal) {
    bool labelled = wanted->label_case == FDSET__V1__NEW_MEMBER__LABEL_OPAQUE;

    if (wanted->sharing > FDSET__V1__SHARING__SHARING_SHARED)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL, "sharing %d is not known",
                      (int)wanted->sharing);
    if (labelled && strlen(wanted->opaque) > FDSET_MAX_OPAQUE_BYTES)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL, "an opaque of %zu bytes: at most %d",
                      strlen(wanted->opaque), FDSET_MAX_OPAQUE_BYTES);
    if (labelled && !is_utf8(wanted->opaque))
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL, "an opaque is not valid UTF-8");
    member->sharing = wanted->sharing;
    member->serves_read_only = wanted->serves_read_only;
    member->keep_content = wanted->keep_content;
    member->keep_locks = wanted->keep_locks;
    member_label(&service->model, member, labelled ? wanted->opaque : NULL);
    return member_inspect(member, wanted->allow_socket, refusal);
}

/* The endpoint that a set is asked for, NULL for none. */
static int find_reserved(const struct service *service, const struct session *session,
                         const char *name, const struct endpoint **reserved,
                         struct refusal *refusal) {
    const struct endpoints *endpoints = &service->model.endpoints;
    const struct endpoint *bound = session->holder.endpoint;
    char names[240];

    *reserved = NULL;
    if (!*name)
        return 0;
    if (!(session->features & FEATURE_BIT(ENDPOINTS)))
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
                      "reserved_for was not agreed on in Hello, and older helpers ignore it");
    *reserved = endpoints_find(endpoints, name);
    if (bound && *reserved != bound)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
                      "this socket manages the sets for '%s', and no others", bound->name);
    if (!*reserved)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
                      "no VMM socket is called '%s'; there are %s: start fdset-helper with --vmm "
                      "PATH,name=NAME",
                      name, endpoints_names(endpoints, names, sizeof(names)));
    return 0;
}

/* The largest AddFds has one descriptor for each set. */
static struct new_members additions[FDSET_MAX_DESCRIPTORS];

/* Turns the request into additions, which take the offered members in order. */
static int read_additions(struct service *service, const struct session *session,
                          const Fdset__V1__AddFds *wanted, struct refusal *refusal) {
    uint32_t used = 0;

    for (size_t i = 0; i < wanted->n_sets; i++) {
        const Fdset__V1__NewMembers *set = wanted->sets[i];
        if (set->lifetime > FDSET__V1__LIFETIME__LIFETIME_IDLE)
            return refuse(refusal, REFUSAL_ARGUMENT, EINVAL, "lifetime %d is not known",
                          (int)set->lifetime);
        additions[i] = (struct new_members){
            .has_set = set->which_case == FDSET__V1__NEW_MEMBERS__WHICH_SET,
            .set = (uint32_t)set->set,
            .name = *set->name ? set->name : NULL,
            .lifetime = (enum lifetime)set->lifetime,
            .grace_ms = set->grace_ms,
            .idle_ms = set->idle_ms,
            .replace = set->replace,
            .mixed = set->mixed,
            .members = service->inbox.offer.members + used,
            .member_count = (uint32_t)set->n_members,
        };
        if (find_reserved(service, session, set->reserved_for, &additions[i].reserved, refusal) < 0)
            return -refusal->error;
        for (size_t j = 0; j < set->n_members; j++) {
            int result = mark_member(service, service->inbox.offer.members[used++], set->members[j],
                                     refusal);
            if (result < 0)
                return result;
        }
    }
    return 0;
}

static void reply_added(struct service *service, struct session *session, uint32_t serial,
                        uint32_t count) {
    static Fdset__V1__AddedSet sets[FDSET_MAX_DESCRIPTORS], *set_pointers[FDSET_MAX_DESCRIPTORS];
    static uint32_t ids[FDSET_MAX_DESCRIPTORS];
    Fdset__V1__Added added = FDSET__V1__ADDED__INIT;
    uint32_t used = 0;

    for (uint32_t i = 0; i < count; i++) {
        fdset__v1__added_set__init(&sets[i]);
        set_pointers[i] = &sets[i];
        sets[i].set = (int32_t)additions[i].set;
        sets[i].members = ids + used;
        sets[i].n_members = additions[i].member_count;
        for (uint32_t j = 0; j < additions[i].member_count; j++)
            ids[used++] = additions[i].members[j]->id;
    }
    added.sets = set_pointers;
    added.n_sets = count;
    reply_send(session, serial, FDSET__V1__REPLY__BODY_ADDED, &added, NULL, 0);
}

int serve_add_fds(struct service *service, struct session *session,
                  const Fdset__V1__Request *request, struct refusal *refusal) {
    const Fdset__V1__AddFds *wanted = request->add_fds;
    size_t members = 0;

    if (wanted->n_sets == 0 || wanted->n_sets > FDSET_MAX_DESCRIPTORS)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL, "%zu sets in one request: 1 to %d",
                      wanted->n_sets, FDSET_MAX_DESCRIPTORS);
    for (size_t i = 0; i < wanted->n_sets; i++)
        members += wanted->sets[i]->n_members;
    if (members != service->inbox.offer.count)
        return refuse(refusal, REFUSAL_DESCRIPTORS, EPROTO,
                      "%zu members are described and %u descriptors came", members,
                      service->inbox.offer.count);
    int result = read_additions(service, session, wanted, refusal);
    struct owner owner = {session->number, *session->owner ? session->owner : NULL, session->uid,
                          session->holder.endpoint};
    if (result == 0)
        result = model_add(&service->model, additions, (uint32_t)wanted->n_sets, &owner, refusal);
    if (result < 0)
        return result;
    work_begin(&service->settle, &service->model);
    reply_added(service, session, request->serial, (uint32_t)wanted->n_sets);
    service->inbox.offer.count = 0; /* all are listed */
    return 0;
}

/* Of what was removed: one member, or all of the set. */
static uint32_t leases_left(const struct model *model, uint32_t set_id, uint32_t member_id) {
    const struct member *member = member_id ? model_find_member(model, member_id) : NULL;
    const struct fdset *set = model_find_set(model, set_id);

    if (member_id)
        return member ? member->lease_count : 0;
    return set ? set->lease_count : 0;
}

int serve_remove_fd(struct service *service, struct session *session,
                    const Fdset__V1__Request *request, struct refusal *refusal) {
    const Fdset__V1__RemoveFd *wanted = request->remove_fd;
    bool one = wanted->which_case == FDSET__V1__REMOVE_FD__WHICH_MEMBER;
    bool says = wanted->patience_case == FDSET__V1__REMOVE_FD__PATIENCE_WAIT_MS;
    uint32_t wait_ms = says ? wanted->wait_ms : CLOSING_WAIT_MS;
    struct deferred what = {.set = (uint32_t)wanted->set, .member = one ? wanted->member : 0};

    if (wanted->set < 0 || (one && wanted->member == 0))
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
                      "a set's number is 0 to %d, a member's 1 or more", INT_MAX);
    if (wait_ms > FDSET_MAX_WAIT_MS)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL, "a removal waits at most %d ms",
                      FDSET_MAX_WAIT_MS);
    int count =
        model_remove(&service->model, what.set, what.member, session->holder.endpoint, refusal);
    if (count < 0)
        return count;
    what.removed = (uint32_t)count;
    work_begin(&service->settle, &service->model);
    uint32_t leases = leases_left(&service->model, what.set, what.member);
    uint32_t closing = deferred_left(service, what.set, what.member);
    if (closing > 0 && leases == 0 && wait_ms > 0 &&
        deferred_begin_removal(service, session, request->serial, &what, wait_ms))
        return 0;
    reply_removed(session, request->serial, what.removed, leases, closing);
    return 0;
}

int service_add_initial(struct service *service, int fd, uint32_t set, const char *opaque,
                        const struct endpoint *reserved, struct refusal *refusal) {
    struct member *member = member_offer(&service->model, fd);
    if (!member)
        return refuse(refusal, REFUSAL_LIMIT, ENOSPC,
                      "no room for more members: " LIMIT_RAISE("members"));
    struct new_members addition = {.has_set = true,
                                   .set = set,
                                   .lifetime = LIFETIME_KEEP,
                                   .reserved = reserved,
                                   .members = &member,
                                   .member_count = 1};

    member_label(&service->model, member, opaque);
    int result = member_inspect(member, false, refusal);
    if (result == 0)
        result = model_add(&service->model, &addition, 1, &(struct owner){0}, refusal);
    return result;
}
