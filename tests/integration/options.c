/* SPDX-License-Identifier: MIT */
/* The command line, and how a helper begins and ends. */
#include "harness.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
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

static void test_help(void **state) {
    static const char *const options[] = {"--manage ",    "--vmm ",    "--observe ", "--manage-fd ",
                                          "--vmm-fd ",    "--add-fd ", "--linger",   "--limit ",
                                          "--observe-fd", "--help",    "--version"};
    assert_int_equal(run(ARGUMENTS("--help"), NULL), 0);
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        if (!strstr(output, options[i]))
            fail_msg("--help does not tell of %s", options[i]);
}

static void test_version(void **state) {
    assert_int_equal(run(ARGUMENTS("--version"), NULL), 0);
    assert_memory_equal(output, "fdset-helper ", 13);
    assert_true(output[13] >= '0' && output[13] <= '9');
}

static void test_wrong_usage(void **state) {
    static const char *const wrong[][4] = {
        {NULL},
        {"--nonsense"},
        {"argument"},
        {"--manage"},
        {"--vmm-fd", "0"},
        {"--vmm-fd", "x"},
        {"--vmm-fd", "-1"},
        {"--vmm-fd", "99999999999999999999"},
        {"--limit", "sets"},
        {"--limit", "sets="},
        {"--limit", "sets=0"},
        {"--limit", "sets=-1"},
        {"--limit", "sets=3x"},
        {"--limit", "sets=4294967297"},
        {"--limit", "nonsense=3"},
        {"--user", "0"},
        {"--user", "root"},
        {"--user", ""},
        {"--user", "nobody:"},
        {"--user", "no-such-user"},
        {"--user", "nobody:no-such-group"},
        {"--user", "4294967295"},
        {"--vmm-mode", "0660"}, /* for no socket */
        {"--vmm-mode", ""},
        {"--vmm-mode", "660x"},
        {"--vmm-mode", "-1"},
        {"--vmm-mode", "0680"},
        {"--manage-mode", "4600"},
        {"--observe-mode", "u+rw"},
        {"--vmm-owner", "nobody"}, /* for no socket */
        {"--vmm-owner", ""},
        {"--vmm-owner", ":"},
        {"--manage-owner", "no-such-user"},
        {"--observe-owner", ":no-such-group"},
        {"--sandbox", "off"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        print_message("# %s %s\n", wrong[i][0] ? wrong[i][0] : "", wrong[i][1] ? wrong[i][1] : "");
        assert_int_equal(run(wrong[i], NULL), 2);
        assert_true(strlen(output) > 20);
    }
}

/* Not of a user without a name, nor of a number that is missing where one was given. */
static void test_wrong_ids_are_told(void **state) {
    static const char *const rows[][3] = {
        {"--user", ":5", "expected USER or USER:GROUP"},
        {"--user", "4294967295", "no user has the number 4294967295"},
        {"--user", "99999999999999999999", "no user has the number 99999999999999999999"},
        {"--user", "5:4294967295", "no group has the number 4294967295"},
        {"--vmm-owner", "4294967295", "no user has the number 4294967295"},
        {"--vmm-owner", ":4294967295", "no group has the number 4294967295"},
        {"--vmm-owner", "7seas", "there is no user '7seas' in /etc/passwd: give a number"},
        {"--vmm-owner", ":no-such", "there is no group 'no-such' in /etc/group: give a number"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(run(ARGUMENTS(rows[i][0], rows[i][1]), NULL), 2);
        if (!strstr(output, rows[i][2]))
            fail_msg("%s %s: %s", rows[i][0], rows[i][1], output);
    }
}

/* ---------------------------------------------------------------- --add-fd */

/* What QEMU's -add-fd refuses, refused as a wrong command line. FD is an open descriptor. */
static void test_add_fd_refused(void **state) {
    static const char *const wrong[] = {
        "fd=FD",
        "set=1",
        "fd=FD,set=",
        "fd=,set=1",
        "fd=FD,set=-1",
        "fd=FD,set=2147483648",
        "fd=FD,set=1x",
        "fd=-1,set=1",
        "fd=0,set=1",
        "fd=2,set=1",
        "fd=999,set=1",
        "fd=FDx,set=1",
        "fd=99999999999999999999,set=1",
        "fd=FD,set=1,nonsense=1",
        "fd=FD,set=1,opaque",
        "FD",
        "",
    };
    int disk = file_open("disk", O_RDWR);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char option[64], *at;
        snprintf(option, sizeof(option), "%s", wrong[i]);
        if ((at = strstr(option, "FD")))
            snprintf(at, sizeof(option) - (size_t)(at - option), "%d%s", disk,
                     strstr(wrong[i], "FD") + 2);
        print_message("# --add-fd %s\n", option);
        assert_int_equal(
            run(ARGUMENTS("--manage", file_path("m"), "--add-fd", option), (int[]){disk, -1}), 2);
    }
}

static void test_add_fd(void **state) {
    int ro = file_open("disk", O_RDONLY), rw = file_open("disk", O_RDWR);
    char first[64], second[64], third[64];
    snprintf(first, sizeof(first), "fd=%d,set=0,opaque=a,,b=c,,", ro);
    snprintf(second, sizeof(second), "set=0,fd=%d", rw);
    int again = file_open("disk", O_RDONLY);
    snprintf(third, sizeof(third), "opaque=,fd=%d,set=2147483647", again);
    struct helper *helper =
        helper_start_with(ARGUMENTS("--add-fd", first, "--add-fd", second, "--add-fd", third),
                          (int[]){ro, rw, again, -1});

    QueryReply *page = client_query(helper->manager, SET_ALL, NULL);
    assert_int_equal(page->n_sets, 2);
    SetInfo *set = page->sets[0];
    assert_int_equal(set->set, 0);
    assert_int_equal(set->lifetime, LIFETIME(KEEP));
    assert_int_equal(set->n_members, 2);
    assert_string_equal(set->members[0]->opaque, "a,b=c,");
    assert_int_equal(set->members[1]->label_case, FDSET__V1__MEMBER_INFO__LABEL__NOT_SET);
    set = page->sets[1];
    assert_int_equal(set->set, 2147483647);
    assert_int_equal(set->members[0]->label_case, FDSET__V1__MEMBER_INFO__LABEL_OPAQUE);
    assert_string_equal(set->members[0]->opaque, "");
    /* It came with the helper, not with the machine's start. */
    assert_true(set->members[0]->age_ms <= page->totals->uptime_ms);

    assert_serves(client_open_set(helper->vmm, 0, O_RDONLY).fd, ro, O_RDONLY);
    assert_serves(client_open_set(helper->vmm, 0, O_RDWR).fd, rw, O_RDWR);
    assert_serves(client_open_set(helper->vmm, 2147483647, O_RDONLY).fd, again, O_RDONLY);
    assert_held(helper, ro, 3); /* the inherited numbers themselves are closed */
    for (int id = 0; id >= 0; id = id ? -1 : 2147483647)
        client_remove(helper->manager, id, 0);
    if (helper->descriptors >= 0)
        helper->descriptors -= 3;
}

/* An open of the one would change the flags of the other, and its end take the locks. */
static void test_add_fd_of_duplicates(void **state) {
    int disk = file_open("disk", O_RDWR), copy = harness_keep(dup(disk));
    int numbers[] = {disk, copy};
    for (int set = 1; set <= 2; set++) {
        for (int i = 0; i < 2; i++) {
            char one[64], two[64];
            snprintf(one, sizeof(one), "fd=%d,set=1", disk);
            snprintf(two, sizeof(two), "fd=%d,set=%d", numbers[i], set);
            assert_int_equal(
                run(ARGUMENTS("--manage", file_path("m"), "--add-fd", one, "--add-fd", two),
                    (int[]){disk, copy, -1}),
                1);
            assert_non_null(strstr(output, "open the file once for each"));
        }
    }
}

/* One option would have what the other has taken, or one socket two roles. */
static void test_descriptor_for_two_options(void **state) {
    static const char *const options[][2] = {
        {"--vmm-fd", "--manage-fd"}, {"--vmm-fd", "--vmm-fd"}, {"--ready-fd", "--observe-fd"}};
    int sockets[2], disk = file_open("disk", O_RDWR);
    char number[16], add[32];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    harness_keep(sockets[0]);
    harness_keep(sockets[1]);
    snprintf(number, sizeof(number), "%d", sockets[0]);
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        assert_int_equal(
            run(ARGUMENTS(options[i][0], number, options[i][1], number), (int[]){sockets[0], -1}),
            2);
        assert_non_null(strstr(output, "is given to two options"));
    }
    snprintf(number, sizeof(number), "%d", disk);
    snprintf(add, sizeof(add), "fd=%d,set=1", disk);
    assert_int_equal(
        run(ARGUMENTS("--manage", file_path("m"), "--ready-fd", number, "--add-fd", add),
            (int[]){disk, -1}),
        2);
    assert_non_null(strstr(output, "is given to two options"));
}

