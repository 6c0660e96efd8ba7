/* SPDX-License-Identifier: MIT */
/* A second helper of the same user: see other-helper.h. */
#include "other-helper.h"

#include "scene.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void run(int vmm, int manage) {
    char user[16], vmm_fd[16], manage_fd[16];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fcntl(vmm, F_SETFD, 0);
    fcntl(manage, F_SETFD, 0);
    /* As harness.c has it. */
    snprintf(user, sizeof(user), "%d", 1000000 + getppid());
    snprintf(vmm_fd, sizeof(vmm_fd), "%d", vmm);
    snprintf(manage_fd, sizeof(manage_fd), "%d", manage);
    execl(getenv("FDSET_TEST_HELPER"), "fdset-helper", "--user", user, "--vmm-fd", vmm_fd,
          "--manage-fd", manage_fd, "--vmm", file_path("other.sock"), "--quiet", NULL);
    _exit(127);
}

/* The harness frees it, after a test that has failed too. */
static struct client *add_client(struct other_helper *other, int fd) {
    struct client *client = client_new(fd);

    client->next = other->beside->clients;
    other->beside->clients = client;
    return client;
}

void other_helper_start(struct other_helper *other, struct helper *beside) {
    int vmm[2], manage[2];

    *other = (struct other_helper){.beside = beside};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, vmm), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, manage), 0);
    other->pid = fork();
    assert_true(other->pid >= 0);
    if (other->pid == 0)
        run(vmm[1], manage[1]);
    close(vmm[1]);
    close(manage[1]);
    other->victim = add_client(other, vmm[0]);
    other->manager = add_client(other, manage[0]);
    client_hello(other->victim, "other vmm");
    client_hello(other->manager, "other manager");
    other->disk = file_open("other disk", O_RDWR);
    client_add_one(other->manager, VICTIMS, other->disk);
    struct new_member anyones = {.fd = scene_log(), .sharing = SHARING(SHARED)};
    client_add_set(other->manager, SHARED, 0, &anyones, 1);
}

void other_helper_expect_served(struct other_helper *other) {
    struct opened opened = client_open_set(other->victim, VICTIMS, O_RDWR);
    assert_serves(opened.fd, other->disk, O_RDWR);
    client_close(other->victim, &opened);
}

void other_helper_hoard(struct other_helper *other, int connections, size_t opens, int packets) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", file_path("other.sock"));
    for (int i = 0; i < connections; i++) {
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        struct client *attacker = add_client(other, fd);
        attacker->may_end = true;
        other->attackers[other->attacker_count++] = attacker;
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
            continue;
        attacker_greet(attacker);
        for (int packet = 0; packet < packets; packet++)
            attacker_ask(attacker, opens);
    }
}

void other_helper_end(struct other_helper *other) {
    int status;

    /* It ends with the last VMM. */
    for (int i = 0; i < other->attacker_count; i++)
        client_hang_up(other->attackers[i]);
    client_hang_up(other->victim);
    client_hang_up(other->manager);
    assert_int_equal(waitpid(other->pid, &status, 0), other->pid);
    assert_int_equal(status, 0);
}
