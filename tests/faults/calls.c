/* SPDX-License-Identifier: MIT */
/* Each call that a running helper makes fails once, in each way that the kernel
 * may let it fail: the k-th of a scripted session, for every k. What may come of
 * it stands beside it. Then the helper serves, and has lost nothing and kept
 * nothing. */
#include "plan.h"
#include "session.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static const struct row {
    enum point point;
    const char *call;
    int error;
    enum fate worst;
    enum manner manner;
} rows[] = {
    {POINT_RECEIVE, "recvmsg", EINTR, FATE_WELL},
    {POINT_RECEIVE, "recvmsg", EAGAIN, FATE_WELL},
    {POINT_RECEIVE, "recvmsg", ECONNRESET, FATE_ENDED},
    {POINT_RECEIVE_FDS, "recvmsg with descriptors", EINTR, FATE_WELL},
    {POINT_RECEIVE_FDS, "recvmsg with descriptors", EAGAIN, FATE_WELL},
    {POINT_RECEIVE_FDS, "recvmsg with descriptors", ECONNRESET, FATE_ENDED},
    {POINT_RECEIVE_FDS, "recvmsg with descriptors, cut off", 0, FATE_REFUSED, MANNER_CUT_CONTROL},
    {POINT_HEAR_SETTLED, "recvmsg from a settle thread", EINTR, FATE_WELL},
    {POINT_AWAIT_WORK, "a settle thread's recvmsg", EINTR, FATE_WELL},
    {POINT_SEND, "sendmsg", EINTR, FATE_WELL},
    {POINT_SEND, "sendmsg", EAGAIN, FATE_WELL},
    {POINT_SEND, "sendmsg", ENOBUFS, FATE_WELL},
    {POINT_SEND, "sendmsg", ENOMEM, FATE_WELL},
    {POINT_SEND, "sendmsg", EPIPE, FATE_ENDED},
    {POINT_SEND, "sendmsg", ECONNRESET, FATE_ENDED},
    {POINT_SEND, "sendmsg", EACCES, FATE_ENDED}, /* a security module */
    {POINT_SEND_FDS, "sendmsg with descriptors", EINTR, FATE_WELL},
    {POINT_SEND_FDS, "sendmsg with descriptors", EAGAIN, FATE_WELL},
    {POINT_SEND_FDS, "sendmsg with descriptors", ENOBUFS, FATE_WELL},
    {POINT_SEND_FDS, "sendmsg with descriptors", ENOMEM, FATE_WELL},
    {POINT_SEND_FDS, "sendmsg with descriptors", ETOOMANYREFS, FATE_WELL},
    {POINT_SEND_FDS, "sendmsg with descriptors", EPIPE, FATE_ENDED},
    {POINT_SEND_FDS, "sendmsg with descriptors", ECONNRESET, FATE_ENDED},
    {POINT_SEND_FDS, "sendmsg with descriptors", EPERM, FATE_ENDED}, /* SO_PASSRIGHTS is off */
    {POINT_GIVE_WORK, "sendmsg to a settle thread", ENOBUFS, FATE_WELL},
    {POINT_GIVE_WORK, "sendmsg to a settle thread", ENOMEM, FATE_WELL},
    {POINT_SAY_SETTLED, "a settle thread's sendmsg", ENOBUFS, FATE_WELL},
    {POINT_SAY_SETTLED, "a settle thread's sendmsg", ENOMEM, FATE_WELL},
    {POINT_WAIT, "epoll_pwait", EINTR, FATE_WELL},
    {POINT_WAIT, "epoll_pwait, without an event", 0, FATE_WELL},
    {POINT_WATCH, "epoll_ctl(ADD)", ENOMEM, FATE_ENDED},
    {POINT_WATCH, "epoll_ctl(ADD)", ENOSPC, FATE_ENDED},
    {POINT_ACCEPT, "accept4", EINTR, FATE_WELL},
    {POINT_ACCEPT, "accept4", EAGAIN, FATE_WELL},
    {POINT_ACCEPT, "accept4", EMFILE, FATE_WELL},
    {POINT_ACCEPT, "accept4", ENFILE, FATE_WELL},
    {POINT_ACCEPT, "accept4", ENOBUFS, FATE_WELL},
    {POINT_ACCEPT, "accept4", ENOMEM, FATE_WELL},
    {POINT_ACCEPT, "accept4", ECONNABORTED, FATE_WELL},
    {POINT_ACCEPT, "accept4", EACCES, FATE_WELL},
    {POINT_ASK_FLAGS, "fcntl(F_GETFL)", EACCES, FATE_REFUSED},
    {POINT_SET_FLAGS, "fcntl(F_SETFL)", EPERM, FATE_REFUSED},
    {POINT_SET_FLAGS, "fcntl(F_SETFL)", EINVAL, FATE_REFUSED},
    {POINT_UNLOCK, "fcntl(F_OFD_SETLK)", EINTR, FATE_WELL},
    {POINT_UNLOCK, "fcntl(F_OFD_SETLK)", ENOLCK, FATE_WELL},
    {POINT_UNLOCK, "fcntl(F_OFD_SETLK)", EIO, FATE_WELL},
    {POINT_SWEEP, "flock, fcntl(F_SETLEASE)", EINTR, FATE_WELL},
    {POINT_SWEEP, "flock, fcntl(F_SETLEASE)", EACCES, FATE_WELL},
    {POINT_SWEEP, "flock, fcntl(F_SETLEASE)", ENOMEM, FATE_WELL},
    {POINT_CLOSE, "close", EINTR, FATE_WELL, MANNER_AFTERWARDS},
    {POINT_CLOSE, "close", EIO, FATE_WELL, MANNER_AFTERWARDS},
    {POINT_CLOSE, "close", ENOSPC, FATE_WELL, MANNER_AFTERWARDS},
    {POINT_LOOK, "statx", ENOMEM, FATE_REFUSED},
    {POINT_LOOK, "statx", EIO, FATE_REFUSED},
    {POINT_LOOK, "statx", EINTR, FATE_REFUSED},
    {POINT_ASK_FS, "fstatfs", EIO, FATE_WELL},
    {POINT_ASK_FS, "fstatfs", EINTR, FATE_WELL},
    {POINT_ASK_FS, "fstatfs", ENOSYS, FATE_WELL},
    {POINT_ASK_PEER, "getsockopt(SO_PEERCRED)", EACCES, FATE_ENDED},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static struct plan *plan;
static unsigned injections;
static char now[100]; /* which one is under way */

/* Not before the helper has done with what was last asked: it may look once more
 * whether there is something to receive, from those who are to be spared. */
static void arm(const struct row *row, uint32_t which, uint32_t times) {
    wait_until((sched_yield(), plan->resting));
    plan->point = row->point;
    plan->manner = row->manner;
    plan->error = row->error;
    plan->which = which;
    plan->times = times;
    plan->fitted = 0;
    plan->struck = false;
    plan->armed = true;
}

static void expect_fate(const struct row *row, uint32_t which, const struct outcome *outcome) {
    if (outcome->fate <= row->worst)
        return;
    fail_msg("%s: %s for the %u. time: \"%s\" was %s %s", row->call,
             row->error ? strerrorname_np(row->error) : "", which, outcome->step,
             outcome->fate == FATE_ENDED ? "hung up" : "refused", outcome->text);
}

/* Which one it was if the test ends here. */
static void say(const struct row *row, uint32_t which) {
    snprintf(now, sizeof(now), "%s %s, number %u", row->call,
             row->error ? strerrorname_np(row->error) : "", which);
}

/* Those who clean up after the session are to be spared. */
static bool meets_everybody(enum point point) {
    return point == POINT_RECEIVE || point == POINT_RECEIVE_FDS || point == POINT_SEND ||
           point == POINT_SEND_FDS || point == POINT_WAIT;
}

/* Returns whether there were so many calls. */
static bool try_one(struct helper *helper, const struct row *row, uint32_t which, uint32_t times) {
    say(row, which);
    session_locks_may_stay = row->point == POINT_UNLOCK && row->error != EINTR;
    arm(row, which, times);
    struct outcome outcome = session_run(helper, NULL);
    if (meets_everybody(row->point))
        plan->armed = false;
    session_clean(helper);
    plan->armed = false;
    bool struck = plan->struck;
    if (session_locks_may_stay)
        session_unlock();
    expect_fate(row, which, &outcome);
    session_expect_served(helper);
    injections += struck;
    return struck;
}

/* With --long, also several calls in a row. */
static uint32_t most_times(void) {
    const char *is_long = getenv("FDSET_TEST_LONG");
    return is_long && *is_long ? 16 : 1;
}

static void try_row(struct helper *helper, const struct row *row) {
    for (uint32_t times = 1, which; times <= most_times(); times *= 4) {
        for (which = 1; try_one(helper, row, which, times); which++)
            ;
        print_message("# %s%s%s, %u in a row: %u calls\n", row->call, row->error ? ", " : "",
                      row->error ? strerrorname_np(row->error) : "", times, which - 1);
    }
}

static void test_each_call_fails(void **state) {
    struct helper *helper = helper_start(NULL);
    session_prepare();
    for (size_t i = 0; i < ROWS; i++)
        try_row(helper, &rows[i]);
    print_message("# %u faults injected\n", injections);
    now[0] = '\0';
}

#define SENT_AHEAD 200

/* Where somebody sends without waiting for replies, a turn of the loop serves
 * several. */
static void test_what_is_sent_ahead_takes_few_turns(void **state) {
    const struct row row = {POINT_WAIT, "epoll_pwait", EINTR, FATE_WELL};
    struct helper *helper = helper_start(NULL);
    uint32_t serials[SENT_AHEAD];
    int status;

    client_add_one(helper->manager, 1, file_open("disk", O_RDONLY));
    client_wait_settled(helper->manager);
    arm(&row, UINT32_MAX, 1); /* so many there will not be, but they are counted */
    kill(helper->pid, SIGSTOP);
    assert_int_equal(waitpid(helper->pid, &status, WUNTRACED), helper->pid);
    for (int i = 0; i < SENT_AHEAD; i++)
        serials[i] = client_send_open(helper->vmm, "/dev/fdset/1", O_RDONLY);
    kill(helper->pid, SIGCONT);
    for (int i = 0; i < SENT_AHEAD; i++)
        harness_close(client_opened(helper->vmm, serials[i]).fd);
    plan->armed = false;
    assert_in_range(plan->fitted, 1, SENT_AHEAD / 2);
}

/* One that has failed is not asked to end well too. */
static int end(void **state) {
    if (!now[0])
        return harness_end(state);
    print_error("with %s\n", now);
    return harness_begin(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_call_fails, harness_begin, end),
        helper_test(test_what_is_sent_ahead_takes_few_turns),
    };
    plan = plan_share();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
