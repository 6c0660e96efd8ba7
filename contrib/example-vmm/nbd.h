/* SPDX-License-Identifier: MIT */
/* The example's guest: whoever speaks NBD to it. */
#pragma once

#include "disk.h"

/* Serves one client until it leaves or says what is no NBD. Consumes `socket`. */
void nbd_serve(int socket, struct disk *disk);
