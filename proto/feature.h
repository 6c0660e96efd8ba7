/* SPDX-License-Identifier: MIT */
/* What goes beyond version 1 of the protocol, as bits of Hello.features. */
#pragma once

#include <stdint.h>

#include "fdset.pb-c.h"

#define FEATURE_BIT(name) (UINT64_C(1) << FDSET__V1__FEATURE__FEATURE_##name)

/* All that this version knows. */
#define FEATURES_KNOWN (FEATURE_BIT(LOOK) | FEATURE_BIT(CLOSE_ANSWER) | FEATURE_BIT(ENDPOINTS))
