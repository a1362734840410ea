/* The index of rows against a sorted list: random operations at every load, growth at every step, keys that crowd one
 * place, and how much work an insertion is. */
#include "tests/unit/server/fixture.h"

#include "server/row_index.h"
#include "server/rowkey.h"

/* The model: keys in order, with their places. */
struct model {
    uint64_t *keys;
    uint32_t *places;
    size_t count, room;
};

static size_t model_at(const struct model *model, uint64_t key) {
    size_t low = 0, high = model->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (model->keys[middle] < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool model_has(const struct model *model, uint64_t key) {
    size_t at = model_at(model, key);
    return at < model->count && model->keys[at] == key;
}

static void model_insert(struct model *model, uint64_t key, uint32_t place) {
    size_t at = model_at(model, key);
    if (model->count == model->room) {
        model->room = model->room == 0 ? 64 : 2 * model->room;
        model->keys = realloc(model->keys, model->room * sizeof *model->keys);
        model->places = realloc(model->places, model->room * sizeof *model->places);
        assert_true(model->keys != NULL && model->places != NULL);
    }
    memmove(model->keys + at + 1, model->keys + at, (model->count - at) * sizeof *model->keys);
    memmove(model->places + at + 1, model->places + at, (model->count - at) * sizeof *model->places);
    model->keys[at] = key;
    model->places[at] = place;
    model->count++;
}

static void model_erase(struct model *model, uint64_t key) {
    size_t at = model_at(model, key);
    model->count--;
    memmove(model->keys + at, model->keys + at + 1, (model->count - at) * sizeof *model->keys);
    memmove(model->places + at, model->places + at + 1, (model->count - at) * sizeof *model->places);
}

static void model_finish(struct model *model) {
    free(model->keys);
    free(model->places);
    memset(model, 0, sizeof *model);
}

/* Entries of an array of which none may be further than ROW_INDEX_PROBE lines from its home, nor before it, nor a key
 * that belongs elsewhere; *farthest becomes the longest way that a search has to one of them. */
static uint64_t look_through(const struct row_index *index, const struct row_lines *array, uint64_t *farthest) {
    uint64_t count = 0, begin = 0;
    bool good = true;
    for (uint64_t line = 0; array->lines != NULL && line < array->homes + ROW_INDEX_PROBE; line++) {
        const struct row_line *at = row_lines_at(array, line);
        for (size_t i = 0; at != NULL && i < ROW_LINE_ENTRIES && at->places[i] != ROW_NONE; i++, count++) {
            const uint64_t home = row_lines_home(array, at->keys[i]);
            good = good && row_index_begin(index, at->keys[i], &begin) == array && begin <= line && home <= line &&
                   line - home <= ROW_INDEX_PROBE;
            *farthest = line - begin > *farthest ? line - begin : *farthest;
        }
    }
    assert_true(good);
    return count;
}

/* How many lines the longest search reads after the first. */
static uint64_t longest_search(const struct row_index *index) {
    uint64_t farthest = 0, count = look_through(index, &index->now, &farthest);
    count += look_through(index, &index->next, &farthest);
    assert_true(count == index->count);
    return farthest;
}

/* All of it, in order and one by one; and that every entry is where a search may look. */
static void same(const struct row_index *index, const struct model *model) {
    uint64_t from = 0, key = 0;
    uint32_t place = 0;
    assert_true(index->count == model->count);
    for (size_t i = 0; i < model->count; i++) {
        assert_true(row_index_next(index, from, &key, &place));
        assert_true(key == model->keys[i]);
        assert_true(place == model->places[i]);
        assert_true(row_index_find(index, key) == place);
        from = key + 1;
    }
    assert_true(from == 0 || !row_index_next(index, from, &key, &place));
    assert_true(longest_search(index) <= ROW_INDEX_PROBE);
}

/* False where the key's place is too crowded. */
static bool insert(struct row_index *index, struct model *model, uint64_t key) {
    uint32_t place = (uint32_t)(key ^ key >> 32) & 0x7fffffff;
    uint64_t moved = index->moved;
    assert_int_equal(row_index_find(index, key), ROW_NONE);
    enum row_insert result = row_index_insert(index, key, place);
    assert_in_range(index->moved - moved, 0, ROW_INDEX_MOVES);
    if (result != ROW_INSERTED) {
        assert_int_equal(result, ROW_CROWDED);
        assert_int_equal(row_index_find(index, key), ROW_NONE);
        return false;
    }
    model_insert(model, key, place);
    assert_int_equal(row_index_find(index, key), place);
    return true;
}

static void erase(struct row_index *index, struct model *model, uint64_t key) {
    uint32_t place = row_index_find(index, key);
    assert_int_not_equal(place, ROW_NONE);
    assert_int_equal(row_index_erase(index, key), place);
    model_erase(model, key);
    assert_int_equal(row_index_find(index, key), ROW_NONE);
    assert_int_equal(row_index_erase(index, key), ROW_NONE);
}

/* How keys are drawn: from everywhere, from few places, from both ends, one after the other. */
static uint64_t draw(uint64_t *seed, unsigned kind) {
    switch (kind) {
    case 0:
        return seed_next(seed);
    case 1:
        return seed_below(seed, 300) * UINT64_C(0x00d0000000000000) + seed_below(seed, 40);
    case 2:
        return seed_below(seed, 2) == 0 ? seed_below(seed, 90) : UINT64_MAX - seed_below(seed, 90);
    default:
        return seed_below(seed, 4096) * UINT64_C(0x0010000000000001);
    }
}

static void random_operations(void **state) {
    (void)state;
    uint64_t seed = seed_begin("random_operations");
    for (unsigned round = 0; round < 24; round++) {
        struct pool *pool = pool_create(NULL);
        struct row_index index;
        struct model model = {0};
        uint64_t hint = seed_below(&seed, 3) * 700, most = 0, crowded = 0;
        assert_true(row_index_init(&index, pool, hint));
        assert_true(row_index_bytes(&index) == row_index_bytes_for(hint));
        for (unsigned i = 0; i < 12000; i++) {
            uint64_t key = draw(&seed, round % 4);
            bool inside = model_has(&model, key);
            assert_int_equal(row_index_find(&index, key) != ROW_NONE, inside);
            if (!inside && seed_below(&seed, 10) < (i / 3000 % 2 == 0 ? 9u : 3u)) {
                uint64_t before = row_index_bytes(&index), room = row_index_room(&index, 1);
                crowded += !insert(&index, &model, key);
                assert_true(row_index_bytes(&index) <= before + room);
            } else if (inside && seed_below(&seed, 3) > 0) {
                erase(&index, &model, key);
            }
            if (i % 997 == 0) {
                same(&index, &model);
            }
            most = index.count > most ? index.count : most;
        }
        same(&index, &model);
        assert_true(row_index_bytes(&index) == pool_taken(pool));
        while (model.count > 0) {
            erase(&index, &model, model.keys[seed_below(&seed, model.count)]);
        }
        same(&index, &model);
        assert_true(most > 80 && (crowded == 0 || round % 4 == 1));
        row_index_finish(&index);
        row_index_finish(&index);
        assert_int_equal(pool_taken(pool), 0);
        model_finish(&model);
        pool_destroy(pool);
    }
}

/* Checked whole after every insertion, through several growths. */
static void growth_at_every_step(void **state) {
    (void)state;
    uint64_t seed = seed_begin("growth_at_every_step");
    struct pool *pool = pool_create(NULL);
    struct row_index index;
    struct model model = {0};
    uint64_t growths = 0;
    assert_true(row_index_init(&index, pool, 0));
    for (unsigned i = 0; i < 1200; i++) {
        bool grew = index.next.lines != NULL;
        assert_true(insert(&index, &model, seed_next(&seed)));
        growths += !grew && index.next.lines != NULL;
        same(&index, &model);
    }
    for (unsigned i = 0; i < 1150; i++) {
        erase(&index, &model, model.keys[seed_below(&seed, model.count)]);
        same(&index, &model);
    }
    assert_true(growths >= 4);
    row_index_finish(&index);
    model_finish(&model);
    pool_destroy(pool);
}

/* From empty to many: no insertion is more work than stated, and bytes a row stay below what is stated. Small indexes
 * are as large as their few segments, so the bound is for those of 40,000 rows and more. */
static void work_and_memory_are_bounded(void **state) {
    (void)state;
    enum { ROWS = 600000 };
    uint64_t seed = seed_begin("work_and_memory_are_bounded"), moves = 0, shifts = 0, longest = 0;
    double most = 0, sum = 0;
    struct pool *pool = pool_create(NULL);
    struct row_index index;
    assert_true(row_index_init(&index, pool, 0));
    for (uint64_t i = 1; i <= ROWS; i++) {
        moves = index.moved;
        shifts = index.shifted;
        assert_int_equal(row_index_insert(&index, seed_next(&seed), (uint32_t)i), ROW_INSERTED);
        assert_true(index.moved - moves <= ROW_INDEX_MOVES);
        longest = index.shifted - shifts > longest ? index.shifted - shifts : longest;
        if (i >= 40000) {
            double bytes = (double)row_index_bytes(&index) / (double)i;
            most = bytes > most ? bytes : most;
            sum += bytes;
        }
    }
    printf("bytes a row: at most %.2f, on average %.2f; lines moved by growth: %.1f a row; longest shift %d lines\n",
           most, sum / (ROWS - 40000 + 1), (double)index.moved / ROWS, (int)longest);
    assert_true(most < 15.3 && sum / (ROWS - 40000 + 1) < 14.7);
    assert_true(index.moved <= ROW_INDEX_MOVES * (uint64_t)ROWS);
    row_index_finish(&index);
    pool_destroy(pool);
}

/* Ids chosen against a secret that is known: they crowd one place until the index refuses, and nothing has changed. */
static void a_crowd_is_refused(void **state) {
    (void)state;
    static const uint8_t secret[ROWKEY_SECRET_BYTES] = "a known secret";
    enum { OTHERS = 8000 };
    uint64_t seed = seed_begin("a_crowd_is_refused"), refused = 0;
    struct rowkey rowkey;
    struct pool *pool = pool_create(NULL);
    struct row_index index;
    struct model model = {0};
    rowkey_init(&rowkey, secret);
    assert_true(row_index_init(&index, pool, 0));
    for (unsigned i = 0; i < OTHERS; i++) {
        uint64_t id = seed_next(&seed), key;
        rowkey_of(&rowkey, &id, 1, &key);
        assert_true(insert(&index, &model, key));
    }
    uint64_t crowd = 0;
    for (uint64_t i = 0; refused < 100; i++) {
        uint64_t id = rowkey_id(&rowkey, UINT64_C(0x8000000000000000) + i), key; /* as an attacker would */
        rowkey_of(&rowkey, &id, 1, &key);
        uint64_t moved = index.moved, shifted = index.shifted;
        enum row_insert result = row_index_insert(&index, key, 5);
        assert_true(index.moved - moved <= ROW_INDEX_MOVES && index.shifted - shifted <= ROW_INDEX_SHIFT);
        if (result == ROW_INSERTED) {
            model_insert(&model, key, 5);
            crowd++;
        } else {
            assert_int_equal(result, ROW_CROWDED);
            refused++;
        }
        if (i % 100 == 0) {
            same(&index, &model);
        }
    }
    same(&index, &model);
    assert_in_range(crowd, 200, ROW_INDEX_PROBE * ROW_LINE_ENTRIES);
    assert_in_range(longest_search(&index), ROW_INDEX_PROBE - 10, ROW_INDEX_PROBE); /* it did go far */
    /* Elsewhere rows come and go as before, through growth too. */
    refused = 0;
    for (unsigned i = 0; i < 3 * OTHERS; i++) {
        refused += !insert(&index, &model, seed_next(&seed));
    }
    assert_in_range(refused, 0, 3 * OTHERS / 10);
    same(&index, &model);
    while (model.count > 0) {
        erase(&index, &model, model.keys[seed_below(&seed, model.count)]);
    }
    row_index_finish(&index);
    model_finish(&model);
    pool_destroy(pool);
}

/* A run of full lines: refused before it is moved a long way, line by line. */
static void a_long_run_is_not_moved(void **state) {
    (void)state;
    struct pool *pool = pool_create(NULL);
    struct row_index index;
    enum row_insert result = ROW_INSERTED;
    assert_true(row_index_init(&index, pool, 20000));
    uint64_t width = UINT64_MAX / index.now.homes + 1, line = 0;
    for (; line < 2000; line++) {
        for (uint64_t i = 0; i < ROW_LINE_ENTRIES; i++) {
            assert_int_equal(row_index_insert(&index, line * width + 1000 + i, 1), ROW_INSERTED);
        }
    }
    uint64_t shifted = index.shifted;
    result = row_index_insert(&index, 1, 1);
    assert_int_equal(result, ROW_CROWDED);
    assert_int_equal(index.shifted, shifted);
    result = row_index_insert(&index, (line - 500) * width + 1, 1);
    assert_int_equal(result, ROW_INSERTED);
    assert_in_range(index.shifted - shifted, 490, 510);
    row_index_finish(&index);
    pool_destroy(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations),           cmocka_unit_test(growth_at_every_step),
        cmocka_unit_test(work_and_memory_are_bounded), cmocka_unit_test(a_crowd_is_refused),
        cmocka_unit_test(a_long_run_is_not_moved),
    };
    return cmocka_run_group_tests_name("row index", tests, NULL, NULL);
}
