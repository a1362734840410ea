/* The directory against a plain array that does the same slowly. */
#include "tests/unit/server/fixture.h"

#include "server/directory.h"

#define ITEMS 200

struct item {
    struct directory_key key;
    char name[8];
    bool inside;
};

static struct item items[ITEMS];

static struct item *slow_next(const char *after) {
    struct item *best = NULL;
    for (size_t i = 0; i < ITEMS; i++) {
        if (items[i].inside && strcmp(items[i].name, after) > 0 &&
            (best == NULL || strcmp(items[i].name, best->name) < 0)) {
            best = &items[i];
        }
    }
    return best;
}

static void behaves_like_a_plain_array(void **state) {
    (void)state;
    uint64_t seed = seed_begin("behaves_like_a_plain_array");
    struct directory directory = {0};
    size_t inside = 0;
    for (size_t i = 0; i < ITEMS; i++) {
        /* Ids high and low, names of one to four letters, some a prefix of others; the number keeps them apart. */
        snprintf(items[i].name, sizeof items[i].name, "%.*s%zu", (int)(i % 4), "abzz", i);
        items[i].key = (struct directory_key){.id = seed_next(&seed), .name = items[i].name};
        items[i].inside = false;
    }
    for (int round = 0; round < 5000; round++) {
        struct item *item = &items[seed_below(&seed, ITEMS)];
        if (item->inside) {
            directory_remove(&directory, &item->key);
            inside--;
        } else {
            assert_true(directory_reserve(&directory));
            directory_insert(&directory, &item->key);
            inside++;
        }
        item->inside = !item->inside;
        struct item *probe = &items[seed_below(&seed, ITEMS)];
        assert_int_equal(directory.count, inside);
        assert_ptr_equal(directory_find_id(&directory, probe->key.id), probe->inside ? &probe->key : NULL);
        assert_ptr_equal(directory_find_name(&directory, probe->name), probe->inside ? &probe->key : NULL);
        assert_ptr_equal(directory_next_name(&directory, probe->name), slow_next(probe->name));
    }
    size_t seen = 0;
    for (struct directory_key *key = directory_next_name(&directory, ""); key != NULL;
         key = directory_next_name(&directory, key->name)) {
        seen++;
    }
    assert_int_equal(seen, inside);
    directory_finish(&directory);
    assert_int_equal(directory.count, 0);
}

static void an_empty_one_finds_nothing(void **state) {
    (void)state;
    struct directory directory = {0};
    assert_null(directory_find_id(&directory, 0));
    assert_null(directory_find_name(&directory, ""));
    assert_null(directory_next_name(&directory, ""));
    directory_finish(&directory);
    directory_finish(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behaves_like_a_plain_array),
        cmocka_unit_test(an_empty_one_finds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
