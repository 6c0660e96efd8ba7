/* SPDX-License-Identifier: MIT */
/* What is passed on to the emulator. */
#include <stdlib.h>

#include "link-private.h"

struct qmp_link *link_find(struct relay *relay, uint64_t number) {
    struct qmp_link *link = relay->links;

    while (link && link->number != number)
        link = link->next;
    return link;
}

char *id_text(struct span id) {
    struct text text = {0};

    if (!id.bytes)
        return NULL;
    json_normalise(id, &text);
    text_append(&text, "", 1);
    return text.bytes;
}

void reply_expect(struct qmp_link *link, answered_function answered, char *id) {
    link->expected++;
    if (answered) {
        link->answered = answered;
        link->answered_id = id;
    } else {
        free(id);
    }
}

void command_forward(struct qmp_link *link, struct qmp_command *command, int fd,
                     answered_function answered) {
    link->leftover &= fd < 0;
    outgoing_put(&link->emulator.out, text_span(&command->message), fd);
    reply_expect(link, answered, command->id);
    command->id = NULL;
}

void command_give_back(struct qmp_link *link, int *fd) {
    if (link->pending >= 0 || *fd < 0)
        return;
    link->pending = *fd;
    *fd = -1;
}
