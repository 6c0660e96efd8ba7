/* SPDX-License-Identifier: MIT */
/* How many descriptors the process has open, for all fuzz targets. */
#include "fuzz.h"

#include <dirent.h>

int fuzz_count_descriptors(void) {
    DIR *list = opendir("/proc/self/fd");
    int count = 0;

    CHECK(list);
    while (readdir(list))
        count++;
    closedir(list);
    return count;
}
