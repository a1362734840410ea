/* A heap against a list that is looked through. */
#include "tests/unit/server/fixture.h"

#include "server/heap.h"

#define THINGS 200

struct thing {
    struct heap_node node;
    bool in;
};

static const struct thing *first_of(const struct thing *things) {
    const struct thing *first = NULL;
    for (size_t i = 0; i < THINGS; i++) {
        const struct thing *thing = &things[i];
        const bool before =
            first != NULL && (thing->node.key < first->node.key ||
                              (thing->node.key == first->node.key && thing->node.order < first->node.order));
        first = thing->in && (first == NULL || before) ? thing : first;
    }
    return first;
}

static void the_first_is_at_hand_under_random_changes(void **state) {
    (void)state;
    uint64_t seed = seed_begin("the_first_is_at_hand_under_random_changes"), order = 0;
    static struct thing things[THINGS];
    struct heap heap = {.nodes = NULL};
    assert_null(heap_first(&heap));
    for (int round = 0; round < 40000; round++) {
        struct thing *thing = &things[seed_below(&seed, THINGS)];
        if (!thing->in) {
            thing->node = (struct heap_node){.key = seed_below(&seed, 40), .order = order++, .thing = thing};
            assert_true(heap_reserve(&heap, heap.count + 1));
            heap_add(&heap, &thing->node);
            thing->in = true;
        } else {
            heap_remove(&heap, &thing->node);
            thing->in = false;
        }
        assert_ptr_equal(heap_first(&heap), first_of(things));
    }
    for (struct thing *thing = heap_first(&heap); thing != NULL; thing = heap_first(&heap)) {
        assert_ptr_equal(thing, first_of(things));
        heap_remove(&heap, &thing->node);
        thing->in = false;
    }
    assert_int_equal(heap.count, 0);
    heap_finish(&heap);
    heap_finish(&heap);
}

static void room_is_taken_before(void **state) {
    (void)state;
    struct heap heap = {.nodes = NULL};
    assert_true(heap_reserve(&heap, 1000) && heap.room >= 1000 && heap.count == 0);
    struct heap_node **nodes = heap.nodes;
    assert_true(heap_reserve(&heap, 10) && heap.nodes == nodes); /* it never shrinks */
    heap_finish(&heap);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_is_at_hand_under_random_changes),
        cmocka_unit_test(room_is_taken_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
