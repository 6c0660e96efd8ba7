/* SPDX-License-Identifier: MIT */
/* What comes to the clients, held against what the reference expects. */
#include "play.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

/* ------------------------------------------------------------------ replies */

/* The right file, and the very description that was added. Its flags are looked at
 * when the step is over: another open of the same client may be changing them. */
static void check_descriptor(struct play *play, const struct ref_result *result, int fd) {
    const struct ref_member *member = ref_find_member(&play->ref, result->member);
    assert_non_null(member);
    const struct world_file *file = &play->world.files[member->file];
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_dev, file->device);
    assert_int_equal(status.st_ino, file->inode);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    if (S_ISREG(status.st_mode))
        assert_true(same_description(fd, member->fd));
}

static void check_result(struct play *play, struct client *client, const struct ref_result *result,
                         const Fdset__V1__Opened *opened, const Fdset__V1__Error *error,
                         size_t *next) {
    if (result->code) {
        assert_non_null(error);
        assert_int_equal(error->code, result->code);
        assert_int_equal(error->error_number, result->error);
        return;
    }
    if (!opened)
        fail_msg("refused: %s", error->text);
    assert_int_equal(opened->member, result->member);
    assert_int_equal(opened->truncate, result->truncate);
    assert_int_not_equal(opened->lease, 0);
    int fd = harness_keep(packet_descriptors_take(&client->descriptors, (*next)++));
    play->lease_fds[result->order % PLAY_ORDERS] = fd;
    ref_lease_known(&play->ref, result->order, opened->lease);
    check_descriptor(play, result, fd);
}

static void check_many(struct play *play, struct client *client, const struct ref_reply *expected,
                       const Fdset__V1__OpenedMany *many) {
    size_t next = 0;
    assert_int_equal(many->n_results, expected->count);
    for (int i = 0; i < expected->count; i++) {
        const Fdset__V1__OpenedMany__Result *result = many->results[i];
        bool good = result->outcome_case == FDSET__V1__OPENED_MANY__RESULT__OUTCOME_OPENED;
        check_result(play, client, &play->ref.results[expected->first + i],
                     good ? result->opened : NULL, good ? NULL : result->error, &next);
    }
    assert_int_equal(next, client->descriptors.count);
}

static void check_added(const struct reference *ref, const Fdset__V1__Added *added) {
    assert_int_equal(added->n_sets, ref->added_count);
    for (int i = 0; i < ref->added_count; i++) {
        assert_int_equal(added->sets[i]->set, ref->added[i].set);
        assert_int_equal(added->sets[i]->n_members, ref->added[i].count);
        for (size_t j = 0; j < ref->added[i].count; j++)
            assert_int_equal(added->sets[i]->members[j], ref->added[i].first_member + j);
    }
}

static void check_hello(const struct play *play, int client, const Fdset__V1__HelloReply *hello) {
    const struct ref_limits *limits = &play->ref.limits;
    assert_int_equal(hello->version, 1);
    assert_int_equal(hello->role, play->ref.clients[client].role);
    assert_int_equal(hello->limits->sets, limits->sets);
    assert_int_equal(hello->limits->members, limits->members);
    assert_int_equal(hello->limits->leases, limits->leases);
    assert_int_equal(hello->limits->waiting, limits->waiting);
}

static void check_looked(const struct play *play, const struct ref_reply *expected,
                         const Fdset__V1__Looked *looked) {
    assert_int_equal(looked->modes, expected->first);
    assert_int_equal(looked->device, play->world.files[expected->count].device);
    assert_int_equal(looked->inode, play->world.files[expected->count].inode);
}

