/* SPDX-License-Identifier: MIT */
/* Gives a file to a running helper, and tells who has what open. */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <fdset/manager.h>

static void print_member(int set,
                         const struct fdset_member_info *member) {
    bool writable = (member->flags & O_ACCMODE) == O_RDWR;
    printf("/dev/fdset/%d: member %u, %s, %s\n", set, member->member,
           writable ? "read-write" : "read-only",
           member->opaque ? member->opaque : "no label");
    for (size_t i = 0; i < member->lease_count; i++) {
        const struct fdset_lease_info *lease = &member->leases[i];
        printf("    lease %llu of %s (process %d)\n",
               (unsigned long long)lease->lease, lease->name,
               (int)lease->pid);
    }
}

static void print(const struct fdset_listing *listing) {
    for (size_t i = 0; i < listing->count; i++) {
        const struct fdset_info *set = &listing->sets[i];
        for (size_t j = 0; j < set->member_count; j++)
            print_member(set->set, &set->members[j]);
    }
}

int main(int argc, char **argv) {
    if (argc != 3)
        errx(2, "usage: %s SOCKET FILE", argv[0]);

    struct fdset_manager *manager;
    if (fdset_manager_connect(&manager, argv[1], NULL) < 0)
        errx(1, "%s", fdset_error_text());

    /* Two members: one for each mode that the VMM may ask for. */
    struct fdset_member members[] = {
        {.fd = open(argv[2], O_RDONLY | O_CLOEXEC), .opaque = "ro"},
        {.fd = open(argv[2], O_RDWR | O_CLOEXEC), .opaque = "rw"},
    };
    struct fdset_add add = {
        .set = FDSET_NEW_SET,
        .lifetime = FDSET_KEEP, /* also when we have gone */
        .members = members,
        .member_count = 2,
    };
    if (members[0].fd < 0 || members[1].fd < 0)
        err(1, "%s", argv[2]);
    if (fdset_add_fds(manager, &add, 1) < 0)
        errx(1, "%s", fdset_error_text());
    close(members[0].fd); /* the helper has its own */
    close(members[1].fd);
    printf("added as set %d\n", add.set);

    struct fdset_listing *listing;
    if (fdset_query(manager, FDSET_ALL_SETS, &listing) < 0)
        errx(1, "%s", fdset_error_text());
    print(listing);
    fdset_listing_free(listing);
    fdset_manager_free(manager);
    return 0;
}
