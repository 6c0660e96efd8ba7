/* SPDX-License-Identifier: MIT */
/* The socket files that a helper makes: whose they are, what they replace, and that they
 * go again; and the listening sockets that it is handed. */
#include "harness.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char output[16384];

static int run(const char *const *arguments, const int *inherited) {
    return helper_run(arguments, inherited, output, sizeof(output));
}

#define ARGUMENTS(...) ((const char *[]){__VA_ARGS__, NULL})

static void test_sockets_are_private(void **state) {
    struct helper *helper = helper_start(NULL);
    struct stat status;
    for (int role = ROLE(VMM); role <= ROLE(OBSERVER); role++) {
        assert_int_equal(stat(helper_socket_path(role), &status), 0);
        assert_true(S_ISSOCK(status.st_mode));
        assert_int_equal(status.st_mode & 07777, 0600);
    }
    assert_int_equal(client_totals(helper->manager).connections, 2);
}

/* What a shell or service manager had for an umask is no matter. */
static void test_modes_as_asked(void **state) {
    static const struct {
        const char *text;
        mode_t mode;
    } modes[] = {{"0660", 0660}, {"666", 0666}, {"0", 0}, {"0200", 0200}, {"0777", 0777}};
    static const char *const options[] = {"--vmm-mode", "--manage-mode", "--observe-mode"};
    struct stat status;

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        mode_t before = umask(i % 2 ? 0 : 0077);
        int role = (int)i % 3;
        struct helper *helper = helper_start(ARGUMENTS(options[role], modes[i].text));
        umask(before);
        for (int other = ROLE(VMM); other <= ROLE(OBSERVER); other++) {
            assert_int_equal(stat(helper_socket_path(other), &status), 0);
            assert_int_equal(status.st_mode & 07777, other == role + 1 ? modes[i].mode : 0600);
        }
        helper_end(helper);
        harness_put_away();
        assert_int_equal(harness_begin(state), 0);
    }
}

static void expect_owner(int role, uid_t uid, gid_t gid) {
    struct stat status;
    assert_int_equal(stat(helper_socket_path(role), &status), 0);
    assert_int_equal(status.st_uid, uid);
    assert_int_equal(status.st_gid, gid);
}

static void test_owners_as_asked(void **state) {
    if (geteuid() != 0)
        skip();
    helper_start(ARGUMENTS("--vmm-owner", "daemon:3", "--manage-owner", "4242", "--observe-owner",
                           ":nogroup"));
    expect_owner(ROLE(VMM), getpwnam("daemon")->pw_uid, 3);
    expect_owner(ROLE(MANAGER), 4242, getegid());
    expect_owner(ROLE(OBSERVER), 0, getgrnam("nogroup")->gr_gid);
}

/* In a child that becomes that user: what it gets for its connection and Hello. */
static int connect_as(uid_t uid, int role) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int status;

    strcpy(address.sun_path, helper_socket_path(role));
    pid_t child = fork();
    if (child == 0) {
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
            _exit(255);
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
            _exit(errno);
        /* A manager that is turned away hears so at once. */
        struct pollfd heard = {.fd = fd, .events = POLLIN};
        _exit(poll(&heard, 1, role == ROLE(MANAGER) ? 300 : 0) > 0 ? EPERM : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WEXITSTATUS(status);
}

/* Without a chown after it: a VMM of another user, and a manager, reach a helper of root's. */
static void test_owner_may_connect(void **state) {
    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(file_path(""), 0711), 0);
    helper_start(ARGUMENTS("--vmm-owner", "4242", "--manage-owner", "4243", "--vmm-mode", "0660"));
    assert_int_equal(connect_as(4242, ROLE(VMM)), 0);
    assert_int_equal(connect_as(4243, ROLE(VMM)), EACCES);
    assert_int_equal(connect_as(4243, ROLE(MANAGER)), 0);
    assert_int_equal(connect_as(4242, ROLE(MANAGER)), EACCES);
    assert_int_equal(connect_as(4242, ROLE(OBSERVER)), EACCES);
}

/* Who may connect may not yet manage. */
/* It sees all users but its own as one: whom the file lets in is a manager. */
static void test_a_users_helper_lets_the_mode_decide(void **state) {
    if (geteuid() != 0)
        skip();
    if (getenv("FDSET_TEST_WRAPPER")) /* which it would replace */
        return;
    assert_int_equal(chmod(file_path(""), 0777), 0);
    setenv("FDSET_TEST_WRAPPER", "setpriv --reuid 4242 --regid 4242 --clear-groups", 1);
    helper_start(ARGUMENTS("--manage-mode", "0666", "--observe-mode", "0600"));
    unsetenv("FDSET_TEST_WRAPPER");
    assert_int_equal(connect_as(4243, ROLE(MANAGER)), 0);
    assert_int_equal(connect_as(4243, ROLE(OBSERVER)), EACCES);
    assert_int_equal(connect_as(4242, ROLE(OBSERVER)), 0);
}

static void test_mode_makes_no_manager(void **state) {
    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(file_path(""), 0711), 0);
    helper_start(ARGUMENTS("--manage-mode", "0666"));
    assert_int_equal(connect_as(4242, ROLE(MANAGER)), EPERM);
}

