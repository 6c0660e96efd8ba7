/* SPDX-License-Identifier: MIT */
/* What newer kernels have for a sandbox: that all of it is used where the kernel has it, and
 * that the report says what there is where it has not. */
#include <errno.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oracle.h"

#include "cage.h"
#include "confine/privileges.h"
#include "confine/stage.h"

#define LANDLOCK_HEADER "/usr/include/linux/landlock.h"

/* Linux 6.14's, with their locks. */
#define EXEC_SECUREBITS 0xf00

/* ---------------------------------------------------------------- Landlock */

/* Of each kind the rights are the lowest bits: how many does a header know of? */
static unsigned header_count(const char *prefix) {
    FILE *header = fopen(LANDLOCK_HEADER, "re");
    char line[300], wanted[60], name[100];
    unsigned bit, count = 0;

    assert_non_null(header);
    snprintf(wanted, sizeof(wanted), "LANDLOCK_%s_", prefix);
    while (fgets(line, sizeof(line), header))
        if (sscanf(line, "#define %99s (1ULL << %u)", name, &bit) == 2 &&
            strncmp(name, wanted, strlen(wanted)) == 0 && bit >= count)
            count = bit + 1;
    fclose(header);
    return count;
}

/* Newer headers than ours have more: then it is time for a row more. */
static void test_no_header_knows_of_more_rights(void **state) {
    const struct landlock_rights *newest = landlock_rights(LANDLOCK_NEWEST_ABI);

    assert_in_range(header_count("ACCESS_FS"), 13, newest->files);
    assert_in_range(header_count("ACCESS_NET"), 0, newest->ports);
    assert_in_range(header_count("SCOPE"), 0, newest->scopes);
}

