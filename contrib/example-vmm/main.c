/* SPDX-License-Identifier: MIT */
/* A small VMM that opens its disk through fdset-helper: a server for one disk, whose
 * guests are the clients of its NBD socket, and whose monitor is its standard input. */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "add_fd.h"
#include "common/sockets.h"
#include "nbd.h"
#include "number.h"

#define MAX_INITIAL 64
#define MAX_CLIENTS 16

static const char help[] =
    "Usage: example-vmm [OPTION]... --listen SOCKET /dev/fdset/N\n"
    "\n"
    "Serves a disk to NBD clients. It opens the disk through fdset-helper, and no other.\n"
    "\n"
    "  --listen SOCKET   where NBD clients connect\n"
    "  --read-write      open the disk so; otherwise read-only\n"
    "  --wait SECONDS    wait for the descriptor where it is not there yet\n"
    "A helper of its own, which ends with it:\n"
    "  --add-fd fd=N,set=M[,opaque=S]\n"
    "                    give it this inherited descriptor\n"
    "  --manage PATH     where it listens for managers\n"
    "or one that is there:\n"
    "  --vmm PATH        its socket for VMMs\n"
    "  --vmm-fd N        an inherited, connected one\n"
    "  --help            print this\n"
    "\n"
    "The monitor, on standard input: status, reopen read-only, reopen read-write, quit.\n";

static struct disk disk;
static struct fdset_initial initial[MAX_INITIAL];
static struct fdset_spawn_options spawn = {.initial = initial};
static const char *vmm_path, *listen_path;
static int vmm_fd = -1;
static bool read_write;

/* ----------------------------------------------------------------- options */

/* What a program says to start with is what -add-fd says to QEMU. */
static void add_fd_read(char *text) {
    struct add_fd add;
    char why[ADD_FD_WHY_BYTES];

    if (spawn.initial_count == MAX_INITIAL)
        errx(2, "--add-fd: at most %d", MAX_INITIAL);
    if (!add_fd_parse(&add, text, ADD_FD_USUAL, why))
        errx(2, "--add-fd: %s", why);
    initial[spawn.initial_count++] =
        (struct fdset_initial){.fd = add.fd, .set = add.set, .opaque = add.opaque};
}

static unsigned seconds_read(const char *text) {
    uint32_t seconds;

    if (!number32_parse(text, UINT32_MAX / 1000, &seconds))
        errx(2, "--wait: not a number of seconds: '%s'", text);
    return seconds * 1000;
}

static void options_parse(int argc, char **argv) {
    static const struct option options[] = {
        {"listen", required_argument, NULL, 'l'},
        {"read-write", no_argument, NULL, 'w'},
        {"wait", required_argument, NULL, 't'},
        {"add-fd", required_argument, NULL, 'a'},
        {"manage", required_argument, NULL, 'm'},
        {"vmm", required_argument, NULL, 'v'},
        {"vmm-fd", required_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'l':
            listen_path = optarg;
            break;
        case 'w':
            read_write = true;
            break;
        case 't':
            disk.wait_ms = seconds_read(optarg);
            break;
        case 'a':
            add_fd_read(optarg);
            break;
        case 'm':
            spawn.manage_path = optarg;
            break;
        case 'v':
            vmm_path = optarg;
            break;
        case 'f':
            if (!int_parse(optarg, &vmm_fd))
                errx(2, "--vmm-fd: not the number of a descriptor: '%s'", optarg);
            break;
        case 'h':
            fputs(help, stdout);
            exit(0);
        default:
            exit(2);
        }
    }
    if (!listen_path || optind != argc - 1)
        errx(2, "what to serve, and where? See --help");
    disk.path = argv[optind];
}

/* ------------------------------------------------------------------ helper */

static void helper_attach(void) {
    int error = vmm_path      ? fdset_vmm_attach_path(&disk.vmm, vmm_path, NULL)
                : vmm_fd >= 0 ? fdset_vmm_attach_fd(&disk.vmm, vmm_fd, NULL)
                              : fdset_vmm_spawn(&disk.vmm, &spawn);
    if (error < 0)
        errx(1, "%s", fdset_error_text());
    /* They are the helper's now. What the guest can reach is to have leases only. */
    for (size_t i = 0; i < spawn.initial_count; i++)
        close(initial[i].fd);
}

/* ----------------------------------------------------------------- clients */

static atomic_int clients;

static void *client_run(void *data) {
    nbd_serve((int)(intptr_t)data, &disk);
    clients--;
    return NULL;
}

static void *clients_accept(void *data) {
    for (int socket; (socket = accept4((int)(intptr_t)data, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
        pthread_t thread;
        if (clients++ < MAX_CLIENTS &&
            pthread_create(&thread, NULL, client_run, (void *)(intptr_t)socket) == 0) {
            pthread_detach(thread);
            continue;
        }
        clients--;
        close(socket);
    }
    return NULL;
}

static void clients_begin(void) {
    struct sockaddr_un address;
    pthread_t thread;
    int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!socket_address(&address, listen_path))
        errx(1, "%s: too long for a socket", listen_path);
    if (listening < 0)
        err(1, "socket");
    if (bind(listening, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(listening, MAX_CLIENTS) < 0)
        err(1, "%s", listen_path);
    errno = pthread_create(&thread, NULL, clients_accept, (void *)(intptr_t)listening);
    if (errno)
        err(1, "thread");
}

/* ----------------------------------------------------------------- monitor */

/* Each command is answered by one line. */
static void monitor_execute(const char *command) {
    int error = 0;
    if (strcmp(command, "status") == 0) {
        puts(disk_is_read_only(&disk) ? "read-only" : "read-write");
        return;
    }
    if (strcmp(command, "reopen read-only") == 0)
        error = disk_reopen(&disk, true);
    else if (strcmp(command, "reopen read-write") == 0)
        error = disk_reopen(&disk, false);
    else {
        puts("error: no such command: status, reopen read-only, reopen read-write, quit");
        return;
    }
    if (error < 0)
        printf("error: %s\n", fdset_error_text());
    else
        puts("ok");
}

/* Returns at quit, or never, as the end of standard input is no reason to end. */
static void monitor_run(void) {
    static char line[256];
    while (fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "quit") == 0)
            return;
        monitor_execute(line);
    }
    for (;;)
        pause();
}

int main(int argc, char **argv) {
    setlinebuf(stdout);
    options_parse(argc, argv);
    helper_attach();
    if (disk_open(&disk, !read_write) < 0)
        errx(1, "%s: %s", disk.path, fdset_error_text());
    clients_begin();
    puts("ready");
    monitor_run();

    unlink(listen_path);
    disk_close(&disk);
    fdset_vmm_free(disk.vmm);
    puts("ok");
    fflush(stdout);
    _exit(0); /* clients' threads may still be waiting for requests */
}
