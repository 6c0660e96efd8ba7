/* SPDX-License-Identifier: MIT */
/* A helper with three sets for a test that has the shim in it: see shim-scene.h. */
#include "shim-scene.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

char directory[80];
char manage_path[96], vmm_path[96];
static pid_t helper;
struct fdset_manager *manager;
struct stat disk; /* of the file behind set 1 */

/* ----------------------------------------------------------------- helper */

static void helper_start(void) {
    int ready[2];

    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    helper = fork();
    assert_true(helper >= 0);
    if (helper == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        unsetenv("LD_PRELOAD");
        dup2(ready[1], STDERR_FILENO);
        execl(getenv("FDSET_HELPER"), "fdset-helper", "--manage", manage_path, "--vmm", vmm_path,
              NULL);
        _exit(127);
    }
    close(ready[1]);
    char text[1024];
    ssize_t length = read(ready[0], text, sizeof text - 1);
    text[length > 0 ? length : 0] = '\0';
    if (!strstr(text, "ready"))
        fail_msg("the helper says: %s", text);
    /* The other end stays open for the helper's later messages. */
}

int file_open(const char *name, int flags) {
    char path[128];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = open(path, flags | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void sets_add(void) {
    struct fdset_member members[] = {
        {.fd = file_open("disk", O_RDONLY), .sharing = FDSET_SHARED},
        {.fd = file_open("disk", O_RDWR)},
        {.fd = file_open("log", O_WRONLY)},
        {.fd = file_open("cdrom", O_RDONLY)},
    };
    struct fdset_add sets[] = {
        {.set = 1, .lifetime = FDSET_KEEP, .members = members, .member_count = 2},
        {.set = 2, .lifetime = FDSET_KEEP, .members = members + 2, .member_count = 1},
        {.set = 3, .lifetime = FDSET_KEEP, .members = members + 3, .member_count = 1},
    };

    assert_int_equal(ftruncate(members[1].fd, 8192), 0);
    assert_int_equal(fstat(members[0].fd, &disk), 0);
    if (fdset_add_fds(manager, sets, 3) < 0)
        fail_msg("%s", fdset_error_text());
    for (size_t i = 0; i < 4; i++)
        close(members[i].fd);
}

int group_begin(void **state) {
    const char *where = getenv("TMPDIR");

    snprintf(directory, sizeof directory, "%s/fdset-shim.XXXXXX", where ? where : "/tmp");
    assert_non_null(mkdtemp(directory));
    snprintf(manage_path, sizeof manage_path, "%s/manage", directory);
    snprintf(vmm_path, sizeof vmm_path, "%s/vmm", directory);
    helper_start();
    if (fdset_manager_connect(&manager, manage_path, NULL) < 0)
        fail_msg("%s", fdset_error_text());
    sets_add();
    setenv("FDSET_VMM_SOCKET", vmm_path, 1);
    return 0;
}

int group_end(void **state) {
    static const char *const names[] = {"disk", "log", "cdrom", "manage", "vmm", "manage2"};
    char path[128];

    fdset_manager_free(manager);
    kill(helper, SIGTERM);
    waitpid(helper, NULL, 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        unlink(path);
    }
    return rmdir(directory);
}

struct fdset_totals totals(void) {
    struct fdset_listing *listing;

    /* A close has no answer. But an open that is answered was read after it. */
    assert_int_equal(open(NOTHING, O_RDONLY), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(fdset_query(manager, FDSET_ALL_SETS, &listing), 0);
    struct fdset_totals result = listing->totals;
    fdset_listing_free(listing);
    return result;
}

int no_leases(void **state) {
    assert_leases(0);
    return 0;
}

void assert_is_disk(int fd) {
    struct stat status;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_dev, disk.st_dev);
    assert_int_equal(status.st_ino, disk.st_ino);
}

int socket_find(void) {
    for (int fd = 0; fd < 4096; fd++) {
        struct sockaddr_un address = {0};
        socklen_t size = sizeof address;
        if (getpeername(fd, (struct sockaddr *)&address, &size) == 0 &&
            !strcmp(address.sun_path, vmm_path))
            return fd;
    }
    fail_msg("there is no socket to the helper");
    return -1;
}

void assert_child_well(pid_t child) {
    int status;

    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

pid_t run_again(const char *name, const char *value, const char *what, const char *argument) {
    pid_t child = fork();

    if (child == 0) {
        setenv(name, value, 1);
        execl("/proc/self/exe", "shim", what, argument, NULL);
        _exit(127);
    }
    return child;
}