static void check_reply(struct play *play, int who, struct ref_reply *expected, Reply *reply) {
    struct client *client = play->clients[who];
    size_t next = 0;
    expected->came = true;
    if (reply->body_case == REPLY(ERROR) && expected->kind != REPLY(ERROR))
        fail_msg("refused: %s", reply->error->text);
    assert_int_equal(reply->body_case, expected->kind);
    switch (expected->kind) {
    case REPLY(ERROR):
        if ((int)reply->error->code != expected->code)
            print_error("refused: %s\n", reply->error->text);
        assert_refused(reply, expected->code, expected->error);
        break;
    case REPLY(HELLO):
        check_hello(play, who, reply->hello);
        break;
    case REPLY(OPENED):
        check_result(play, client, &play->ref.results[expected->first], reply->opened, NULL, &next);
        assert_int_equal(client->descriptors.count, 1);
        break;
    case REPLY(OPENED_MANY):
        check_many(play, client, expected, reply->opened_many);
        break;
    case REPLY(ADDED):
        check_added(&play->ref, reply->added);
        break;
    case REPLY(LOOKED):
        check_looked(play, expected, reply->looked);
        break;
    case REPLY(REMOVED):
        assert_int_equal(reply->removed->members, expected->count);
        assert_int_equal(reply->removed->leases, expected->first);
        if (expected->first == 0) /* else nothing was waited for */
            assert_int_equal(reply->removed->closing, 0);
        break;
    }
}

/* ------------------------------------------------------------------- events */

static void keep_event(struct play *play, int who, const Event *from) {
    if (from->kind == FDSET__V1__EVENT_KIND__EVENT_SETTLE_STUCK) {
        play->slow = true; /* the machine is busy with something else */
        return;
    }
    int count = play->event_counts[who]++;
    assert_true(count < PLAY_EVENTS);
    struct ref_event *to = &play->events[who][count];
    *to = (struct ref_event){
        .kind = (int)from->kind,
        .set = from->which_case == FDSET__V1__EVENT__WHICH_SET ? from->set : -1,
        .flags = (int)from->flags,
        .code = (int)from->code,
        .member = from->member,
        .lease = from->lease,
        .wait_ms = from->wait_ms,
        .connection = from->connection,
        .pid = from->pid,
        .name = "",
    };
    ref_tell_path(to, from->path);
    play->sequences[who][count] = from->sequence;
}

static void read_one(struct play *play, int who) {
    Reply *reply = client_receive(play->clients[who]);
    if (!reply)
        fail_msg("the helper hung up on client %d", who);
    if (reply->body_case == REPLY(EVENTS)) {
        assert_int_equal(reply->serial, 0);
        play->lost[who] += reply->events->lost;
        play->ref.totals.lost += reply->events->lost;
        for (size_t i = 0; i < reply->events->n_events; i++)
            keep_event(play, who, reply->events->events[i]);
        return;
    }
    for (int i = 0; i < play->ref.reply_count; i++) {
        struct ref_reply *expected = &play->ref.replies[i];
        if (expected->client == who && expected->serial == reply->serial && !expected->came) {
            check_reply(play, who, expected, reply);
            return;
        }
    }
    fail_msg("client %d got a reply to %u that is not due: kind %d %s", who, reply->serial,
             reply->body_case, reply->body_case == REPLY(ERROR) ? reply->error->text : "");
}

void watch_reply(struct play *play, int client, uint32_t serial) {
    for (int i = 0; i < play->ref.reply_count; i++) {
        struct ref_reply *expected = &play->ref.replies[i];
        if (expected->client == client && expected->serial == serial)
            while (!expected->came)
                read_one(play, client);
    }
}

void watch_all(struct play *play) {
    struct pollfd ready[REF_CLIENTS];
    for (;;) {
        bool any = false;
        for (int i = 0; i < REF_CLIENTS; i++)
            ready[i] = (struct pollfd){
                .fd = i != CLIENT_AUDITOR && play->clients[i] ? play->clients[i]->socket : -1,
                .events = POLLIN};
        poll(ready, REF_CLIENTS, 0);
        for (int i = 0; i < REF_CLIENTS; i++)
            if (ready[i].revents) {
                read_one(play, i);
                any = true;
            }
        if (!any)
            return;
    }
}

/* ----------------------------------------------------- comparison of events */

static bool same_event(const struct ref_event *expected, const struct ref_event *got) {
    bool same_lease = expected->lease == got->lease || (expected->order && !expected->lease);
    return expected->kind == got->kind && expected->set == got->set &&
           expected->flags == got->flags && expected->code == got->code &&
           expected->member == got->member && same_lease && expected->wait_ms == got->wait_ms &&
           expected->connection == got->connection && expected->pid == got->pid &&
           strcmp(expected->path, got->path) == 0;
}

