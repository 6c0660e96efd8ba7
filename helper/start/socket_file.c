/* SPDX-License-Identifier: MIT */
/* Making a socket is bind() and listen(), and before that perhaps the removal of a
 * dead one. Two helpers that do so at one time can each remove what the other has
 * just made and not listened at yet; then both serve, and one of them nobody reaches.
 *
 * So a helper locks the sockets' directories (flock) until it listens. Whoever has the
 * lock next finds a socket that somebody listens at. A lock of a directory leaves no
 * file behind, holds for all spellings of a path, and ends with its holder. */
#include "start/socket_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "start/log.h"
#include "start/signals.h"

#define BACKLOG 128

/* A helper holds the lock for less than a millisecond. */
#define LOCK_WAIT_MS 5000

/* ------------------------------------------------------------------- locks */

#define MAX_DIRECTORIES 16

/* What a socket's path may take, with its end. */
#define PATH_BYTES sizeof(((struct sockaddr_un *)NULL)->sun_path)

struct locked_directory {
    char path[PATH_BYTES];
    int fd; /* owned */
    dev_t device;
    ino_t inode;
};

struct locked_directories {
    struct locked_directory all[MAX_DIRECTORIES];
    size_t count;
};

static void directories_close(struct locked_directories *directories) {
    while (directories->count > 0)
        close(directories->all[--directories->count].fd);
}

static bool is_before(const struct locked_directory *one, const struct locked_directory *other) {
    return one->device != other->device ? one->device < other->device : one->inode < other->inode;
}

/* In an order that is the same for all helpers, so that no two wait for each other. */
static void directories_insert(struct locked_directories *directories,
                               const struct locked_directory *new) {
    size_t at = directories->count;

    while (at > 0 && is_before(new, &directories->all[at - 1]))
        at--;
    if (at > 0 && !is_before(&directories->all[at - 1], new)) {
        close(new->fd); /* it is there already */
        return;
    }
    memmove(&directories->all[at + 1], &directories->all[at],
            (directories->count - at) * sizeof(directories->all[0]));
    directories->all[at] = *new;
    directories->count++;
}

static void directory_name(char *name, size_t size, const char *path) {
    const char *slash = strrchr(path, '/');
    int length = !slash ? 1 : slash == path ? 1 : (int)(slash - path);

    snprintf(name, size, "%.*s", length, slash ? path : ".");
}

static int directories_add(struct locked_directories *directories, const char *path,
                           struct refusal *refusal) {
    struct locked_directory directory;
    struct stat status;

    assert(directories->count < MAX_DIRECTORIES);
    directory_name(directory.path, sizeof(directory.path), path);
    directory.fd = open(directory.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory.fd < 0 || fstat(directory.fd, &status) < 0) {
        int error = errno;
        if (directory.fd >= 0)
            close(directory.fd);
        return refuse(refusal, REFUSAL_ARGUMENT, error, "cannot listen at %s: directory %s: %s%s",
                      path, directory.path, strerror(error),
                      error == EACCES ? " (to lock it, this user must be able to read it)" : "");
    }
    directory.device = status.st_dev;
    directory.inode = status.st_ino;
    directories_insert(directories, &directory);
    return 0;
}

/* Whoever can read the directory can keep it locked, and some file systems lock none. That
 * is said, and is no reason not to start: two helpers for one path are another matter. */
static int directory_lock(const struct locked_directory *directory, struct refusal *refusal) {
    const struct timespec pause = {.tv_nsec = 1000000};

    for (int waited_ms = 0; flock(directory->fd, LOCK_EX | LOCK_NB) < 0; waited_ms++) {
        if (errno == EWOULDBLOCK && waited_ms == LOCK_WAIT_MS) {
            log_line(LOG_WARNING,
                     "directory %s is locked by another process (lslocks shows which); going on "
                     "without its lock",
                     directory->path);
            return 0;
        }
        if (errno != EWOULDBLOCK && errno != EINTR) {
            log_line(LOG_WARNING, "directory %s cannot be locked: %s; going on without its lock",
                     directory->path, strerror(errno));
            return 0;
        }
        if (signals_wait())
            return refuse(refusal, REFUSAL_ARGUMENT, EINTR, "a signal ended the start");
        nanosleep(&pause, NULL);
    }
    return 0;
}

/* ----------------------------------------------------------------- sockets */

/* The name of a process, or "?". */
static void process_name(pid_t pid, char *name, size_t size) {
    char path[40];

    snprintf(path, sizeof(path), "/proc/%d/comm", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, name, size - 1);
    if (fd >= 0)
        close(fd);
    name[length > 0 ? length : 0] = '\0';
    name[strcspn(name, "\n")] = '\0';
    if (!name[0])
        snprintf(name, size, "?");
}

/* Who listens at the socket that a probe has been connected to. */
static void describe_holder(int probe, char *text, size_t size) {
    struct ucred holder = {0};
    socklen_t length = sizeof(holder);
    char name[32];

    getsockopt(probe, SOL_SOCKET, SO_PEERCRED, &holder, &length);
    if (holder.pid == getpid()) {
        snprintf(text, size, "it was given twice");
        return;
    }
    if (holder.pid <= 0) {
        snprintf(text, size, "a process of another pid namespace listens there");
        return;
    }
    process_name(holder.pid, name, sizeof(name));
    snprintf(text, size, "process %d (%s) listens there", holder.pid, name);
}

