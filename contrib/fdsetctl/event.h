/* Events in words. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include <fdset/manager.h>

/* Kinds with commas between, as "added,wanted", into their bits. */
bool kinds_parse(const char *text, uint32_t *kinds);

/* The bits of all kinds. */
uint32_t kinds_all(void);

/* Their names, with commas between. */
const char *kinds_text(void);

/* One line. */
void event_print(const struct fdset_event *event);

/* All that the event has; what its kind has not is null. */
json_t *event_json(const struct fdset_event *event);
