/* SPDX-License-Identifier: MIT */
/* Variables that the compiler is not to fill with zeros. It does so with every other one on
 * the stack, so that what somebody forgets to set is nobody's old data. */
#pragma once

/* For a large array on the way of every open, which is written before it is read: say by
 * what. */
#ifdef __has_attribute
#if __has_attribute(uninitialized)
#define UNINITIALIZED __attribute__((uninitialized))
#endif
#endif
#ifndef UNINITIALIZED
#define UNINITIALIZED
#endif
