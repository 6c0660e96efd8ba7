/* SPDX-License-Identifier: MIT */
/* Open, Close, Hold: which member, which flags, who may. */
#include "reference-shares.h"

#include "harness.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SETTABLE (O_APPEND | O_DIRECT | O_NOATIME | O_NONBLOCK)
#define SYNC     (O_SYNC | O_DSYNC)
#define PREFIX   "/dev/fdset/"

#define DROP(array, count, index)                   \
    memmove(&(array)[index], &(array)[(index) + 1], \
            (size_t)(--(count) - (index)) * sizeof((array)[0]))

static bool fails(struct ref_result *result, int code, int error) {
    *result = (struct ref_result){.code = code, .error = error};
    return false;
}

/* Of the names that a history uses, which are ASCII. */
bool ref_name_valid(const char *name) {
    size_t length = strlen(name);
    for (const char *c = name; *c; c++)
        if (!isprint((unsigned char)*c) || *c == '/')
            return false;
    return length >= 1 && length <= 255 && strspn(name, "0123456789") < length &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static bool is_number(const char *text) {
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits <= 10 && !text[digits] && (text[0] != '0' || digits == 1) &&
           atoll(text) <= INT_MAX;
}

struct ref_set *ref_find_path(struct reference *ref, const char *path, struct ref_result *result) {
    const char *rest = path + strlen(PREFIX);
    struct ref_set *set = NULL;
    if (strncmp(path, PREFIX, strlen(PREFIX)) != 0 || (!is_number(rest) && !ref_name_valid(rest)))
        fails(result, CODE(PATH), EINVAL);
    else if (!(set = is_number(rest) ? ref_find_set(ref, atoi(rest)) : ref_find_name(ref, rest)))
        fails(result, CODE(NO_SET), ENOENT);
    return set;
}

/* ----------------------------------------------------------------- matching */

/* All leases of a member are one VMM's, unless it is shared. */
static bool has_foreign_lease(const struct reference *ref, const struct ref_member *member,
                              int client) {
    for (int i = 0; i < ref->lease_count; i++)
        if (ref->leases[i].member == member->id && ref->leases[i].client != client)
            return true;
    return false;
}

static bool mode_fits(const struct ref_member *member, int flags) {
    int has = member->flags & O_ACCMODE, wants = flags & O_ACCMODE;
    return has == wants ||
           (member->as_asked.serves_read_only && has == O_RDWR && wants == O_RDONLY);
}

static bool is_free(const struct reference *ref, const struct ref_member *member, int client) {
    if (member->as_asked.sharing == SHARING(SHARED))
        return true;
    if (member->as_asked.sharing == SHARING(EXCLUSIVE))
        return ref_member_leases(ref, member->id) == 0;
    return !has_foreign_lease(ref, member, client);
}

/* The manager's O_NOATIME stays. */
static int wanted_status(const struct ref_member *member, int flags) {
    return (flags & SETTABLE) | (member->flags & member->status & O_NOATIME);
}

/* No open changes what a live lease sees. */
static bool flags_free(const struct reference *ref, const struct ref_member *member, int flags) {
    uint32_t type = ref->world->files[member->file].type;
    int felt = O_DIRECT;
    if ((member->flags & O_ACCMODE) != O_RDONLY)
        felt |= O_APPEND;
    if (type == S_IFIFO || type == S_IFCHR)
        felt |= O_NONBLOCK;
    return ref_member_leases(ref, member->id) == 0 || !((member->status ^ flags) & felt);
}

/* The first who is asked wins, so members come newest first. */
static int merit(const struct reference *ref, const struct ref_member *member, int flags) {
    bool direct_agrees = (member->flags & O_DIRECT) == (flags & O_DIRECT);
    return 2 * direct_agrees + (ref_member_leases(ref, member->id) == 0);
}

static struct ref_member *choose(struct reference *ref, const struct ref_set *set, int client,
                                 int flags, struct ref_result *result) {
    bool any = false, mode = false, sync = false;
    struct ref_member *best = NULL;
    for (int i = ref->member_count - 1; i >= 0 && !set->spent; i--) {
        struct ref_member *member = &ref->members[i];
        if (member->set != set->id || member->removed)
            continue;
        any = true;
        if (!mode_fits(member, flags))
            continue;
        mode = true;
        if ((member->flags & SYNC) != (flags & SYNC))
            continue;
        sync = true;
        if (is_free(ref, member, client) && flags_free(ref, member, flags) &&
            (!best || merit(ref, member, flags) > merit(ref, best, flags)))
            best = member;
    }
    if (!any)
        fails(result, CODE(EMPTY_SET), EACCES);
    else if (!mode)
        fails(result, CODE(MODE), EACCES);
    else if (!sync)
        fails(result, CODE(SYNC), EINVAL);
    else if (!best)
        fails(result, CODE(BUSY), EBUSY);
    return best;
}

/* ------------------------------------------------------------------- leases */

/* As the kernel has it: only a file's owner may set O_NOATIME. 0 or an errno. */
static int set_status(struct reference *ref, struct ref_member *member, int flags) {
    if (flags & O_NOATIME && !(member->status & O_NOATIME) && !ref->world->sets_noatime)
        return EPERM;
    if (flags & O_DIRECT && !ref->world->files[member->file].can_direct)
        return EINVAL;
    member->status = flags & SETTABLE;
    return 0;
}

/* The last lease has ended: the manager's flags again, as far as may be. */
static void restore(struct reference *ref, struct ref_member *member) {
    if (set_status(ref, member, member->flags) != 0)
        set_status(ref, member, member->flags & ~O_NOATIME);
    member->locked &= member->as_asked.keep_locks;
}

void ref_lease_end(struct reference *ref, int index) {
    struct ref_lease lease = ref->leases[index];
    struct ref_member *member = ref_find_member(ref, lease.member);
    struct ref_event *event = ref_tell(ref, EVENT(CLOSED), member->set);
    event->member = member->id;
    event->order = lease.order;
    event->lease = lease.id;
    event->flags = lease.flags;
    ref_tell_of(ref, lease.client, event);
    DROP(ref->leases, ref->lease_count, index);
    if (ref_member_leases(ref, member->id) == 0)
        restore(ref, member);
    ref_trim(ref, member->set);
    ref_clock(ref, member->set);
}

static void give_lease(struct reference *ref, int client, struct ref_member *member, int flags,
                       struct ref_result *result) {
    bool truncates = flags & O_TRUNC || (flags & O_CREAT && flags & O_EXCL);
    struct ref_lease *lease = &ref->leases[ref->lease_count++];
    *lease = (struct ref_lease){
        .order = ref->next_order++, .member = member->id, .client = client, .flags = flags};
    *result = (struct ref_result){
        .order = lease->order,
        .member = member->id,
        .truncate = truncates && !member->as_asked.keep_content,
    };
    struct ref_set *set = ref_find_set(ref, member->set);
    ref_clock(ref, set->id);
    ref->totals.opens++;
    struct ref_event *event = ref_tell(ref, EVENT(OPENED), set->id);
    event->member = member->id;
    event->order = lease->order;
    event->flags = flags;
    ref_tell_of(ref, client, event);
    if (set->lifetime != LIFETIME(ONCE))
        return;
    set->spent = true;
    ref_clear(ref, set->id);
}

static bool try_open(struct reference *ref, int client, const char *path, int flags,
                     struct ref_result *result) {
    struct ref_set *set = ref_find_path(ref, path, result);
    struct ref_member *member = set ? choose(ref, set, client, flags, result) : NULL;
    if (!member)
        return false;
    if (!ref_may_lease(ref, client))
        return fails(result, CODE(LIMIT), ENFILE);
    if (ref_member_leases(ref, member->id) == 0) {
        int error = set_status(ref, member, wanted_status(member, flags));
        if (error) {
            restore(ref, member);
            return fails(result, CODE(FLAGS), error);
        }
    }
    give_lease(ref, client, member, flags, result);
    return true;
}

/* ---------------------------------------------------------- opens, and waits */

static void denied(struct reference *ref, int client, const char *path, int flags,
                   const struct ref_result *result) {
    struct ref_event *event = ref_tell(ref, EVENT(DENIED), -1);
    ref->totals.denied++;
    ref_tell_path(event, path);
    event->flags = flags;
    event->code = result->code;
    ref_tell_of(ref, client, event);
}

static void answer(struct reference *ref, int client, uint32_t serial, const char *path, int flags,
                   const struct ref_result *result) {
    if (result->code) {
        denied(ref, client, path, flags, result);
        ref_refuse(ref, client, serial, result->code, result->error);
        return;
    }
    struct ref_reply *reply = ref_reply(ref, client, serial, REPLY(OPENED));
    assert_true(ref->result_count < REF_RESULTS);
    reply->first = ref->result_count;
    reply->count = 1;
    ref->results[ref->result_count++] = *result;
}

static bool may_wait(int code) {
    return code == CODE(NO_SET) || code == CODE(EMPTY_SET) || code == CODE(MODE) ||
           code == CODE(SYNC) || code == CODE(BUSY);
}

static bool begin_wait(struct reference *ref, const struct ref_waiting *wanted,
                       struct ref_result *result) {
    if (!ref_may_wait(ref, wanted->client))
        return fails(result, CODE(LIMIT), ENFILE);
    ref->waiting[ref->waiting_count++] = *wanted;
    ref->totals.waited++;
    struct ref_event *event = ref_tell(ref, EVENT(WANTED), -1);
    ref_tell_path(event, wanted->path);
    event->flags = wanted->flags;
    event->code = result->code;
    event->wait_ms = wanted->wait_ms;
    ref_tell_of(ref, wanted->client, event);
    return true;
}

void ref_open(struct reference *ref, int client, uint32_t serial, const char *path, int flags,
              uint32_t wait_ms) {
    struct ref_result result;
    if (wait_ms > 3600000) {
        ref_refuse(ref, client, serial, CODE(ARGUMENT), EINVAL);
        return;
    }
    bool may_come = wait_ms > 0 && (flags & O_ACCMODE) != O_ACCMODE;
    if (!try_open(ref, client, path, flags, &result) && may_come && may_wait(result.code)) {
        struct ref_waiting wanted = {
            .client = client, .flags = flags, .serial = serial, .wait_ms = wait_ms};
        snprintf(wanted.path, sizeof(wanted.path), "%s", path);
        if (begin_wait(ref, &wanted, &result))
            return;
    }
    answer(ref, client, serial, path, flags, &result);
}

static bool retry_all(struct reference *ref) {
    bool any = false;
    for (int i = 0; i < ref->waiting_count;) {
        struct ref_waiting waiting = ref->waiting[i];
        struct ref_result result;
        if (!try_open(ref, waiting.client, waiting.path, waiting.flags, &result) &&
            may_wait(result.code)) {
            i++;
            continue;
        }
        DROP(ref->waiting, ref->waiting_count, i);
        answer(ref, waiting.client, waiting.serial, waiting.path, waiting.flags, &result);
        any = true;
    }
    return any;
}

/* In their order; and again, as what one gets can be what another waits for. */
void ref_retry(struct reference *ref) {
    while (retry_all(ref))
        ;
}

/* Those whose time is short fail with what is in their way. */
bool ref_waits_end(struct reference *ref) {
    bool any = false;
    for (int i = 0; i < ref->waiting_count;) {
        struct ref_waiting waiting = ref->waiting[i];
        struct ref_result result;
        if (waiting.wait_ms > REF_SHORT_MS) {
            i++;
            continue;
        }
        assert_false(try_open(ref, waiting.client, waiting.path, waiting.flags, &result));
        DROP(ref->waiting, ref->waiting_count, i);
        ref->totals.expired++;
        answer(ref, waiting.client, waiting.serial, waiting.path, waiting.flags, &result);
        any = true;
    }
    return any;
}

void ref_open_many(struct reference *ref, int client, uint32_t serial, const struct wanted *wanted,
                   const uint32_t *wait_ms, size_t count) {
    if (count == 0) {
        ref_refuse(ref, client, serial, CODE(ARGUMENT), EINVAL);
        return;
    }
    struct ref_reply *reply = ref_reply(ref, client, serial, REPLY(OPENED_MANY));
    reply->first = ref->result_count;
    reply->count = (int)count;
    for (size_t i = 0; i < count; i++) {
        struct ref_result result;
        if (wait_ms[i] > 0)
            fails(&result, CODE(ARGUMENT), EINVAL);
        else
            try_open(ref, client, wanted[i].path, wanted[i].flags, &result);
        if (result.code)
            denied(ref, client, wanted[i].path, wanted[i].flags, &result);
        assert_true(ref->result_count < REF_RESULTS);
        ref->results[ref->result_count++] = result;
    }
}

void ref_close(struct reference *ref, int client, const uint64_t *leases, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (int j = 0; j < ref->lease_count; j++)
            if (leases[i] && ref->leases[j].id == leases[i] && ref->leases[j].client == client) {
                ref_lease_end(ref, j);
                ref->totals.closes++;
                break;
            }
}

void ref_lease_known(struct reference *ref, uint32_t order, uint32_t id) {
    for (int i = 0; i < ref->lease_count; i++) {
        if (ref->leases[i].id == id)
            fail_msg("lease %u is given twice", id);
        if (ref->leases[i].order == order)
            ref->leases[i].id = id;
    }
    for (int i = 0; i < ref->event_count; i++)
        if (ref->events[i].order == order)
            ref->events[i].lease = id;
}

/* ------------------------------------------------------------------ looking */

void ref_look(struct reference *ref, int client, uint32_t serial, const char *path) {
    struct ref_result result = {0};
    struct ref_set *set = ref_find_path(ref, path, &result);
    const struct ref_member *newest = NULL;
    int modes = 0;
    for (int i = 0; set && !set->spent && i < ref->member_count; i++) {
        const struct ref_member *member = &ref->members[i];
        if (member->set != set->id || member->removed)
            continue;
        newest = member;
        if ((member->flags & O_ACCMODE) != O_ACCMODE)
            modes |= 1 << (member->flags & O_ACCMODE);
        if (member->as_asked.serves_read_only && (member->flags & O_ACCMODE) == O_RDWR)
            modes |= 1 << O_RDONLY;
    }
    if (set && !newest)
        fails(&result, CODE(EMPTY_SET), EACCES);
    if (result.code) {
        ref_refuse(ref, client, serial, result.code, result.error);
        return;
    }
    struct ref_reply *reply = ref_reply(ref, client, serial, REPLY(LOOKED));
    reply->first = modes;
    reply->count = newest->file;
}

/* -------------------------------------------------------------------- holds */

static int find_hold(const struct reference *ref, int client, int set) {
    for (int i = 0; i < ref->hold_count; i++)
        if (ref->holds[i].client == client && ref->holds[i].set == set)
            return i;
    return -1;
}

void ref_hold(struct reference *ref, int client, uint32_t serial, const char *path) {
    struct ref_result result = {0};
    struct ref_set *set = ref_find_path(ref, path, &result);
    bool held = set && find_hold(ref, client, set->id) >= 0;
    if (set && !held && !ref_may_hold(ref, client))
        fails(&result, CODE(LIMIT), ENFILE);
    if (result.code) {
        ref_refuse(ref, client, serial, result.code, result.error);
        return;
    }
    if (!held)
        ref->holds[ref->hold_count++] = (struct ref_hold){client, set->id};
    ref_clock(ref, set->id);
    ref_done(ref, client, serial);
}

void ref_unhold(struct reference *ref, int client, uint32_t serial, const char *path) {
    struct ref_result result = {0};
    struct ref_set *set = ref_find_path(ref, path, &result);
    int hold = set ? find_hold(ref, client, set->id) : -1;
    if (!set && result.code == CODE(PATH)) {
        ref_refuse(ref, client, serial, result.code, result.error);
        return;
    }
    if (hold >= 0) {
        DROP(ref->holds, ref->hold_count, hold);
        ref_clock(ref, set->id);
        ref_trim(ref, set->id);
    }
    ref_done(ref, client, serial);
}
