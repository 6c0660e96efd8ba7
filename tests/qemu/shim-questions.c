/* SPDX-License-Identifier: MIT */
/* libfdset-preload.so, which must be preloaded into this very program: what a program can
 * ask about a path, and what it can try to change by one. Nothing of it opens the set. */
#include "shim-scene.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fdset/vmm.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

char *__realpath_chk(const char *path, char *resolved, size_t size);
ssize_t __readlink_chk(const char *path, char *target, size_t size, size_t room);
ssize_t __readlinkat_chk(int directory, const char *path, char *target, size_t size, size_t room);

/* Adds a set of one member of the disk. */
static void set_add(int set, int flags, enum fdset_lifetime lifetime, enum fdset_sharing sharing) {
    struct fdset_member member = {.fd = file_open("disk", flags), .sharing = sharing};
    struct fdset_add add = {
        .set = set, .lifetime = lifetime, .members = &member, .member_count = 1};

    if (fdset_add_fds(manager, &add, 1) < 0)
        fail_msg("%s", fdset_error_text());
    close(member.fd);
}

/* All questions, of a set that is there. */
static void ask_all(const char *path) {
    struct stat status;
    struct statx statx_of = {0};
    struct statfs fs;
    struct statvfs vfs;
    struct file_handle handle = {0};
    char buffer[PATH_MAX], *name;
    int mount;

    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_ino, disk.st_ino);
    assert_int_equal(status.st_size, disk.st_size);
    assert_int_equal(lstat(path, &status), 0);
    assert_int_equal(fstatat(AT_FDCWD, path, &status, 0), 0);
    assert_int_equal(statx(AT_FDCWD, path, AT_STATX_SYNC_AS_STAT, STATX_ALL, &statx_of), 0);
    assert_int_equal(statx_of.stx_ino, disk.st_ino);
    assert_int_equal(statx_of.stx_mode, disk.st_mode);
    assert_int_equal(statx_of.stx_size, disk.st_size);
    assert_int_equal(statx_of.stx_nlink, disk.st_nlink);
    assert_int_equal(statx_of.stx_mtime.tv_sec, disk.st_mtim.tv_sec);
    assert_int_equal(statx_of.stx_mtime.tv_nsec, disk.st_mtim.tv_nsec);
    assert_true(statx_of.stx_mask & STATX_SIZE);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(faccessat(AT_FDCWD, path, W_OK, AT_EACCESS), 0);
    assert_int_equal(euidaccess(path, R_OK), 0);
    assert_int_equal(eaccess(path, R_OK | W_OK), 0);
    assert_int_equal(eaccess(path, X_OK), -1);
    assert_int_equal(errno, EACCES);
    assert_int_not_equal(ftok(path, 7), -1);
    assert_ptr_equal(realpath(path, buffer), buffer);
    assert_ptr_equal(__realpath_chk(path, buffer, sizeof buffer), buffer);
    name = canonicalize_file_name(path);
    assert_string_equal(name, buffer);
    free(name);

#define ASSERT_FAILS(call, error)       \
    do {                                \
        errno = 0;                      \
        assert_int_equal(call, -1);     \
        assert_int_equal(errno, error); \
    } while (0)
    ASSERT_FAILS(readlink(path, buffer, sizeof buffer), EINVAL);
    ASSERT_FAILS(readlinkat(AT_FDCWD, path, buffer, sizeof buffer), EINVAL);
    ASSERT_FAILS(__readlink_chk(path, buffer, sizeof buffer, sizeof buffer), EINVAL);
    ASSERT_FAILS(__readlinkat_chk(AT_FDCWD, path, buffer, sizeof buffer, sizeof buffer), EINVAL);
    ASSERT_FAILS(statfs(path, &fs), ENOSYS);
    ASSERT_FAILS(statvfs(path, &vfs), ENOSYS);
    ASSERT_FAILS(pathconf(path, _PC_NAME_MAX), ENOSYS);
    ASSERT_FAILS(getxattr(path, "security.selinux", buffer, sizeof buffer), ENOTSUP);
    ASSERT_FAILS(lgetxattr(path, "security.selinux", buffer, sizeof buffer), ENOTSUP);
    ASSERT_FAILS(listxattr(path, buffer, sizeof buffer), ENOTSUP);
    ASSERT_FAILS(llistxattr(path, buffer, sizeof buffer), ENOTSUP);
    ASSERT_FAILS(name_to_handle_at(AT_FDCWD, path, &handle, &mount, 0), ENOTSUP);
    ASSERT_FAILS(open(path, O_PATH), ENOTSUP);
    ASSERT_FAILS(open(path, O_DIRECTORY), ENOTDIR);
    errno = 0;
    assert_null(opendir(path));
    assert_int_equal(errno, ENOTDIR);
}

