/* SPDX-License-Identifier: MIT */
/* Random histories against the real helper: see --help. */
#include "play.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Steps in one history, with one helper. */
#define HISTORY_STEPS 500

/* How long a history that fails is made smaller, and how long whoever waits in vain
 * waits meanwhile. */
#define SHRINK_SECONDS  120
#define SHRINK_PATIENCE 3

/* How long on a machine that has more to do; and no history takes longer than this,
 * unless it hangs. */
#define PATIENCE            60
#define HANG_SECONDS        300
#define SHRINK_HANG_SECONDS 10

struct history {
    uint64_t seed;
    size_t count;
    struct step *steps;
};

enum noise { SILENT, ERRORS, TRACE };

static const char usage[] =
    "Usage: model [--seed N] [--steps N] [--trace]\n"
    "       model --replay SCRIPT\n"
    "\n"
    "Plays random histories of managers, VMMs and observers against the helper that\n"
    "FDSET_TEST_HELPER names, and compares every reply, event, descriptor and count with\n"
    "a reference. A history that fails is made as small as may be and printed as a script.\n"
    "\n"
    "  --seed N         begin with this one (default: a fixed one; 0: by the clock)\n"
    "  --steps N        so many steps, 500 to a helper (default 20000; 5000000 where\n"
    "                   FDSET_TEST_LONG is set)\n"
    "  --trace          print each step as it is taken\n"
    "  --replay SCRIPT  play this history, with --trace\n";

/* --------------------------------------------------------------- one history */

static uint64_t mix(uint64_t number) {
    number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9;
    number = (number ^ number >> 27) * 0x94d049bb133111eb;
    return number ^ number >> 31;
}

static void make_history(struct history *history, uint64_t seed, size_t count) {
    history->seed = seed;
    history->count = count;
    for (size_t i = 0; i < count; i++) {
        uint64_t one = mix(seed + (2 * i + 1) * 0x9e3779b97f4a7c15), other = mix(one);
        history->steps[i] = (struct step){act_choose((uint32_t)(one >> 32)), (uint32_t)one & 0xffff,
                                          (uint32_t)other};
    }
}

/* A check has failed: the message is out. */
static void put_away(int number) {
    play_abandon();
    _exit(1);
}

static void live_quietly(enum noise noise, int errors) {
    dup2(errors, STDERR_FILENO);
    client_patience = PATIENCE;
    if (noise != SILENT)
        return;
    dup2(errors, STDOUT_FILENO);
    client_patience = SHRINK_PATIENCE;
}

/* Where the check stands that has failed, to tell one fault from another. */
static char failed_at[128];

static void read_errors(int errors, enum noise noise) {
    static char text[65536];
    off_t end = lseek(errors, 0, SEEK_END), room = sizeof(text) - 1;
    ssize_t length = pread(errors, text, (size_t)room, end > room ? end - room : 0);
    text[length > 0 ? length : 0] = '\0';
    close(errors);
    const char *line = strstr(text, "[   LINE   ] --- ");
    snprintf(failed_at, sizeof(failed_at), "%.*s", line ? (int)strcspn(line, "\n") : 0, line);
    if (noise == SILENT)
        return;
    for (char *next = strtok(text, "\n"); next; next = strtok(NULL, "\n"))
        printf("# %s\n", next);
    fflush(stdout);
}

