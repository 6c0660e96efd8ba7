/* SPDX-License-Identifier: MIT */
/* Clients that are processes of their own: see child.h. */
#include "child.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void child_main(struct helper *helper, int role, const char *name,
                       void (*body)(struct child_side *), struct child_side *side) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setenv("CMOCKA_TEST_ABORT", "1", 1);
    /* Connections that only we end must not live on in this process. */
    for (struct client *other = helper->clients; other; other = other->next)
        if (other->socket >= 0)
            client_hang_up(other);
    side->client = helper_connect(helper, role, name);
    body(side);
    _exit(0);
}

struct child child_start(struct helper *helper, int role, const char *name,
                         void (*body)(struct child_side *), void *data) {
    int up[2], down[2];

    assert_int_equal(pipe2(up, O_CLOEXEC), 0);
    assert_int_equal(pipe2(down, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct child_side side = {.from = down[0], .to = up[1], .data = data};
        close(up[0]);
        close(down[1]);
        child_main(helper, role, name, body, &side);
    }
    close(up[1]);
    close(down[0]);
    return (struct child){pid, harness_keep(up[0]), harness_keep(down[1])};
}

void child_wait(struct child *child) {
    struct pollfd ready = {.fd = child->from, .events = POLLIN};
    char byte;

    if (poll(&ready, 1, client_patience * 1000) != 1 || read(child->from, &byte, 1) != 1)
        fail_msg("the child process has failed, or hangs");
}

void child_go(struct child *child) {
    assert_int_equal(write(child->to, "", 1), 1);
}

void parent_tell(struct child_side *side) {
    assert_int_equal(write(side->to, "", 1), 1);
}

void parent_wait(struct child_side *side) {
    char byte;
    if (read(side->from, &byte, 1) != 1)
        _exit(1); /* it has failed, and says so itself */
}

void child_kill(struct child *child) {
    int status;
    assert_int_equal(kill(child->pid, SIGKILL), 0);
    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

void child_join(struct child *child) {
    int status;
    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}