static void test_no_question_opens(void **state) {
    uint64_t opens = totals().opens, denied = totals().denied;

    ask_all(DISK);
    ask_all("/dev/fdset/../fdset/1");
    assert_int_equal(totals().opens, opens);
    assert_int_equal(totals().denied, denied + 2); /* by totals() itself */
}

/* For one open: the first open, not the first question. */
static void test_questions_do_not_use_up_a_set(void **state) {
    set_add(11, O_RDWR, FDSET_ONCE, 0);
    ask_all("//dev/fdset/11");
    int fd = open("//dev/fdset/11", O_RDWR);
    assert_is_disk(fd);
    assert_int_equal(close(fd), 0);
    assert_int_equal(access("//dev/fdset/11", F_OK), -1);
}

static void test_what_another_has_is_there(void **state) {
    struct fdset_vmm *other;

    set_add(12, O_RDWR, FDSET_KEEP, FDSET_EXCLUSIVE);
    assert_int_equal(fdset_vmm_attach_path(&other, vmm_path, "other"), 0);
    int held = fdset_open(other, "/dev/fdset/12", O_RDWR | O_CLOEXEC);
    assert_true(held >= 0);
    ask_all("//dev/fdset/12");
    assert_int_equal(open("//dev/fdset/12", O_RDWR), -1);
    assert_int_equal(errno, EBUSY);
    fdset_close(other, held);
    fdset_vmm_free(other);
    assert_int_equal(fdset_remove(manager, 12, 0), 1);
}

/* By /bin/sh and its kin: what a script asks before it reads. */
static void test_programs_ask_before_they_open(void **state) {
#define ASK_AS_A_SHELL                                                                     \
    "test -e //dev/fdset/13 && test -f //dev/fdset/13 && test -r //dev/fdset/13 && "       \
    "! test -w //dev/fdset/13 && ! test -x //dev/fdset/13 && ! test -d //dev/fdset/13 && " \
    "test -s //dev/fdset/13 && ls -l //dev/fdset/13 && stat //dev/fdset/13 && "            \
    "cat <//dev/fdset/13"
#define ASK_AS_PYTHON                                                                  \
    "python3 -c 'import os; p = \"//dev/fdset/13\"; os.stat(p); os.path.realpath(p); " \
    "assert os.access(p, os.R_OK) and os.path.isfile(p); open(p, \"rb\").read()'"
    static const char *const commands[] = {
        ASK_AS_A_SHELL,
        "cp //dev/fdset/13 $DIRECTORY/other",
        "bash -c '[[ -r //dev/fdset/13 && ! -w //dev/fdset/13 ]] && cat <//dev/fdset/13'",
        ASK_AS_PYTHON,
    };
    char command[1024];

    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        set_add(13, O_RDONLY, FDSET_ONCE, 0);
        snprintf(command, sizeof command, "(%s) >$DIRECTORY/other", commands[i]);
        setenv("DIRECTORY", directory, 1);
        if (system(command) != 0)
            fail_msg("%s", commands[i]);
        assert_int_equal(access("//dev/fdset/13", F_OK), -1); /* used up by now */
    }
    char path[128];
    snprintf(path, sizeof path, "%s/other", directory);
    assert_int_equal(unlink(path), 0);
}