static void print_events(const char *what, const struct ref_event *events, int count) {
    for (int i = 0; i < count; i++)
        print_error("%s event %d: kind %d set %d member %u lease %u flags %o code %d wait %u "
                    "connection %u pid %d path '%s'\n",
                    what, i, events[i].kind, events[i].set, events[i].member, events[i].lease,
                    events[i].flags, events[i].code, events[i].wait_ms, events[i].connection,
                    events[i].pid, events[i].path);
}

/* What this client should have heard: all, but of what its own request brings only
 * as much as its queue has room for, as nothing is sent to it before the reply. The
 * set that goes with the request may be told of before the reply or after. */
static int expected_events(struct play *play, int who, struct ref_event *events, int *ordered) {
    const struct reference *ref = &play->ref;
    int count = 0, served = 0, gone = 0, lost = (int)play->lost[who];
    *ordered = -lost;
    for (int i = 0; i < ref->event_count; i++) {
        if (!(ref->clients[who].kinds & 1u << ref->events[i].kind))
            continue;
        served += i < ref->served_events;
        gone += i >= ref->served_events && ref->events[i].kind == EVENT(SET_GONE);
        *ordered += i < ref->timed_events;
        events[count++] = ref->events[i];
    }
    int least = who == ref->requester ? served - (int)ref->limits.events : 0;
    if (lost < least || lost > (least + gone > 0 && who == ref->requester ? least + gone : 0))
        fail_msg("client %d has lost %d events of %d", who, lost, count);
    memmove(events, events + lost, (size_t)(count - lost) * sizeof(events[0]));
    return count - lost;
}

/* A set goes when its members are closed, which may take a while; all else has its
 * order, until times are over. */
static void check_events(struct play *play, int who) {
    static struct ref_event expected[REF_EVENTS];
    struct ref_event *got = play->events[who];
    int ordered, count = expected_events(play, who, expected, &ordered);
    bool used[REF_EVENTS] = {false}, good = count == play->event_counts[who];
    int next = 0;
    for (int i = 0; i < play->event_counts[who] && good; i++) {
        int match = next;
        if (got[i].kind != EVENT(SET_GONE))
            while (match < count && (used[match] || expected[match].kind == EVENT(SET_GONE)))
                match++;
        bool any_order = got[i].kind == EVENT(SET_GONE) || match >= ordered || play->out_of_order;
        if (any_order)
            for (match = 0; match < count; match++)
                if (!used[match] && same_event(&expected[match], &got[i]))
                    break;
        good = match < count && same_event(&expected[match], &got[i]);
        if (good)
            used[match] = true;
        while (next < count && used[next])
            next++;
        for (int j = 0; j < i && !play->out_of_order && got[i].set >= 0; j++)
            good &= got[j].kind != EVENT(SET_GONE) || got[j].set != got[i].set;
    }
    if (!good) {
        print_events("expected", expected, count);
        print_events("got", got, play->event_counts[who]);
        fail_msg("the events of client %d differ", who);
    }
}

/* Numbers ascend, without a gap where all kinds are told and none is lost. */
static void check_sequence(struct play *play, int who) {
    const struct reference *ref = &play->ref;
    uint64_t first = ref->sequence - (uint64_t)ref->event_count, last = first;
    for (int i = 0; i < play->event_counts[who]; i++) {
        assert_true(play->sequences[who][i] > last);
        last = play->sequences[who][i];
    }
    if (play->slow)
        return; /* of a thread that was stuck nobody may have heard */
    assert_true(last <= ref->sequence);
    if (play->event_counts[who] == ref->event_count && ref->event_count > 0)
        assert_int_equal(last, ref->sequence);
}

void watch_check(struct play *play) {
    struct reference *ref = &play->ref;
    for (int i = 0; i < ref->reply_count; i++)
        if (!ref->replies[i].came)
            fail_msg("client %d waits in vain for the reply to %u", ref->replies[i].client,
                     ref->replies[i].serial);
    for (int i = 0; i < REF_CLIENTS; i++) {
        if (!ref->clients[i].connected)
            continue;
        check_events(play, i);
        check_sequence(play, i);
    }
}