/* In a process of its own, so that nothing is left of one that fails. */
static bool passes(const struct history *history, enum noise noise) {
    int status, errors = memfd_create("errors", MFD_CLOEXEC);
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0 || errors < 0) {
        perror("model");
        exit(2);
    }
    if (pid == 0) {
        setenv("CMOCKA_TEST_ABORT", "1", 1);
        signal(SIGABRT, put_away);
        live_quietly(noise, errors);
        alarm(noise == SILENT ? SHRINK_HANG_SECONDS : HANG_SECONDS);
        play_history(history->seed, history->steps, history->count, noise == TRACE);
        _exit(0);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    read_errors(errors, noise);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ------------------------------------------------------------------ shrinking */

static void cut(const struct history *from, size_t begin, size_t length, struct history *to) {
    to->seed = from->seed;
    to->count = from->count - length;
    memcpy(to->steps, from->steps, begin * sizeof(from->steps[0]));
    memcpy(to->steps + begin, from->steps + begin + length,
           (from->count - begin - length) * sizeof(from->steps[0]));
}

/* Leaves out what it can, in ever smaller pieces, until no single step can go. */
static void shrink(struct history *history) {
    static struct step room[HISTORY_STEPS];
    struct history smaller = {.steps = room};
    char fault[sizeof(failed_at)];
    time_t began = time(NULL);
    strcpy(fault, failed_at);
    for (size_t piece = (history->count + 1) / 2; piece > 0;) {
        bool any = false;
        for (size_t end = history->count; end > 0 && time(NULL) < began + SHRINK_SECONDS;) {
            size_t length = piece < end ? piece : end;
            cut(history, end - length, length, &smaller);
            if (!passes(&smaller, SILENT) && strcmp(failed_at, fault) == 0) {
                memcpy(history->steps, room, smaller.count * sizeof(room[0]));
                history->count = smaller.count;
                any = true;
            }
            end -= length;
            end = end < history->count ? end : history->count;
        }
        if (time(NULL) >= began + SHRINK_SECONDS)
            return;
        if (piece > 1)
            piece = (piece + 1) / 2;
        else if (!any)
            return;
    }
}

/* -------------------------------------------------------------------- scripts */

static void print_script(const struct history *history) {
    printf("# --- script: save it, and play it by tests/model/replay FILE\n# . seed %llu\n",
           (unsigned long long)history->seed);
    for (size_t i = 0; i < history->count; i++)
        printf("# . %s %u %u\n", act_name(history->steps[i].act), history->steps[i].who,
               history->steps[i].dice);
    printf("# --- end of script\n");
}

static void read_script(const char *path, struct history *history) {
    char line[256], word[32];
    unsigned long long seed;
    unsigned who, dice;
    FILE *file = fopen(path, "re");
    if (!file) {
        fprintf(stderr, "model: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    while (fgets(line, sizeof(line), file)) {
        const char *text = strncmp(line, "# . ", 4) == 0 ? line + 4 : line; /* as printed */
        if (text[0] == '#' || text[0] == '\n')
            continue;
        if (sscanf(text, "seed %llu", &seed) == 1) {
            history->seed = seed;
        } else if (sscanf(text, "%31s %u %u", word, &who, &dice) == 3 &&
                   act_find(word) != UINT32_MAX && history->count < HISTORY_STEPS) {
            history->steps[history->count++] = (struct step){act_find(word), who, dice};
        } else {
            fprintf(stderr, "model: not a step: %s", line);
            exit(2);
        }
    }
    fclose(file);
}

/* ----------------------------------------------------------------------- main */

static void report_failure(struct history *history, size_t whole) {
    printf("# a history of seed %llu differs; it is being made smaller\n",
           (unsigned long long)history->seed);
    shrink(history);
    printf("# %zu of %zu steps are enough:\n", history->count, whole);
    if (passes(history, TRACE))
        printf("# and yet it passed this time\n");
    print_script(history);
    printf("not ok 1 - histories\n");
}

static int play_many(uint64_t seed, uint64_t steps, enum noise noise) {
    static struct step room[HISTORY_STEPS];
    struct history history = {.steps = room};
    uint64_t done = 0, told = 0;
    printf("1..1\n# seed %llu, %llu steps\n", (unsigned long long)seed, (unsigned long long)steps);
    for (uint64_t i = 0; done < steps; i++) {
        uint64_t left = steps - done;
        make_history(&history, mix(seed + i), left < HISTORY_STEPS ? left : HISTORY_STEPS);
        if (!passes(&history, noise)) {
            report_failure(&history, history.count);
            return 1;
        }
        done += history.count;
        if (done >= told + 100000) {
            told = done;
            printf("# %llu steps\n", (unsigned long long)done);
        }
    }
    printf("ok 1 - histories of %llu steps\n", (unsigned long long)done);
    return 0;
}

static int replay(const char *path) {
    static struct step room[HISTORY_STEPS];
    struct history history = {.steps = room};
    read_script(path, &history);
    bool good = passes(&history, TRACE);
    printf(good ? "both sides agree\n" : "they differ\n");
    return !good;
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'}, {"steps", required_argument, NULL, 'n'},
        {"trace", no_argument, NULL, 't'},      {"replay", required_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},       {0}};
    const char *longer = getenv("FDSET_TEST_LONG");
    uint64_t seed = 20121123, steps = longer && *longer ? 5000000 : 20000;
    enum noise noise = ERRORS;
    int choice;
    if (!getenv("FDSET_TEST_HELPER") && argc > 1 && strcmp(argv[1], "--help") != 0) {
        fputs("model: FDSET_TEST_HELPER must name the helper\n", stderr);
        return 2;
    }
    while ((choice = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (choice == 's')
            seed = strtoull(optarg, NULL, 0);
        else if (choice == 'n')
            steps = strtoull(optarg, NULL, 0);
        else if (choice == 't')
            noise = TRACE;
        else if (choice == 'r')
            return replay(optarg);
        else
            return fputs(usage, choice == 'h' ? stdout : stderr) < 0 || choice != 'h' ? 2 : 0;
    return play_many(seed ? seed : (uint64_t)time(NULL), steps, noise);
}