/* For those who ask about each part of a path. It is there for questions only. */
static void test_the_directory_of_the_sets(void **state) {
    static const char *const names[] = {"/dev/fdset", "//dev/fdset/", "/dev/./fdset/.",
                                        "/dev/fdset/1/.."};
    struct stat status;
    struct statx statx_of;
    char buffer[PATH_MAX];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(stat(names[i], &status), 0);
        assert_true(S_ISDIR(status.st_mode));
        assert_int_equal(lstat(names[i], &status), 0);
        assert_int_equal(fstatat(AT_FDCWD, names[i], &status, 0), 0);
        assert_int_equal(statx(AT_FDCWD, names[i], 0, STATX_BASIC_STATS, &statx_of), 0);
        assert_true(S_ISDIR(statx_of.stx_mode));
        assert_int_equal(access(names[i], R_OK | X_OK), 0);
        assert_int_equal(eaccess(names[i], F_OK), 0);
        ASSERT_FAILS(faccessat(AT_FDCWD, names[i], W_OK, 0), EACCES);
        ASSERT_FAILS(readlink(names[i], buffer, sizeof buffer), EINVAL);
        ASSERT_FAILS(readlinkat(AT_FDCWD, names[i], buffer, sizeof buffer), EINVAL);
        ASSERT_FAILS(open(names[i], O_RDONLY), ENOENT);
    }
    ASSERT_FAILS(stat("/dev/fdsets", &status), ENOENT);
    ASSERT_FAILS(stat("/dev/fdset/..x", &status), ENOENT);
    ASSERT_FAILS(stat("/xdev/fdset", &status), ENOENT);
    ASSERT_FAILS(stat("dev/fdset", &status), ENOENT);
    assert_int_equal(system("test \"$(realpath //dev/fdset/1)\" = /dev/fdset/1 && "
                            "test \"$(readlink -f //dev/fdset/1)\" = /dev/fdset/1 && "
                            "test -d /dev/fdset && ! realpath -e //dev/fdset/999 2>/dev/null && "
                            "python3 -c 'import pathlib; "
                            "pathlib.Path(\"/dev/fdset/1\").resolve(strict=True)'"),
                     0);
}

static void test_modes(void **state) {
    assert_int_equal(access(CDROM, R_OK), 0);
    ASSERT_FAILS(access(CDROM, W_OK), EACCES);
    ASSERT_FAILS(eaccess(CDROM, R_OK | W_OK), EACCES);
    ASSERT_FAILS(faccessat(AT_FDCWD, LOG, R_OK, 0), EACCES);
    assert_int_equal(euidaccess(LOG, W_OK), 0);
}

static void test_what_is_not_there(void **state) {
    struct stat status;
    char buffer[PATH_MAX];

    ASSERT_FAILS(stat(NOTHING, &status), ENOENT);
    ASSERT_FAILS(eaccess(NOTHING, F_OK), ENOENT);
    ASSERT_FAILS(readlink(NOTHING, buffer, sizeof buffer), ENOENT);
    ASSERT_FAILS(getxattr(NOTHING, "user.x", buffer, sizeof buffer), ENOENT);
    ASSERT_FAILS(open(NOTHING, O_PATH), ENOENT);
    ASSERT_FAILS(chmod(NOTHING, 0600), ENOENT);
    ASSERT_FAILS(rename(NOTHING, "/tmp/x"), ENOENT);
    assert_null(canonicalize_file_name(NOTHING));
    assert_int_equal(errno, ENOENT);
}