static void test_add_fd_of_what_is_no_file(void **state) {
    int sockets[2];
    char option[64];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    harness_keep(sockets[0]);
    harness_keep(sockets[1]);
    snprintf(option, sizeof(option), "fd=%d,set=1", sockets[0]);
    assert_int_equal(
        run(ARGUMENTS("--manage", file_path("m"), "--add-fd", option), (int[]){sockets[0], -1}), 1);
}

static void test_add_fd_of_another_file(void **state) {
    int disk = file_open("disk", O_RDWR), other = file_open("other", O_RDWR);
    char one[64], two[64];
    snprintf(one, sizeof(one), "fd=%d,set=1", disk);
    snprintf(two, sizeof(two), "fd=%d,set=1", other);
    assert_int_equal(run(ARGUMENTS("--manage", file_path("m"), "--add-fd", one, "--add-fd", two),
                         (int[]){disk, other, -1}),
                     1);
}

/* ----------------------------------------------------------------- sockets */

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

/* ----------------------------------------------------------------- the end */

static void test_ends_with_its_vmm(void **state) {
    struct helper *helper = helper_start(NULL);
    helper_connect(helper, ROLE(MANAGER), "does not hold it");
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    client_hang_up(helper->vmm);
    assert_int_equal(helper_wait(helper), 0);
    assert_hung_up(helper->manager);
}

