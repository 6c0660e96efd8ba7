/* SPDX-License-Identifier: MIT */
/* The files that histories are about: see world.h. */
#include "world.h"

#include "harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

/* File systems on which the helper settles in place. Elsewhere the order in which
 * members settle is the threads', and the reference would have to guess it. */
static bool settles_in_place(int fd) {
    struct statfs status;
    if (fstatfs(fd, &status) < 0)
        return false;
    switch ((unsigned long)status.f_type) {
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case TMPFS_MAGIC:
    case RAMFS_MAGIC:
        return true;
    }
    return false;
}

/* A directory on such a file system, or none: then memfds must do. */
static bool make_directory(char *path, size_t size) {
    static const char *const places[] = {"/var/tmp", "/tmp", "/dev/shm"};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(path, size, "%s/fdset-model-XXXXXX", places[i]);
        if (!mkdtemp(path))
            continue;
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        bool fits = settles_in_place(fd);
        close(fd);
        if (fits)
            return true;
        rmdir(path);
    }
    path[0] = '\0';
    return false;
}

/* Finds out about a file by a description of its own. */
static void probe(struct world_file *file) {
    struct stat status;
    int fd = open(file->path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    file->device = status.st_dev;
    file->inode = status.st_ino;
    file->type = status.st_mode & S_IFMT;
    file->device_number = status.st_rdev;
    file->can_direct = fcntl(fd, F_SETFL, O_DIRECT) == 0;
    close(fd);
}

static void make_memfd(struct world_file *file) {
    file->base = memfd_create("fdset-model", MFD_CLOEXEC);
    assert_true(file->base >= 0);
    snprintf(file->path, sizeof(file->path), "/proc/self/fd/%d", file->base);
}

static void make_file(const struct world *world, struct world_file *file, int number) {
    if (!world->directory[0] || number == FILE_MEMFD) {
        make_memfd(file);
        return;
    }
    snprintf(file->path, sizeof(file->path), "%s/%d", world->directory, number);
    if (number == FILE_FIFO)
        assert_int_equal(mkfifo(file->path, 0600), 0);
    file->base = open(file->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file->base >= 0);
}

void world_make(struct world *world) {
    int pair[2];
    make_directory(world->directory, sizeof(world->directory));
    for (int i = 0; i < FILE_COUNT; i++) {
        struct world_file *file = &world->files[i];
        if (i == FILE_DEVICE) {
            strcpy(file->path, "/dev/null");
            file->base = open(file->path, O_RDWR | O_CLOEXEC);
            if (!settles_in_place(file->base)) {
                close(file->base);
                make_memfd(file);
            }
        } else {
            make_file(world, file, i);
        }
        probe(file);
    }
    world->files[FILE_DIRECTORY].base = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    world->files[FILE_PATH_ONLY].base = open("/", O_PATH | O_CLOEXEC);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    world->files[FILE_SOCKET].base = pair[0];
    close(pair[1]);
}

void world_remove(struct world *world) {
    for (int i = 0; i < FILE_ALL; i++) {
        close(world->files[i].base);
        if (world->directory[0] &&
            strncmp(world->files[i].path, world->directory, strlen(world->directory)) == 0)
            unlink(world->files[i].path);
    }
    if (world->directory[0])
        rmdir(world->directory);
}

int world_open(const struct world *world, int file, int flags) {
    if (file >= FILE_COUNT)
        return harness_keep(fcntl(world->files[file].base, F_DUPFD_CLOEXEC, 3));
    int fd = open(world->files[file].path, flags | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) /* what this file does not take */
        fd =
            open(world->files[file].path, (flags & ~(O_DIRECT | O_NOATIME)) | O_CLOEXEC | O_NOCTTY);
    return harness_keep(fd);
}