/* EINVAL of readlink(2) says that there is something, and that it is no link. */
static void test_what_no_set_can_be_called(void **state) {
    static const char *const names[] = {"//dev/fdset/007", "//dev/fdset/a\tb", "//dev/fdset/\xff",
                                        "//dev/fdset/\xe2\x80\xae"};
    struct stat status;
    char buffer[PATH_MAX];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ASSERT_FAILS(stat(names[i], &status), ENOENT);
        ASSERT_FAILS(access(names[i], F_OK), ENOENT);
        ASSERT_FAILS(readlink(names[i], buffer, sizeof buffer), ENOENT);
        ASSERT_FAILS(chmod(names[i], 0600), ENOENT);
        ASSERT_FAILS(open(names[i], O_RDONLY), EINVAL);
        errno = 0;
        assert_null(realpath(names[i], buffer));
        assert_int_equal(errno, ENOENT);
    }
    assert_int_equal(system("! realpath -e //dev/fdset/007 2>/dev/null"), 0);
}

/* Of what is open, the file system can be told. */
static void test_the_file_system_of_an_open_set(void **state) {
    struct statfs fs, fs_of_file;
    struct statvfs vfs;
    int fd = open(DISK, O_RDONLY);

    assert_int_equal(fstatfs(fd, &fs_of_file), 0);
    assert_int_equal(statfs(DISK, &fs), 0);
    assert_int_equal(fs.f_type, fs_of_file.f_type);
    assert_int_equal(statvfs(DISK, &vfs), 0);
    assert_int_equal(vfs.f_bsize, fs_of_file.f_bsize);
    assert_true(pathconf(DISK, _PC_NAME_MAX) > 0);
    close(fd);
}

/* A set's name and owner are the manager's. */
static void test_changes_are_refused(void **state) {
    char path[128];
    const struct timespec times[2] = {{1, 1}, {1, 1}};
    const struct timeval old_times[2] = {{1, 1}, {1, 1}};
    const struct utimbuf oldest = {1, 1};
    uint64_t opens = totals().opens;

    snprintf(path, sizeof path, "%s/disk", directory);
    ASSERT_FAILS(chmod(DISK, 0), EPERM);
    ASSERT_FAILS(fchmodat(AT_FDCWD, DISK, 0, 0), EPERM);
    ASSERT_FAILS(chown(DISK, 1, 1), EPERM);
    ASSERT_FAILS(lchown(DISK, 1, 1), EPERM);
    ASSERT_FAILS(fchownat(AT_FDCWD, DISK, 1, 1, 0), EPERM);
    ASSERT_FAILS(utime(DISK, &oldest), EPERM);
    ASSERT_FAILS(utimes(DISK, old_times), EPERM);
    ASSERT_FAILS(lutimes(DISK, old_times), EPERM);
    ASSERT_FAILS(futimesat(AT_FDCWD, DISK, old_times), EPERM);
    ASSERT_FAILS(utimensat(AT_FDCWD, DISK, times, 0), EPERM);
    ASSERT_FAILS(setxattr(DISK, "user.x", "x", 1, 0), ENOTSUP);
    ASSERT_FAILS(lsetxattr(DISK, "user.x", "x", 1, 0), ENOTSUP);
    ASSERT_FAILS(removexattr(DISK, "user.x"), ENOTSUP);
    ASSERT_FAILS(lremovexattr(DISK, "user.x"), ENOTSUP);
    ASSERT_FAILS(mkdir(DISK, 0700), EEXIST);
    ASSERT_FAILS(mkdirat(AT_FDCWD, DISK, 0700), EEXIST);
    ASSERT_FAILS(mkfifo(DISK, 0700), EEXIST);
    ASSERT_FAILS(mkfifoat(AT_FDCWD, DISK, 0700), EEXIST);
    ASSERT_FAILS(mknod(DISK, 0700, 0), EEXIST);
    ASSERT_FAILS(mknodat(AT_FDCWD, DISK, 0700, 0), EEXIST);
    ASSERT_FAILS(symlink("x", DISK), EEXIST);
    ASSERT_FAILS(symlinkat("x", AT_FDCWD, DISK), EEXIST);
    ASSERT_FAILS(rmdir(DISK), ENOTDIR);
    ASSERT_FAILS(chdir(DISK), ENOTDIR);
    ASSERT_FAILS(rename(DISK, path), EXDEV);
    ASSERT_FAILS(rename(path, DISK), EXDEV);
    ASSERT_FAILS(renameat(AT_FDCWD, path, AT_FDCWD, DISK), EXDEV);
    ASSERT_FAILS(renameat2(AT_FDCWD, DISK, AT_FDCWD, path, 0), EXDEV);
    ASSERT_FAILS(link(DISK, path), EXDEV);
    ASSERT_FAILS(linkat(AT_FDCWD, path, AT_FDCWD, DISK, 0), EXDEV);
    errno = 0;
    assert_null(freopen(DISK, "r", fopen("/dev/null", "r")));
    assert_int_equal(errno, ENOTSUP);
    assert_int_equal(access(path, F_OK), 0);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode, disk.st_mode);
    assert_int_equal(status.st_mtim.tv_sec, disk.st_mtim.tv_sec);
    assert_int_equal(totals().opens, opens);
}