static int bind_as(int type, const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static int bind_at(const char *path) {
    return bind_as(SOCK_SEQPACKET, path);
}

static void test_stale_socket_is_replaced(void **state) {
    close(bind_at(helper_socket_path(ROLE(MANAGER))));
    struct helper *helper = helper_start(NULL);
    helper_connect(helper, ROLE(MANAGER), "finds the new one");
}

static void test_live_socket_is_left_alone(void **state) {
    struct helper *helper = helper_start(NULL);
    char path[128];
    snprintf(path, sizeof(path), "%s", helper_socket_path(ROLE(MANAGER)));
    char wanted[64];
    snprintf(wanted, sizeof(wanted), "process %d (fdset-helper", helper->pid);
    assert_int_equal(run(ARGUMENTS("--manage", path), NULL), 1);
    assert_non_null(strstr(output, wanted));
    helper_connect(helper, ROLE(MANAGER), "still there");
}

/* What a helper has made before it was refused the next would be dead for ever. */
static void test_what_was_made_is_taken_back(void **state) {
    struct stat status;
    int file = file_open("in-the-way", O_RDWR);
    assert_true(file >= 0);
    char path[128];
    snprintf(path, sizeof(path), "%s", file_path("made-first"));
    assert_int_equal(run(ARGUMENTS("--manage", path, "--vmm", file_path("in-the-way")), NULL), 1);
    assert_non_null(strstr(output, "in-the-way: something is there that is not a socket"));
    assert_int_equal(stat(path, &status), -1);
    assert_int_equal(run(ARGUMENTS("--manage", path, "--vmm", path), NULL), 1);
    assert_non_null(strstr(output, "it was given twice"));
    assert_int_equal(stat(path, &status), -1);
}

/* An empty path would be an abstract socket that nobody finds. */
static void test_path_that_leads_nowhere(void **state) {
    assert_int_equal(run(ARGUMENTS("--manage", ""), NULL), 1);
    assert_non_null(strstr(output, "path is empty"));
    assert_int_equal(run(ARGUMENTS("--manage", file_path("none/manage")), NULL), 1);
    assert_non_null(strstr(output, "/none: No such file or directory"));
}

/* Who holds the lock of a directory for ever, for which reading it is enough, keeps no
 * helper from it. It goes on, here to what is in its way. */
static void test_locked_directory(void **state) {
    int directory = harness_keep(open(file_path(""), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    file_open("in-the-way", O_RDWR);
    assert_int_equal(flock(directory, LOCK_SH), 0);
    assert_int_equal(run(ARGUMENTS("--manage", file_path("in-the-way")), NULL), 1);
    assert_non_null(strstr(output, "is locked by another process"));
    assert_non_null(strstr(output, "in-the-way: something is there that is not a socket"));
}

/* Somebody else's, alive: it cannot be connected to from a SEQPACKET socket. */
static void test_socket_of_another_kind_is_left_alone(void **state) {
    struct stat before, after;
    int listening = harness_keep(bind_as(SOCK_STREAM, file_path("manage.sock")));
    assert_int_equal(listen(listening, 5), 0);
    assert_int_equal(stat(file_path("manage.sock"), &before), 0);
    assert_int_equal(run(ARGUMENTS("--manage", file_path("manage.sock")), NULL), 1);
    assert_int_equal(stat(file_path("manage.sock"), &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
}

static void test_file_in_the_way_is_left_alone(void **state) {
    struct stat status;
    int file = file_open("manage.sock", O_RDWR);
    assert_int_equal(write(file, "mine", 4), 4);
    assert_int_equal(run(ARGUMENTS("--manage", file_path("manage.sock")), NULL), 1);
    assert_int_equal(stat(file_path("manage.sock"), &status), 0);
    assert_true(S_ISREG(status.st_mode));
    assert_int_equal(status.st_size, 4);
}

static void test_path_that_is_too_long(void **state) {
    char path[200];
    memset(path, 'p', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(run(ARGUMENTS("--manage", path), NULL), 1);
}

static void test_inherited_listening_socket(void **state) {
    char number[16];
    int listening = harness_keep(bind_at(file_path("inherited.sock")));
    assert_int_equal(listen(listening, 5), 0);
    snprintf(number, sizeof(number), "%d", listening);
    struct helper *helper =
        helper_start_with(ARGUMENTS("--observe-fd", number), (int[]){listening, -1});
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, file_path("inherited.sock"));
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct client *client = client_new(fd);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(client_hello(client, "late")->hello->role, ROLE(OBSERVER));
    client_free(client);
    assert_int_equal(client_query(helper->manager, SET_ALL, NULL)->n_sets, 0);
}

static void test_inherited_nonsense(void **state) {
    int file = file_open("file", O_RDWR), sockets[2];
    char number[16];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    harness_keep(sockets[0]);
    harness_keep(sockets[1]);
    int wrong[] = {file, sockets[0], 999};
    for (int i = 0; i < 3; i++) {
        snprintf(number, sizeof(number), "%d", wrong[i]);
        assert_int_equal(run(ARGUMENTS("--vmm-fd", number), (int[]){file, sockets[0], -1}), 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_sockets_are_private),
        helper_test(test_modes_as_asked),
        helper_test(test_owners_as_asked),
        helper_test(test_owner_may_connect),
        helper_test(test_a_users_helper_lets_the_mode_decide),
        helper_test(test_mode_makes_no_manager),
        helper_test(test_stale_socket_is_replaced),
        helper_test(test_live_socket_is_left_alone),
        helper_test(test_what_was_made_is_taken_back),
        helper_test(test_path_that_leads_nowhere),
        helper_test(test_locked_directory),
        helper_test(test_socket_of_another_kind_is_left_alone),
        helper_test(test_file_in_the_way_is_left_alone),
        helper_test(test_path_that_is_too_long),
        helper_test(test_inherited_listening_socket),
        helper_test(test_inherited_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
