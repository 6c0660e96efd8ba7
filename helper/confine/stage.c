/* SPDX-License-Identifier: MIT */
/* How a stage says what has become of it. */
#include "stage.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void stage_detail(struct confine_stage *stage, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(stage->detail, sizeof(stage->detail), format, arguments);
    va_end(arguments);
}

int stage_partly(struct confine_stage *stage, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(stage->detail, sizeof(stage->detail), format, arguments);
    va_end(arguments);
    stage->outcome = CONFINE_PARTLY;
    return 0;
}

int stage_failed(struct confine_stage *stage, int error, const char *call, const char *advice) {
    assert(error < 0);
    stage_detail(stage, "%s: %s; %s", call, strerrorname_np(-error), advice);
    stage->outcome = CONFINE_FAILED;
    return error;
}

bool error_is_refusal(int error) {
    switch (error) {
    case EPERM:  /* no privilege, a chroot, a container's own filter */
    case EACCES: /* AppArmor, SELinux */
    case ENOSPC: /* user.max_*_namespaces */
    case EUSERS: /* the same before Linux 4.9, and nesting too deep */
    case ENOSYS: /* a container's own filter */
    case EINVAL: /* a kernel built without it; a root that cannot be pivoted */
    case ENOENT: /* no /proc */
    case EROFS:  /* /proc read-only */
        return true;
    }
    return false;
}
