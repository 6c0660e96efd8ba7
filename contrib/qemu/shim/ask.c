/* SPDX-License-Identifier: MIT */
/* What is known of a set without opening it. */
#include "ask.h"

#include "attach.h"
#include "libc.h"
#include "open_leases.h"
#include "say.h"

#include <errno.h>

int set_held(const struct set_path *set) {
    struct fdset_vmm *vmm = shim_enter();
    int fd = -1;

    if (vmm) {
        fd = open_leases_find(vmm, set);
        shim_leave();
    }
    return fd;
}

/* Of what is open something is known without a helper as well, which may have ended. */
static int held_look(const struct set_path *set, struct fdset_look_result *look) {
    int fd = set_held(set);

    if (fd < 0 || fstat(fd, &look->status) < 0)
        return -1;
    look->modes = 1u << (REAL(fcntl)(fd, F_GETFL) & O_ACCMODE);
    return 0;
}

int set_look(const struct set_path *set, struct fdset_look_result *look) {
    if (set->error) {
        errno = set->error;
        return -1;
    }
    struct fdset_vmm *vmm = shim_enter_attached();
    if (!vmm)
        return -1;
    int error = fdset_look(vmm, set->text, look);
    if (error < 0 && shim_is_verbose())
        shim_complain("%s", fdset_error_text());
    shim_leave();
    if (error >= 0 || (error == -ECONNRESET && held_look(set, look) == 0))
        return 0;
    /* EINVAL would be readlink's word for what is there and is no link. */
    errno = error == -EINVAL ? ENOENT : -error;
    return -1;
}

int set_exists(const struct set_path *set) {
    struct fdset_look_result look;

    return set_look(set, &look);
}

int set_refuse(const struct set_path *set, int error) {
    if (set_exists(set) == 0)
        errno = error;
    return -1;
}