/* What is in the way, in words; none if it is a socket that nobody listens at. */
static void describe_obstacle(const struct sockaddr_un *address, char *text, size_t size) {
    struct stat status;

    text[0] = '\0';
    if (lstat(address->sun_path, &status) == 0 && !S_ISSOCK(status.st_mode)) {
        snprintf(text, size, "something is there that is not a socket");
        return;
    }
    int probe = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe >= 0 && connect(probe, (const struct sockaddr *)address, sizeof(*address)) == 0)
        describe_holder(probe, text, size);
    else if (probe >= 0 && errno == EPROTOTYPE)
        snprintf(text, size, "another program's socket is there, of another type");
    else if (probe >= 0 && errno == EAGAIN)
        snprintf(text, size, "a process listens there, and is busy");
    else if (probe < 0 || errno != ECONNREFUSED)
        snprintf(text, size, "a socket is there that cannot be tried: %s", strerror(errno));
    if (probe >= 0)
        close(probe);
}

/* Made with its mode: there is no moment at which it has another. */
static int bind_with_mode(int socket, const struct sockaddr_un *address, mode_t mode) {
    mode_t before = umask(0777 & ~mode);
    int error = bind(socket, (const struct sockaddr *)address, sizeof(*address)) < 0 ? errno : 0;

    umask(before);
    return -error;
}

/* By a descriptor, for by its name it may be something else by now. */
static int give_away(const struct socket_file *file) {
    struct stat status;

    if (file->owner == (uid_t)-1 && file->group == (gid_t)-1)
        return 0;
    int fd = open(file->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = fstat(fd, &status) < 0 ? -errno : 0;
    if (result == 0 && (!S_ISSOCK(status.st_mode) || status.st_uid != geteuid()))
        result = -ESTALE;
    if (result == 0 && fchownat(fd, "", file->owner, file->group, AT_EMPTY_PATH) < 0)
        result = -errno;
    close(fd);
    return result;
}

static const char *owner_advice(int error) {
    switch (error) {
    case EPERM:
        return "; only root can, except that a user can give it to one of the user's own groups";
    case EINVAL:
        return "; this user namespace has no such id";
    default:
        return "";
    }
}

/* Nobody can connect before listen(). */
static int begin_to_listen(int socket, const struct socket_file *file, struct refusal *refusal) {
    int result = give_away(file);

    if (result < 0)
        refuse(refusal, REFUSAL_ARGUMENT, -result, "cannot give %s to its owner: %s%s", file->path,
               strerror(-result), owner_advice(-result));
    else if (listen(socket, BACKLOG) < 0)
        result = refuse(refusal, REFUSAL_ARGUMENT, errno, "cannot listen at %s: %s", file->path,
                        strerror(errno));
    if (result < 0)
        unlink(file->path);
    return result;
}

/* The directory is locked. */
static int bind_in_place(int socket, const struct sockaddr_un *address,
                         const struct socket_file *file, struct refusal *refusal) {
    char obstacle[120] = "";
    int result = bind_with_mode(socket, address, file->mode);

    if (result == -EADDRINUSE) {
        describe_obstacle(address, obstacle, sizeof(obstacle));
        if (!obstacle[0]) {
            unlink(address->sun_path);
            result = bind_with_mode(socket, address, file->mode);
        }
    }
    if (result < 0)
        return refuse(refusal, REFUSAL_ARGUMENT, -result, "cannot listen at %s: %s",
                      address->sun_path, obstacle[0] ? obstacle : strerror(-result));
    return begin_to_listen(socket, file, refusal);
}

static int socket_file_make(struct socket_file *file, struct refusal *refusal) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    strcpy(address.sun_path, file->path); /* check_path() has seen to it */
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return refuse(refusal, REFUSAL_LIMIT, errno, "socket: %s", strerror(errno));
    int result = bind_in_place(fd, &address, file, refusal);
    if (result < 0)
        close(fd);
    else
        file->fd = fd;
    return result;
}

static int check_path(const char *path, struct refusal *refusal) {
    if (path[0] == '\0')
        return refuse(refusal, REFUSAL_ARGUMENT, ENOENT, "a socket's path is empty");
    if (strlen(path) >= PATH_BYTES)
        return refuse(refusal, REFUSAL_ARGUMENT, ENAMETOOLONG,
                      "a socket's path has at most %zu bytes: %s", PATH_BYTES - 1, path);
    return 0;
}

static int lock_all(struct locked_directories *directories, const struct socket_file *files,
                    size_t count, struct refusal *refusal) {
    int result = 0;

    for (size_t i = 0; i < count && result == 0; i++) {
        result = check_path(files[i].path, refusal);
        if (result == 0)
            result = directories_add(directories, files[i].path, refusal);
    }
    for (size_t i = 0; i < directories->count && result == 0; i++)
        result = directory_lock(&directories->all[i], refusal);
    return result;
}

int socket_files_make(struct socket_file *files, size_t count, struct refusal *refusal) {
    struct locked_directories directories = {.count = 0};
    size_t made = 0;

    int result = lock_all(&directories, files, count, refusal);
    while (result == 0 && made < count) {
        result = socket_file_make(&files[made], refusal);
        made += result == 0;
    }
    while (result < 0 && made > 0) {
        unlink(files[--made].path); /* nobody may replace it: the lock is ours */
        close(files[made].fd);
    }
    directories_close(&directories);
    return result;
}