/* The content is whose who may open it for writing. */
static void test_truncate_is_an_open(void **state) {
    struct stat status;

    ASSERT_FAILS(truncate(CDROM, 100), EACCES);
    ASSERT_FAILS(truncate(NOTHING, 100), ENOENT);
    assert_int_equal(truncate(LOG, 100), 0); /* write-only */
    assert_int_equal(stat(LOG, &status), 0);
    assert_int_equal(status.st_size, 100);
    assert_int_equal(truncate64(LOG, 0), 0);
    set_add(14, O_RDWR, FDSET_KEEP, 0);
    assert_int_equal(truncate("//dev/fdset/14", 8192), 0);
    assert_int_equal(fdset_remove(manager, 14, 0), 1);
}

/* On what is no set, all of them do what they do. */
static void test_other_files_go_through(void **state) {
    char path[128], other[128], buffer[PATH_MAX];
    struct statfs fs;
    struct statvfs vfs;
    struct stat status;
    DIR *stream;
    int before = open(".", O_RDONLY | O_DIRECTORY);

    snprintf(path, sizeof path, "%s/a", directory);
    snprintf(other, sizeof other, "%s/b", directory);
    close(creat(path, 0600));
    assert_int_equal(truncate(path, 10), 0);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(chown(path, getuid(), getgid()), 0);
    assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[]){{5, 0}, {6, 0}}, 0), 0);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(link(other, path), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, 10);
    assert_int_equal(status.st_nlink, 2);
    assert_int_equal(status.st_mtim.tv_sec, 6);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("b", path), 0);
    assert_int_equal(readlink(path, buffer, sizeof buffer), 1);
    assert_string_equal(canonicalize_file_name(path), realpath(other, buffer));
    assert_int_equal(eaccess(path, R_OK), 0);
    assert_int_equal(statfs(path, &fs), 0);
    assert_int_equal(statvfs(path, &vfs), 0);
    assert_true(pathconf(path, _PC_NAME_MAX) > 0);
    assert_int_equal(close(open(path, O_PATH)), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(other), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chdir(path), 0);
    assert_int_equal(fchdir(before), 0);
    stream = opendir(path);
    assert_non_null(stream);
    closedir(stream);
    assert_int_equal(rmdir(path), 0);
    close(before);
}

#define shim_test(function) cmocka_unit_test_teardown(function, no_leases)

int main(void) {
    const struct CMUnitTest tests[] = {
        shim_test(test_no_question_opens),
        shim_test(test_questions_do_not_use_up_a_set),
        shim_test(test_what_another_has_is_there),
        shim_test(test_programs_ask_before_they_open),
        shim_test(test_the_directory_of_the_sets),
        shim_test(test_modes),
        shim_test(test_what_is_not_there),
        shim_test(test_what_no_set_can_be_called),
        shim_test(test_the_file_system_of_an_open_set),
        shim_test(test_changes_are_refused),
        shim_test(test_truncate_is_an_open),
        shim_test(test_other_files_go_through),
    };
    return cmocka_run_group_tests(tests, group_begin, group_end);
}
