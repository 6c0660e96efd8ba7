/* SPDX-License-Identifier: MIT */
/* Each call that a helper makes while it starts fails once, in each way that the
 * kernel may let it fail. It goes on and serves, or ends with status 1 and says
 * why; it never hangs, it never ends in silence, and it never says that it is ready
 * where it is not. */
#include "harness.h"
#include "plan.h"
#include "start-errors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct plan *plan;
static unsigned injections, went_on, silent;

/* All that it will ever say is there before the helper is. */
static struct client *speak_beforehand(int *inherited) {
    Fdset__V1__Hello hello = FDSET__V1__HELLO__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    *inherited = pair[1];
    struct client *client = client_new(pair[0]);
    hello.version = 1;
    request.body_case = FDSET__V1__REQUEST__BODY_HELLO;
    request.hello = &hello;
    client_send(client, &request, NULL, 0);
    client_send_open(client, "/dev/fdset/1", O_RDWR);
    shutdown(pair[0], SHUT_WR);
    return client;
}

static void expect_served(struct client *client, int disk) {
    assert_int_equal(client_answer(client, 1)->body_case, REPLY(HELLO));
    struct opened opened = client_opened(client, 2);
    assert_serves(opened.fd, disk, O_RDWR);
    harness_close(opened.fd);
    assert_hung_up(client);
}

/* One line, or one and a hint, with something after the last colon. 2 where it
 * takes the fault for a wrong command line. */
static bool is_reason(int status, const char *output) {
    const char prefix[] = "fdset-helper: ";
    const char *end = strchr(output, '\n');

    return (status == 1 || status == 2) && !strncmp(output, prefix, strlen(prefix)) && end &&
           end > output + strlen(prefix) && end[-1] != ' ';
}

static void expect_reason(int status, const char *output, const char *call) {
    if (is_reason(status, output))
        return;
    print_error("%s, %s for the %u. call of the start: status %d, \"%s\"\n", call,
                strerrorname_np(plan->gave), plan->which, status, output);
    silent++;
}

/* One start. Returns false if there are not so many calls. */
static bool start(int disk) {
    char output[4096], add[40], number[16], ready[16], path[128], line[16];
    int socket, pipes[2];
    struct client *client = speak_beforehand(&socket);

    snprintf(add, sizeof(add), "fd=%d,set=1", disk);
    snprintf(number, sizeof(number), "%d", socket);
    snprintf(path, sizeof(path), "%s", file_path("manage.sock"));
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    snprintf(ready, sizeof(ready), "%d", pipes[1]);
    plan->fitted = 0;
    plan->struck = false;
    plan->call = 0;
    plan->armed = true;
    int status = helper_run((const char *[]){"--add-fd", add, "--vmm-fd", number, "--manage", path,
                                             "--ready-fd", ready, "--user", "1000000", NULL},
                            (int[]){socket, disk, pipes[1], -1}, output, sizeof(output));
    close(socket);
    close(pipes[1]);
    ssize_t length = read(pipes[0], line, sizeof(line));
    close(pipes[0]);
    if ((length > 0) != (status == 0)) {
        print_error("%u. call of the start: status %d, and a ready line of %zd bytes\n",
                    plan->which, status, length);
        silent++;
    }
    unlink(path);
    injections += plan->struck;
    went_on += plan->struck && status == 0;
    if (status == 0)
        expect_served(client, disk);
    else
        expect_reason(status, output, start_call_find(plan->call)->name);
    client_free(client);
    return plan->call != 0;
}

/* Without --long, one error of each call, and not the same one each time. */
static void test_each_call_of_the_start_fails(void **state) {
    const char *is_long = getenv("FDSET_TEST_LONG");
    int disk = file_open("disk", O_RDWR);
    bool more = true;

    plan->point = POINT_START;
    plan->times = 1;
    for (plan->which = 1; more; plan->which++) {
        plan->error = is_long && *is_long ? 0 : plan->which % 2;
        do
            more = start(disk);
        while (more && is_long && *is_long && start_call_find(plan->call)->errors[++plan->error]);
    }
    print_message("# %u faults injected into %u calls, %u starts went on\n", injections,
                  plan->which - 2, went_on);
    assert_int_equal(silent, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_each_call_of_the_start_fails),
    };
    plan = plan_share();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
