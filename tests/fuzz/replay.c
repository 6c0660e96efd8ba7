/* SPDX-License-Identifier: MIT */
/* Runs the files of a corpus through a target, as a test with a TAP line.
 *
 * Usage: fuzz-TARGET DIRECTORY-OR-FILE... */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char current[4096];
static unsigned inputs;

/* Which input it was: the only thing that a crash leaves to say. */
static void on_crash(int signal_number) {
    static const char text[] = "\nthe input was ";
    if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0 ||
        write(STDERR_FILENO, current, strlen(current)) < 0 || write(STDERR_FILENO, "\n", 1) < 0)
        _exit(1);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void run_file(const char *path) {
    static uint8_t bytes[1 << 20];
    FILE *file = fopen(path, "re");

    CHECK(file);
    size_t size = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    /* In memory of its own size, so that a sanitizer sees a read past its end. */
    uint8_t *data = malloc(size ? size : 1);
    CHECK(data);
    memcpy(data, bytes, size);
    snprintf(current, sizeof(current), "%s", path);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    inputs++;
}

static void run(const char *path) {
    struct dirent **entries;
    struct stat status;

    CHECK(stat(path, &status) == 0);
    if (!S_ISDIR(status.st_mode)) {
        run_file(path);
        return;
    }
    int count = scandir(path, &entries, NULL, alphasort);
    CHECK(count >= 0);
    for (int i = 0; i < count; i++) {
        char child[4096];
        if (entries[i]->d_name[0] != '.') {
            CHECK(snprintf(child, sizeof(child), "%s/%s", path, entries[i]->d_name) <
                  (int)sizeof(child));
            run_file(child);
        }
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv) {
    signal(SIGABRT, on_crash);
    signal(SIGSEGV, on_crash);
    for (int i = 1; i < argc; i++)
        run(argv[i]);
    printf("1..1\n%s 1 - %u inputs\n", inputs > 0 ? "ok" : "not ok", inputs);
    return inputs > 0 ? 0 : 1;
}
