/* SPDX-License-Identifier: MIT */
/* QEMU's own sandbox (-sandbox on,spawn=deny) kills it for starting a program.
 * Where no helper was named, one is started while that is still allowed: as the
 * rule is made, which is before any disk is opened. */
#include "libc.h"

#include "attach.h"
#include "spawn.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>

/* libseccomp's, of which nothing else is needed here. */
typedef void *scmp_filter_ctx;
struct scmp_arg_cmp;
typedef int rule_add_function(scmp_filter_ctx, uint32_t, int, unsigned,
                              const struct scmp_arg_cmp *);

EXPORTED rule_add_function seccomp_rule_add_array;
EXPORTED int seccomp_rule_add_array(scmp_filter_ctx filter, uint32_t action, int call,
                                    unsigned count, const struct scmp_arg_cmp *arguments) {
    rule_add_function *real = dlsym(RTLD_NEXT, "seccomp_rule_add_array");

    if (!real)
        return -ENOSYS; /* as where libseccomp does not know the call */
    if (call == SYS_execve && !getenv("FDSET_VMM_FD") && !getenv("FDSET_VMM_SOCKET") &&
        shim_may_spawn() && shim_enter_attached())
        shim_leave();
    return real(filter, action, call, count, arguments);
}
