/* SPDX-License-Identifier: MIT */
/* What descriptors we hold, and how many processes, files and numbers more. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stage.h"

/* The lowest kept number that is at least `from`, or INT_MAX. */
static int next_kept(const struct confine_plan *plan, int from) {
    int next = INT_MAX;

    for (size_t i = 0; i < plan->keep_count; i++)
        if (plan->keep[i] >= from && plan->keep[i] < next)
            next = plan->keep[i];
    return next;
}

/* Whether each number that the filter knows is taken, and by nothing that is to
 * be closed one day: what gets such a number later would be taken for what the
 * filter means. A descriptor below 3 was made because a standard stream was
 * closed: putting those streams right would destroy it, and leaving it would send
 * it the log lines. */
static bool are_numbers_right(const struct confine_plan *plan) {
    for (int fd = CONFINE_EPOLL; fd < CONFINE_FREE; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            return false;
    return next_kept(plan, 0) >= CONFINE_FREE;
}

/* One by one, where a container's filter is older than close_range. */
static int close_listed(int first, int last) {
    DIR *list = opendir("/proc/self/fd");
    struct dirent *entry;

    if (!list)
        return -errno;
    while ((entry = readdir(list))) {
        int fd = atoi(entry->d_name); /* 0 for "." and ".." */
        if (fd >= first && fd <= last && fd != dirfd(list))
            close(fd);
    }
    closedir(list);
    return 0;
}

static int close_some(int first, int last) {
    int error;

    if (close_range(first, last, 0) == 0)
        return 0;
    error = -errno;
    return close_listed(first, last) < 0 ? error : 0;
}

static int close_all_but_kept(const struct confine_plan *plan) {
    int result;

    for (int from = CONFINE_FREE, kept; from < INT_MAX; from = kept + 1) {
        kept = next_kept(plan, from);
        if (kept > from && (result = close_some(from, kept - 1)) < 0)
            return result;
        if (kept == INT_MAX)
            break;
    }
    return 0;
}

/* Standard error may be the user's terminal. To a process of its session it would take
 * input in the user's name (TIOCSTI). Who leads the session would take it from all. */
static void leave_terminal(void) {
    if (getsid(0) != getpid())
        ioctl(STDERR_FILENO, TIOCNOTTY);
}

/* Holds after it: nothing is open but 0 and 1 on /dev/null (or on what 2 is),
 * 2, what the filter knows by number, and what the plan keeps. A descriptor that was
 * passed on by mistake (a directory of the host above all: it would outlast the change
 * of root) is gone. If 2 is a terminal, it is not the controlling one.
 * Must not have happened before: the change of root. */
int descriptors_stage(struct confinement *confinement, struct confine_stage *stage) {
    int result, null, source;

    if (!are_numbers_right(confinement->plan))
        return stage_failed(stage, -EINVAL, "descriptors 0 to 7",
                            "start the helper with standard streams");
    leave_terminal();
    result = close_all_but_kept(confinement->plan);
    if (result < 0)
        return stage_failed(stage, result, "close_range", "allow it, or give the helper a /proc");
    /* In a starter's own sandbox there may be none; the log is no less closed to
     * us as 0 and 1 than it is as 2. */
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    source = null < 0 ? STDERR_FILENO : null;
    if (dup2(source, STDIN_FILENO) < 0 || dup2(source, STDOUT_FILENO) < 0 ||
        (fcntl(STDERR_FILENO, F_GETFD) < 0 && dup2(source, STDERR_FILENO) < 0))
        return stage_failed(stage, -errno, "dup2", "give the helper a /dev/null or a stderr");
    if (null > STDERR_FILENO)
        close(null);
    return 0;
}

static int limit_set(int resource, rlim_t value) {
    struct rlimit limit = {value, value};
    return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

/* How much a log that is a regular file may still grow: the ready line and what
 * the end may have to say. */
#define LOG_BYTES 4096

/* The offset up to which a file may be written, and how far the log is from it. Writing to
 * pipes, sockets and terminals is not limited. */
static rlim_t file_limit(bool *log_is_file, unsigned *growth) {
    off_t at = lseek(STDERR_FILENO, 0, SEEK_CUR);
    struct rlimit before;
    struct stat log;

    *growth = LOG_BYTES;
    *log_is_file = fstat(STDERR_FILENO, &log) == 0 && S_ISREG(log.st_mode);
    if (!*log_is_file)
        return 0;
    rlim_t end = (rlim_t)(at > log.st_size ? at : log.st_size);
    /* What the starter allows at most is not ours to raise. */
    if (getrlimit(RLIMIT_FSIZE, &before) == 0 && before.rlim_max < end + LOG_BYTES) {
        *growth = before.rlim_max > end ? (unsigned)(before.rlim_max - end) : 0;
        return before.rlim_max;
    }
    return end + LOG_BYTES;
}

/* Holds after it: no process or thread can be started, no file grow (but the
 * log, if it is one, by a page), no core be dumped, no more descriptors be
 * received or sent than planned: what does not fit, the kernel drops and says so
 * (MSG_CTRUNC).
 * Must not have happened before: nothing; the settle threads must run already. */
int limits_stage(struct confinement *confinement, struct confine_stage *stage) {
    size_t descriptors = confinement->plan->descriptor_limit;
    bool log_is_file;
    unsigned growth;
    rlim_t bytes = file_limit(&log_is_file, &growth);
    char log[60] = "";
    int result;

    /* A line too much is lost. It should not be the end. */
    signal(SIGXFSZ, SIG_IGN);
    if ((result = limit_set(RLIMIT_CORE, 0)) < 0)
        return stage_failed(stage, result, "RLIMIT_CORE", "allow setrlimit");
    if ((result = limit_set(RLIMIT_FSIZE, bytes)) < 0)
        return stage_failed(stage, result, "RLIMIT_FSIZE", "allow setrlimit");
    if ((result = limit_set(RLIMIT_NPROC, 0)) < 0)
        return stage_failed(stage, result, "RLIMIT_NPROC", "allow setrlimit");
    if ((result = limit_set(RLIMIT_NOFILE, descriptors)) < 0)
        return stage_failed(stage, result, "RLIMIT_NOFILE",
                            "raise the hard limit (LimitNOFILE=, ulimit -Hn)");
    if (log_is_file)
        snprintf(log, sizeof(log), ", the log may grow by %u bytes", growth);
    stage_detail(stage, "%zu descriptors%s", descriptors, log);
    return 0;
}
