/* SPDX-License-Identifier: MIT */
/* A helper that goes and comes again: see restart.h. */
#include "restart.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char directory[64], path[80];
static int listening = -1;
char story[64];
int outcome;

void tell(void *context, enum fdset_link link, const char *text) {
    assert_ptr_equal(context, &story);
    assert_true(strlen(text) > 0);
    strncat(story,
            link == FDSET_LINK_UP     ? "U"
            : link == FDSET_LINK_DOWN ? "D"
                                      : "G",
            sizeof(story) - strlen(story) - 1);
}

const struct fdset_reconnect eager = {
    .first_ms = 1, .most_ms = 2, .give_up_ms = 60000, .state = tell, .context = &story};

const struct fdset_reconnect hopeless = {
    .first_ms = 3600000, .give_up_ms = 1, .state = tell, .context = &story};

/* -------------------------------------------------------------- the helper */

void listen_again(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    unlink(path);
    listening = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    strcpy(address.sun_path, path);
    assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listening, 5), 0);
}

void stop_listening(void) {
    close(listening);
    listening = -1;
}

Request *accept_one(void) {
    fake.socket = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fake.socket >= 0);
    return fake_receive(REQUEST_IS(HELLO));
}

void accept_role(Fdset__V1__Role role) {
    Request *request = accept_one();
    assert_string_equal(request->hello->name, "a name");
    assert_string_equal(request->hello->owner, role == ROLE(MANAGER) ? "a label" : "");
    fake_hello(request->serial, 1, role);
}

static void *run_attach(void *data) {
    struct call *call = data;
    call->result = fdset_vmm_attach_path(&fake.vmm, path, "a name");
    return NULL;
}

static void *run_connect(void *data) {
    struct fdset_manager_options options = {.name = "a name", .owner = "a label"};
    struct call *call = data;
    call->result = fdset_manager_connect_as(&fake.manager, path, &options);
    return NULL;
}

void begin(Fdset__V1__Role role) {
    struct call call;
    strcpy(directory, "/tmp/fdset-reconnect-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/socket", directory);
    story[0] = '\0';
    fake = (struct fake){.socket = -1};
    listen_again();
    assert_int_equal(
        pthread_create(&call.thread, NULL, role == ROLE(VMM) ? run_attach : run_connect, &call), 0);
    accept_role(role);
    assert_int_equal(call_end(&call), 0);
}

void end(void) {
    if (listening >= 0)
        stop_listening();
    unlink(path);
    rmdir(directory);
    fake_end();
}

void begin_vmm(const struct fdset_reconnect *reconnect) {
    begin(ROLE(VMM));
    assert_int_equal(fdset_vmm_set_reconnect(fake.vmm, reconnect), 0);
}

void note(struct fdset_vmm *vmm, int fd, void *context) {
    outcome = fd;
}