static void test_last_vmm_counts(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *second = helper_connect(helper, ROLE(VMM), "second");
    client_hang_up(helper->vmm);
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    assert_true(client_open_set(second, 1, O_RDWR).fd >= 0);
    client_hang_up(second);
    assert_int_equal(helper_wait(helper), 0);
}

static void test_does_not_end_with_its_manager(void **state) {
    struct helper *helper = helper_start(NULL);
    client_hang_up(helper->manager);
    client_barrier(helper->vmm);
    helper_connect(helper, ROLE(MANAGER), "the next");
}

static void test_linger(void **state) {
    struct helper *helper = helper_start(ARGUMENTS("--linger"));
    int disk = file_open("disk", O_RDWR);
    struct new_member member = {.fd = disk};
    client_add_set(helper->manager, 1, LIFETIME(KEEP), &member, 1);
    client_hang_up(helper->vmm);
    while (client_totals(helper->manager).connections == 2)
        ;
    struct client *next = helper_connect(helper, ROLE(VMM), "the next");
    assert_serves(client_open_set(next, 1, O_RDWR).fd, disk, O_RDWR);
    client_hang_up(next);
    kill(helper->pid, SIGTERM);
    assert_int_equal(helper_wait(helper), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_help),
        helper_test(test_version),
        helper_test(test_wrong_usage),
        helper_test(test_wrong_ids_are_told),
        helper_test(test_add_fd_refused),
        helper_test(test_add_fd),
        helper_test(test_add_fd_of_duplicates),
        helper_test(test_descriptor_for_two_options),
        helper_test(test_add_fd_of_what_is_no_file),
        helper_test(test_add_fd_of_another_file),
        helper_test(test_sockets_are_private),
        helper_test(test_modes_as_asked),
        helper_test(test_owners_as_asked),
        helper_test(test_owner_may_connect),
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
        helper_test(test_ends_with_its_vmm),
        helper_test(test_last_vmm_counts),
        helper_test(test_does_not_end_with_its_manager),
        helper_test(test_linger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
