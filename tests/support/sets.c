/* SPDX-License-Identifier: MIT */
/* Sets as a manager has them: adding, removing, listing: see sets.h. */
#include "sets.h"

#include "harness.h"

#include <stdio.h>
#include <time.h>

/* ----------------------------------------------------------------- adding */

uint32_t client_send_add(struct client *client, const struct new_set *sets, size_t count) {
    static Fdset__V1__NewMember members[FDSET_MAX_DESCRIPTORS];
    static Fdset__V1__NewMember *member_pointers[FDSET_MAX_DESCRIPTORS];
    static Fdset__V1__NewMembers additions[FDSET_MAX_DESCRIPTORS];
    static Fdset__V1__NewMembers *pointers[FDSET_MAX_DESCRIPTORS];
    int fds[FDSET_MAX_DESCRIPTORS];
    Fdset__V1__AddFds add = FDSET__V1__ADD_FDS__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    size_t total = 0;

    for (size_t i = 0; i < count; i++) {
        fdset__v1__new_members__init(&additions[i]);
        additions[i].which_case = sets[i].set == SET_NEW ? FDSET__V1__NEW_MEMBERS__WHICH__NOT_SET
                                                         : FDSET__V1__NEW_MEMBERS__WHICH_SET;
        additions[i].set = sets[i].set == SET_NEW ? 0 : sets[i].set;
        additions[i].lifetime = (Fdset__V1__Lifetime)sets[i].lifetime;
        additions[i].name = (char *)(sets[i].name ? sets[i].name : "");
        additions[i].replace = sets[i].replace;
        additions[i].mixed = sets[i].mixed;
        if (sets[i].reserved_for)
            additions[i].reserved_for = (char *)sets[i].reserved_for;
        additions[i].grace_ms = sets[i].grace_ms;
        additions[i].idle_ms = sets[i].idle_ms;
        additions[i].members = member_pointers + total;
        additions[i].n_members = sets[i].count;
        pointers[i] = &additions[i];
        for (size_t j = 0; j < sets[i].count; j++, total++) {
            const struct new_member *from = &sets[i].members[j];
            Fdset__V1__NewMember *to = &members[total];
            assert_true(total < FDSET_MAX_DESCRIPTORS);
            fdset__v1__new_member__init(to);
            if (from->opaque) {
                to->label_case = FDSET__V1__NEW_MEMBER__LABEL_OPAQUE;
                to->opaque = (char *)from->opaque;
            }
            to->sharing = (Fdset__V1__Sharing)from->sharing;
            to->serves_read_only = from->serves_read_only;
            to->keep_content = from->keep_content;
            to->keep_locks = from->keep_locks;
            to->allow_socket = from->allow_socket;
            member_pointers[total] = to;
            fds[total] = from->fd;
        }
    }
    add.sets = pointers;
    add.n_sets = count;
    request.body_case = FDSET__V1__REQUEST__BODY_ADD_FDS;
    request.add_fds = &add;
    return client_send(client, &request, fds, total);
}

Reply *client_add(struct client *client, const struct new_set *sets, size_t count) {
    return client_answer(client, client_send_add(client, sets, count));
}

static Fdset__V1__AddedSet *add_one_set(struct client *client, const struct new_set *set) {
    Reply *reply = client_add(client, set, 1);
    if (reply->body_case == REPLY(ERROR))
        fail_msg("add refused: %s", reply->error->text);
    assert_int_equal(reply->body_case, REPLY(ADDED));
    assert_int_equal(reply->added->n_sets, 1);
    assert_int_equal(reply->added->sets[0]->n_members, set->count);
    if (set->set != SET_NEW)
        assert_int_equal(reply->added->sets[0]->set, set->set);
    return reply->added->sets[0];
}

int client_add_set(struct client *client, int set, int lifetime, const struct new_member *members,
                   size_t count) {
    struct new_set new_set = {set, lifetime, members, count};
    return add_one_set(client, &new_set)->set;
}

uint32_t client_add_one(struct client *client, int set, int fd) {
    struct new_member member = {.fd = fd};
    struct new_set new_set = {set, LIFETIME(UNSPECIFIED), &member, 1};
    return add_one_set(client, &new_set)->members[0];
}

