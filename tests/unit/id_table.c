/* SPDX-License-Identifier: MIT */
/* The table of objects by their ids: whatever keys there are, none is far from its place. */
#include "containers/id_table.h"
#include "oracle.h"

#include <stdbool.h>

/* The places are four times as many. */
#define OBJECTS 8192
#define PLACES  (4 * OBJECTS)

struct object {
    void *unused; /* a slab's objects have room for a pointer */
    uint32_t key;
};

static struct slab slab;
static struct id_table table;

static int begin(void **state) {
    if (slab_init(&slab, sizeof(struct object), OBJECTS) < 0)
        return -1;
    return id_table_init(&table, PLACES / 2, &slab, offsetof(struct object, key), sizeof(uint32_t));
}

static int end(void **state) {
    id_table_destroy(&table);
    slab_destroy(&slab);
    return 0;
}

static struct object *add(uint32_t key) {
    struct object *object = slab_take(&slab);
    object->key = key;
    id_table_add(&table, object);
    return object;
}

/* The most places taken in a row: what a search may have to walk along. */
static uint32_t longest_row(void) {
    uint32_t longest = 0, row = 0;
    for (uint32_t i = 0; i < 2 * PLACES; i++) {
        row = table.entries[i & table.mask] ? row + 1 : 0;
        if (row > longest)
            longest = row;
    }
    return longest;
}

static void test_found_as_long_as_it_is_there(void **state) {
    static struct object *objects[OBJECTS];
    for (uint32_t i = 0; i < OBJECTS; i++)
        objects[i] = add(i * 7);
    for (uint32_t i = 0; i < OBJECTS; i += 2)
        id_table_drop(&table, objects[i]);
    for (uint32_t i = 0; i < OBJECTS; i++) {
        assert_ptr_equal(id_table_find(&table, i * 7), i % 2 ? objects[i] : NULL);
        assert_null(id_table_find(&table, i * 7 + 1));
    }
}

/* A VMM gets ids one after another, but which of them it keeps is its choice: it must
 * not know which are neighbours here, or it could have each search for an id that is
 * not there, of which a packet has room for thousands, walk along all it has. By
 * chance a row is of some twenty. */
static void keep(uint32_t step, uint32_t offset) {
    for (uint32_t i = 0; i < OBJECTS; i++)
        add(offset + i * step);
    assert_true(longest_row() < 400);
}

static void test_one_after_another(void **state) {
    keep(1, 1);
}

static void test_as_far_apart_as_there_are_places(void **state) {
    keep(PLACES, 5);
}

static void test_the_inverse_of_a_small_factor(void **state) {
    keep(19661, 0); /* times 5 it is 1, in a table of this size */
}

static void test_another_table_has_another_order(void **state) {
    uint32_t differ = 0;
    struct id_table other;
    assert_int_equal(
        id_table_init(&other, PLACES / 2, &slab, offsetof(struct object, key), sizeof(uint32_t)),
        0);
    for (uint32_t i = 0; i < OBJECTS; i++)
        id_table_add(&other, add(i));
    for (uint32_t i = 0; i < PLACES; i++)
        differ += table.entries[i] != other.entries[i];
    id_table_destroy(&other);
    assert_true(differ > OBJECTS / 2);
}

#define id_table_test(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        id_table_test(test_found_as_long_as_it_is_there),
        id_table_test(test_one_after_another),
        id_table_test(test_as_far_apart_as_there_are_places),
        id_table_test(test_the_inverse_of_a_small_factor),
        id_table_test(test_another_table_has_another_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
