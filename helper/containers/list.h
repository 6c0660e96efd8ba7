/* SPDX-License-Identifier: MIT */
/* Doubly linked list whose links live in the objects: no allocation, and an
 * object can be taken out of the middle knowing only itself. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *previous;
};

/* A list head, or a link that is in no list. */
static inline void list_init(struct list *list) {
    list->next = list->previous = list;
}

static inline bool list_empty(const struct list *list) {
    return list->next == list;
}

/* Puts `link` before `place`: before the head means last. */
static inline void list_insert(struct list *place, struct list *link) {
    link->next = place;
    link->previous = place->previous;
    place->previous->next = link;
    place->previous = link;
}

static inline void list_append(struct list *head, struct list *link) {
    list_insert(head, link);
}

/* A link in no list may be removed again. */
static inline void list_remove(struct list *link) {
    link->next->previous = link->previous;
    link->previous->next = link->next;
    list_init(link);
}

/* Moves all links of one list to the end of another. */
static inline void list_move(struct list *from, struct list *to) {
    while (!list_empty(from)) {
        struct list *link = from->next;
        list_remove(link);
        list_append(to, link);
    }
}

#define list_object(link, type, field) ((type *)((char *)(link)-offsetof(type, field)))

/* `link` walks over the links; list_object() gives the objects. */
#define list_for_each(link, head) \
    for (struct list *link = (head)->next; link != (head); link = link->next)

/* The same where the body may take `link` out. */
#define list_for_each_safe(link, head)                                                \
    for (struct list *link = (head)->next, *link##_next = link->next; link != (head); \
         link = link##_next, link##_next = link->next)