int client_add_new(struct client *client, struct new_set set) {
    Reply *reply = client_add(client, &set, 1);
    if (reply->body_case == REPLY(ERROR))
        fail_msg("add refused: %s", reply->error->text);
    assert_int_equal(reply->body_case, REPLY(ADDED));
    assert_int_equal(reply->added->n_sets, 1);
    assert_int_equal(reply->added->sets[0]->n_members, set.count);
    return reply->added->sets[0]->set;
}

void client_add_refused(struct client *client, struct new_set set, int code, int error_number) {
    assert_refused(client_add(client, &set, 1), code, error_number);
}

uint32_t client_add_disk(struct client *manager, struct new_set set) {
    struct new_member member = {.fd = file_open("disk", O_RDONLY)};
    set.members = &member;
    set.count = 1;
    Reply *reply = client_add(manager, &set, 1);
    if (reply->body_case == REPLY(ERROR))
        fail_msg("add refused: %s", reply->error->text);
    return reply->added->sets[0]->members[0];
}

/* --------------------------------------------------------------- removing */

uint32_t client_send_remove(struct client *client, int set, uint32_t member, int64_t wait_ms) {
    Fdset__V1__RemoveFd remove = FDSET__V1__REMOVE_FD__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    remove.set = set;
    if (member) {
        remove.which_case = FDSET__V1__REMOVE_FD__WHICH_MEMBER;
        remove.member = member;
    }
    if (wait_ms >= 0) {
        remove.patience_case = FDSET__V1__REMOVE_FD__PATIENCE_WAIT_MS;
        remove.wait_ms = (uint32_t)wait_ms;
    }
    request.body_case = FDSET__V1__REQUEST__BODY_REMOVE_FD;
    request.remove_fd = &remove;
    return client_send(client, &request, NULL, 0);
}

Reply *client_remove(struct client *client, int set, uint32_t member) {
    return client_answer(client, client_send_remove(client, set, member, -1));
}

Reply *client_remove_at_once(struct client *client, int set, uint32_t member) {
    return client_answer(client, client_send_remove(client, set, member, 0));
}

/* ---------------------------------------------------------------- listing */

QueryReply *client_query(struct client *client, int set, const Cursor *after) {
    Fdset__V1__Query query = FDSET__V1__QUERY__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    Cursor cursor = FDSET__V1__CURSOR__INIT;
    if (set != SET_ALL) {
        query.which_case = FDSET__V1__QUERY__WHICH_SET;
        query.set = set;
    }
    if (after) {
        cursor.set = after->set;
        cursor.member = after->member;
        cursor.lease = after->lease;
        cursor.waiting = after->waiting;
        query.after = &cursor;
    }
    request.body_case = FDSET__V1__REQUEST__BODY_QUERY;
    request.query = &query;
    Reply *reply = client_ask(client, &request);
    assert_int_equal(reply->body_case, REPLY(QUERY));
    assert_non_null(reply->query->totals);
    return reply->query;
}

Totals client_totals(struct client *client) {
    return *client_query(client, SET_ALL, NULL)->totals;
}

static void wait_for_quiet(struct client *client, bool without_leases) {
    time_t start = time(NULL);
    Totals totals;
    do {
        totals = client_totals(client);
        if (time(NULL) > start + client_patience)
            fail_msg("%u leases and %u members to settle are left", totals.leases, totals.settling);
    } while (totals.settling > 0 || (without_leases && totals.leases > 0));
}

void client_wait_settled(struct client *client) {
    wait_for_quiet(client, false);
}

void client_wait_idle(struct client *client) {
    wait_for_quiet(client, true);
}

QueryReply *client_query_with(struct client *client, const Query *query) {
    Request request = FDSET__V1__REQUEST__INIT;
    request.body_case = FDSET__V1__REQUEST__BODY_QUERY;
    request.query = (Query *)query;
    Reply *reply = client_ask(client, &request);
    if (reply->body_case == REPLY(ERROR))
        fail_msg("query refused: %s", reply->error->text);
    assert_int_equal(reply->body_case, REPLY(QUERY));
    return reply->query;
}

SetInfo *client_find_set(struct client *client, int set) {
    QueryReply *page = client_query(client, SET_ALL, NULL);
    for (size_t i = 0; i < page->n_sets; i++)
        if (page->sets[i]->set == set)
            return page->sets[i];
    return NULL;
}

bool client_has_clock(struct helper *helper, int set) {
    SetInfo *info = client_find_set(helper->manager, set);
    assert_non_null(info);
    return info->clock_case == FDSET__V1__SET_INFO__CLOCK_EXPIRES_MS;
}
