/* SPDX-License-Identifier: MIT */
/* A helper that is locked in, for a test to look at: see subject.h. */
#include "subject.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cage.h"

#define SET_OF_DISK "5"

struct subject subject;

static bool starts_as_root(const char *who) {
    return !strcmp(who, "root") || !strcmp(who, "container");
}

static void set_starter(const char *who) {
    const char *starter = getenv("SANDBOX_STARTER");
    char wrapper[500];

    if (!starter)
        fail_msg("SANDBOX_STARTER is not set: run this by meson test");
    snprintf(wrapper, sizeof(wrapper), "%s %s", starter, who);
    setenv("FDSET_TEST_WRAPPER", wrapper, 1);
}

/* An ordinary user cannot where the checkout is below a directory of root's alone. */
static bool can_run_helper(uid_t uid) {
    const char *helper = getenv("FDSET_TEST_HELPER");
    int status = -1;
    pid_t child = fork();

    if (child == 0) {
        if (uid != geteuid())
            cage_become(uid);
        _exit(access(helper, X_OK) == 0 ? 0 : 1);
    }
    if (waitpid(child, &status, 0) == child && status == 0)
        return true;
    fprintf(stderr, "user %d cannot run %s: let others search the directories above it\n", uid,
            helper);
    return false;
}

/* The helper's standard error is a pipe; what is wanted is in it before the
 * first reply. Besides what it needs it is given what it must not keep. */
static void start(void) {
    char add_fd[40];
    int log[2], before = dup(STDERR_FILENO);
    int root = harness_keep(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    int high = harness_keep(fcntl(root, F_DUPFD_CLOEXEC, 200));

    assert_int_equal(pipe2(log, O_CLOEXEC), 0);
    subject.disk = file_open("disk", O_RDWR);
    snprintf(add_fd, sizeof(add_fd), "fd=%d,set=" SET_OF_DISK, subject.disk);
    const char *options[] = {"--verbose", "--add-fd", add_fd, NULL};
    dup2(log[1], STDERR_FILENO);
    assert_true(readlink("/proc/self/fd/2", subject.error, sizeof(subject.error) - 1) > 0);
    struct helper *helper = helper_start_with(options, (int[]){subject.disk, root, high, -1});
    subject.pid = helper->pid;
    if (helper->descriptors > 0)
        helper->descriptors--; /* the disk will go as all sets do */
    dup2(before, STDERR_FILENO);
    close(before), close(log[1]);
    assert_true(read(log[0], subject.ready, sizeof(subject.ready) - 1) > 0);
    close(log[0]);
}

static void ask_stages(struct client *client) {
    Fdset__V1__Query query = FDSET__V1__QUERY__INIT;
    Request request = FDSET__V1__REQUEST__INIT;

    query.sandbox = true;
    request.body_case = FDSET__V1__REQUEST__BODY_QUERY;
    request.query = &query;
    Reply *reply = client_ask(client, &request);
    assert_int_equal(reply->body_case, REPLY(QUERY));
    subject.stage_count = reply->query->n_sandbox;
    assert_in_range(subject.stage_count, 1, CONFINE_MAX_STAGES);
    for (size_t i = 0; i < subject.stage_count; i++) {
        const Fdset__V1__SandboxStage *stage = reply->query->sandbox[i];
        snprintf(subject.stages[i].name, sizeof(subject.stages[i].name), "%s", stage->name);
        snprintf(subject.stages[i].detail, sizeof(subject.stages[i].detail), "%s", stage->detail);
        subject.stages[i].whole = stage->whole;
    }
}

int subject_start(void **state) {
    const char *who = *state;

    if (geteuid() != 0 && starts_as_root(who))
        return 0;
    if (harness_begin(state) != 0)
        return -1;
    subject.uid = geteuid() != 0        ? geteuid()
                  : starts_as_root(who) ? 1000000 + (uid_t)getpid() /* the harness says so */
                                        : CAGE_UID;
    if (!starts_as_root(who) && chown(file_path(""), subject.uid, subject.uid) < 0)
        return -1;
    if (!can_run_helper(starts_as_root(who) ? geteuid() : subject.uid))
        return -1;
    set_starter(who);
    start();
    ask_stages(helper_connect(NULL, ROLE(OBSERVER), "asks how far"));
    return 0;
}

int subject_end(void **state) {
    return subject.pid ? harness_end(state) : 0;
}

static size_t stage_find(const char *stage) {
    for (size_t i = 0; i < subject.stage_count; i++)
        if (!strcmp(subject.stages[i].name, stage))
            return i;
    fail_msg("no stage %s", stage);
    return 0;
}

bool subject_holds(const char *stage) {
    return subject.stages[stage_find(stage)].whole;
}

const char *subject_detail(const char *stage) {
    return subject.stages[stage_find(stage)].detail;
}

const char *subject_path(const char *name) {
    static char path[128];

    snprintf(path, sizeof(path), "/proc/%d/%s", subject.pid, name);
    return path;
}

const char *subject_line(const char *path, const char *name) {
    static char line[512];
    FILE *file = fopen(path, "re");
    bool found = false;

    assert_non_null(file);
    while (!found && fgets(line, sizeof(line), file))
        found = !strncmp(line, name, strlen(name));
    fclose(file);
    if (!found)
        fail_msg("no %s in %s", name, path);
    line[strcspn(line, "\n")] = '\0';
    return line + strlen(name) + strspn(line + strlen(name), ":\t ");
}
