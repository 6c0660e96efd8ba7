/* SPDX-License-Identifier: MIT */
/* The joint, on which the relay of fdset-qemu is told what happens here. */
#pragma once

#include "joint/joint.h"
#include "preload.h"

/* Is there a relay, or was there one? */
bool shim_is_joined(void);

/* Tells the relay, with two descriptors or none (NULL). False where it has gone, or there was
 * none. */
bool shim_tell(const struct joint_message *message, const int fds[2]);

/* Is `fd` the joint, which the program must not close? */
bool shim_is_joint(int fd);

/* The joint, or -1. */
int shim_joint(void);

/* As shim_give_way(), for the joint. */
int shim_joint_give_way(int fd);