static int ruleset_make(uint64_t files, uint64_t ports, uint64_t scopes) {
    uint64_t attributes[] = {files, ports, scopes};
    int fd = syscall(444, attributes, sizeof(attributes), 0);

    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

static uint64_t lowest(unsigned count) {
    return (UINT64_C(1) << count) - 1;
}

/* The row of the running kernel's ABI: with any right more, the kernel refuses it. */
static void test_the_kernel_has_these_rights_and_no_more(void **state) {
    int abi = landlock_abi();
    const struct landlock_rights *rights = landlock_rights(abi);

    assert_true(abi > 0);
    uint64_t files = lowest(rights->files), ports = lowest(rights->ports),
             scopes = lowest(rights->scopes);
    assert_int_equal(ruleset_make(files, ports, scopes), 0);
    if (abi > LANDLOCK_NEWEST_ABI)
        return; /* it may have more, which its headers will tell */
    int unknown = abi < 4 ? -E2BIG : -EINVAL;
    assert_int_equal(ruleset_make(lowest(rights->files + 1), 0, 0), -EINVAL);
    assert_int_equal(ruleset_make(files, lowest(rights->ports + 1), 0), unknown);
    assert_int_equal(ruleset_make(files, 0, lowest(rights->scopes + 1)),
                     abi < 6 ? -E2BIG : -EINVAL);
}

static void test_each_abi_has_what_those_before_it_have(void **state) {
    for (int abi = 2; abi <= LANDLOCK_NEWEST_ABI + 1; abi++) {
        const struct landlock_rights *before = landlock_rights(abi - 1);
        const struct landlock_rights *after = landlock_rights(abi);
        assert_true(after->files >= before->files && after->ports >= before->ports &&
                    after->scopes >= before->scopes);
        /* What is said differs where what is handled does. */
        assert_int_equal(strcmp(before->text, after->text) == 0,
                         after->files == before->files && after->ports == before->ports &&
                             after->scopes == before->scopes);
    }
    assert_ptr_equal(landlock_rights(LANDLOCK_NEWEST_ABI + 1),
                     landlock_rights(LANDLOCK_NEWEST_ABI));
}

static const char *detail_of(const struct cage *cage, const char *stage) {
    for (size_t i = 0; i < cage->report.count; i++)
        if (strcmp(cage->report.stages[i].name, stage) == 0)
            return cage->report.stages[i].detail;
    return "no such stage";
}

/* Not what the kernel could do. */
static int says_what_is_handled(struct cage *cage) {
    CAGE_CHECK(confine_enter(&cage->plan, &cage->report) == 0);
    CAGE_CHECK(strcmp(detail_of(cage, "landlock"), landlock_rights(landlock_abi())->text) == 0);
    return 0;
}

/* -------------------------------------------------------------- securebits */

static bool kernel_has_exec_securebits(void) {
    return prctl(PR_SET_SECUREBITS, prctl(PR_GET_SECUREBITS) | EXEC_SECUREBITS) == 0;
}

/* Asked of a child: they are for good. */
static bool ask_for_exec_securebits(void) {
    pid_t child = fork();
    int status;

    if (child == 0)
        cage_exit(!kernel_has_exec_securebits());
    return waitpid(child, &status, 0) == child && status == 0;
}

/* As root and as a user, who may set no other securebit. */
static int exec_securebits(struct cage *cage) {
    bool has = ask_for_exec_securebits();

    CAGE_CHECK(confine_enter(&cage->plan, &cage->report) == 0);
    CAGE_CHECK((prctl(PR_GET_SECUREBITS) & EXEC_SECUREBITS) == (has ? EXEC_SECUREBITS : 0));
    CAGE_CHECK(!strstr(detail_of(cage, "capabilities"), "Linux 6.14") == has);
    return 0;
}

/* An older kernel: it refuses what it does not know, the rest with it. */
static int without_exec_securebits(struct cage *cage) {
    cage_refuse_if(SYS_prctl, EPERM, 1, EXEC_SECUREBITS);
    CAGE_CHECK(confine_enter(&cage->plan, &cage->report) == 0);
    CAGE_CHECK((prctl(PR_GET_SECUREBITS) & EXEC_SECUREBITS) == 0);
    CAGE_CHECK((prctl(PR_GET_SECUREBITS) & 0xff) == (0xff & ~SECBIT_KEEP_CAPS));
    CAGE_CHECK(strstr(detail_of(cage, "capabilities"), "Linux 6.14"));
    return 0;
}

/* ------------------------------------------------------------------ memory */

static const char constant[] = "what is not to change";
static const char *const pointer = constant; /* read-only once the loader has filled it in */

static void *page_of(const void *address) {
    return (void *)((uintptr_t)address & -(uintptr_t)sysconf(_SC_PAGESIZE));
}

/* What would make it another's: other rights, another mapping in its place, or none. */
static bool can_change(const void *address) {
    size_t size = sysconf(_SC_PAGESIZE);
    void *page = page_of(address);

    return mprotect(page, size, PROT_READ | PROT_WRITE) == 0 || errno != EPERM ||
           mmap(page, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
               MAP_FAILED ||
           errno != EPERM || munmap(page, size) == 0 || errno != EPERM;
}

static int sealed(struct cage *cage) {
    bool has = cage->kernel_has_mseal;

    CAGE_CHECK(confine_enter(&cage->plan, &cage->report) == 0);
    CAGE_CHECK(cage_outcome(cage, "mseal") == (has ? CONFINE_DONE : CONFINE_PARTLY));
    if (!has)
        return 0;
    CAGE_CHECK(!can_change(constant));                  /* a constant of the program */
    CAGE_CHECK(!can_change(&pointer));                  /* a table of addresses */
    CAGE_CHECK(!can_change(&cage_unlock_all));          /* what the filter compares with */
    CAGE_CHECK(!can_change((const void *)sealed));      /* its code */
    CAGE_CHECK(!can_change((const void *)cage_refuse)); /* and */
    CAGE_CHECK(!can_change((const void *)getppid));     /* libc's */
    return 0;
}

/* Reported, and no more: no filter lets such a call through in any case. */
static int without_mseal(struct cage *cage) {
    cage_refuse(CALL_MSEAL, ENOSYS);
    CAGE_CHECK(confine_enter(&cage->plan, &cage->report) == 0);
    CAGE_CHECK(cage_outcome(cage, "mseal") == CONFINE_PARTLY);
    CAGE_CHECK(strstr(detail_of(cage, "mseal"), "Linux 6.10"));
    return 0;
}

static int mseal_refused(struct cage *cage) {
    cage_refuse(CALL_MSEAL, EPERM);
    CAGE_CHECK(confine_enter(&cage->plan, &cage->report) == 0);
    CAGE_CHECK(cage_outcome(cage, "mseal") == CONFINE_PARTLY);
    CAGE_CHECK(strstr(detail_of(cage, "mseal"), "EPERM"));
    return 0;
}

/* -------------------------------------------------------------------- core */

static int die_with_a_core(struct cage *cage) {
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

    setrlimit(RLIMIT_CORE, &limit);
    raise(SIGABRT);
    return 0;
}

/* The limit alone would not do: a pipe or a socket that takes cores (core_pattern) asks for
 * no limit. What is not dumpable has no core for anybody. */
static int die_confined(struct cage *cage) {
    CAGE_CHECK(confine_enter(&cage->plan, &cage->report) == 0);
    CAGE_CHECK(prctl(PR_GET_DUMPABLE) == 0);
    return die_with_a_core(cage);
}

static void test_no_core_whatever_the_limit(void **state) {
    if (!cage_can_start(AS_ROOT))
        skip();
    int status = cage_run(AS_ROOT, die_confined);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_false(WCOREDUMP(status));
}

#define TEST(starter, body)                 \
    static void test_##body(void **state) { \
        cage_test(starter, body);           \
    }

TEST(AS_USER, says_what_is_handled)
TEST(AS_ROOT, exec_securebits)
TEST(AS_ROOT, without_exec_securebits)
TEST(AS_USER, sealed)
TEST(AS_USER, without_mseal)
TEST(AS_USER, mseal_refused)

static void test_exec_securebits_of_a_user(void **state) {
    cage_test(AS_USER, exec_securebits);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_no_header_knows_of_more_rights),
        oracle_test(test_the_kernel_has_these_rights_and_no_more),
        oracle_test(test_each_abi_has_what_those_before_it_have),
        oracle_test(test_says_what_is_handled),
        oracle_test(test_exec_securebits),
        oracle_test(test_exec_securebits_of_a_user),
        oracle_test(test_without_exec_securebits),
        oracle_test(test_sealed),
        oracle_test(test_without_mseal),
        oracle_test(test_mseal_refused),
        oracle_test(test_no_core_whatever_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
