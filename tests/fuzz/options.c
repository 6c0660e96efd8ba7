/* SPDX-License-Identifier: MIT */
/* The command line, and what systemd says in the environment: whatever is given,
 * either the options are within their bounds, or it ends with status 2 (or 0, for
 * --help). The input is arguments ended by NUL, after NAME=VALUE for the
 * environment; "LISTEN_PID=me" stands for this process. */
#include "start/options.h"
#include "fuzz.h"

#include <fcntl.h>
#include <getopt.h>
#include <setjmp.h>
#include <string.h>
#include <unistd.h>

#include "start/endpoints.h"
#include "start/notify.h"

#define MAX_ARGUMENTS 64

static jmp_buf end;
static bool parsing;
static int status;
static FILE *nowhere;

/* Linked in the place of exit(): see meson.build. */
void __wrap_exit(int code) __attribute__((noreturn));
void __real_exit(int code) __attribute__((noreturn));

void __wrap_exit(int code) {
    if (!parsing)
        __real_exit(code);
    status = code;
    longjmp(end, 1);
}

static const char *const names[] = {"LISTEN_PID",    "LISTEN_FDS",      "LISTEN_FDNAMES",
                                    "FDSET_SANDBOX", "POSIXLY_CORRECT", NULL};

static bool is_environment(const char *word) {
    const char *equals = strchr(word, '=');

    for (int i = 0; equals && names[i]; i++)
        if (strncmp(word, names[i], (size_t)(equals - word)) == 0 &&
            names[i][equals - word] == '\0') {
            char own[32];
            snprintf(own, sizeof(own), "%d", getpid());
            setenv(names[i], i == 0 && strcmp(equals + 1, "me") == 0 ? own : equals + 1, 1);
            return true;
        }
    return false;
}

/* Cuts the copy of the input into words. Returns how many are arguments. */
static int split(char *text, size_t size, char **argv) {
    int count = 0;

    argv[count++] = (char *)"fdset-helper";
    for (size_t at = 0; at < size && count < MAX_ARGUMENTS; at += strlen(text + at) + 1)
        if (count > 1 || !is_environment(text + at))
            argv[count++] = text + at;
    argv[count] = NULL;
    return count;
}

static void check_options(const struct start_options *options) {
    CHECK(options->socket_count <= OPTIONS_MAX_SOCKETS);
    for (size_t i = 0; i < options->socket_count; i++) {
        const struct socket_option *socket = &options->sockets[i];
        CHECK(socket->role >= ROLE_VMM && socket->role <= ROLE_OBSERVER);
        CHECK(socket->path ? socket->fd == -1 : socket->fd > STDERR_FILENO);
    }
    CHECK(options->add_fd_count <= FDSET_MAX_DESCRIPTORS);
    for (size_t i = 0; i < options->add_fd_count; i++) {
        const struct add_fd *add = &options->add_fds[i];
        CHECK(add->fd > STDERR_FILENO && fcntl(add->fd, F_GETFD) == 0);
        CHECK(add->set <= INT32_MAX);
        CHECK(!add->opaque || strlen(add->opaque) <= FDSET_MAX_OPAQUE_BYTES);
    }
    struct limits limits = options->limits;
    for (size_t i = 0; limits_name(i); i++) {
        uint32_t value = *limits_find(&limits, limits_name(i));
        CHECK(value >= 1 && value <= LIMITS_LARGEST);
    }
    CHECK(options->managers.count >= 1 && options->managers.count <= MANAGER_UIDS);
    for (enum role role = ROLE_VMM; role <= ROLE_OBSERVER; role++)
        CHECK(options->access[role].mode <= 0777);
    CHECK(options->uid != 0 && options->uid != (uid_t)-1 && options->gid != (gid_t)-1);
    CHECK(options->confine <= CONFINE_LOG);
    CHECK(!getenv("FDSET_SANDBOX") || options->confine == CONFINE_ENFORCE);
}

static void parse(int argc, char **argv) {
    static struct start_options options;
    FILE *out = stdout, *err = stderr;

    stdout = stderr = nowhere;
    optind = 0; /* glibc's getopt begins anew */
    status = -1;
    parsing = true;
    if (setjmp(end) == 0)
        options_parse(&options, argc, argv);
    parsing = false;
    stdout = out;
    stderr = err;
    if (status < 0)
        check_options(&options);
    else
        CHECK(status == 0 || status == 2);
}

static void ask_environment(void) {
    struct passed_socket sockets[NOTIFY_MAX_SOCKETS] = {{0}};
    struct refusal refusal;
    int count = notify_sockets(sockets, &refusal);

    CHECK(count <= NOTIFY_MAX_SOCKETS);
    for (int i = 0; i < count; i++) {
        struct socket_option socket = {.role = sockets[i].role};
        CHECK(socket.role >= ROLE_VMM && socket.role <= ROLE_OBSERVER);
        socket_words(&socket, sockets[i].words, &refusal);
    }
    /* Those before one that is refused too. */
    for (int i = 0; i < NOTIFY_MAX_SOCKETS; i++)
        free(sockets[i].words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *argv[MAX_ARGUMENTS + 1];

    /* Something that is inherited, with a number that the inputs can know. */
    if (!nowhere) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        CHECK(fd >= 0 && dup2(fd, 100) == 100);
        close(fd);
        CHECK((nowhere = fopen("/dev/null", "we")));
    }
    char *text = malloc(size + 1);
    CHECK(text);
    memcpy(text, data, size);
    text[size] = '\0';
    for (int i = 0; names[i]; i++)
        unsetenv(names[i]);
    int argc = split(text, size, argv);
    int before = fuzz_count_descriptors();
    parse(argc, argv);
    ask_environment();
    CHECK(fuzz_count_descriptors() == before);
    free(text);
    return 0;
}
