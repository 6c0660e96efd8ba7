/* SPDX-License-Identifier: MIT */
/* What always holds of a model. */
#pragma once

#include "model/model.h"

/* Asserts that counts, lists and indexes agree. Slow: for tests and debug builds. */
void model_check(const struct model *model);
