/* The catalogue's entries and their part of the digest. */
#include "tests/unit/server/fixture.h"

#include "server/catalogue.h"

static struct digest digest_of(const struct catalogue *catalogue) {
    struct digest digest;
    struct hash hash;
    hash_init(&hash);
    catalogue_digest(catalogue, &hash);
    hash_final(&hash, digest.bytes);
    return digest;
}

static void add(struct catalogue *catalogue, uint64_t id, const char *name, unsigned session) {
    uint8_t bytes[SESSION_BYTES];
    struct tensor_spec spec = fixture_spec(name, 10, "sgd");
    fixture_session(bytes, session);
    assert_true(catalogue_add(catalogue, id, &spec, bytes));
}

static void entries_come_in_order_of_name(void **state) {
    (void)state;
    static const char *names[] = {"b", "a/2", "Z", "a", "a-1", "a/10", "0"};
    static const char *ordered[] = {"0", "Z", "a", "a-1", "a/10", "a/2", "b"};
    struct catalogue catalogue = {0};
    for (size_t i = 0; i < 7; i++) {
        add(&catalogue, 100 - i, names[i], 1);
    }
    const char *after = "";
    for (size_t i = 0; i < 7; i++) {
        const struct catalogue_entry *entry = catalogue_next_name(&catalogue, after);
        assert_string_equal(entry->info.spec.name, ordered[i]);
        after = entry->info.spec.name;
    }
    assert_null(catalogue_next_name(&catalogue, after));
    assert_string_equal(catalogue_find_id(&catalogue, 99)->info.spec.name, "a/2");
    assert_true(catalogue_find_name(&catalogue, "Z")->info.id == 98);
    assert_int_equal(catalogue_find_name(&catalogue, "Z")->info.state, TENSOR_CREATING);
    catalogue_remove(&catalogue, catalogue_find_name(&catalogue, "a/2"));
    assert_null(catalogue_find_id(&catalogue, 99));
    assert_string_equal(catalogue_next_name(&catalogue, "a/10")->info.spec.name, "b");
    catalogue_finish(&catalogue);
    catalogue_finish(NULL);
}

static void the_digest_holds_names_and_states_not_ids(void **state) {
    (void)state;
    struct catalogue one = {0}, other = {0};
    add(&one, 1, "a", 1);
    add(&one, 2, "b", 1);
    add(&other, 7, "b", 2);
    assert_false(fixture_same(digest_of(&one), digest_of(&other)));
    add(&other, 5, "a", 3);
    assert_true(fixture_same(digest_of(&one), digest_of(&other)));
    catalogue_find_id(&other, 5)->info.state = TENSOR_COMPLETE;
    assert_false(fixture_same(digest_of(&one), digest_of(&other)));
    catalogue_find_id(&other, 5)->info.state = TENSOR_CREATING;
    catalogue_find_id(&other, 5)->info.spec.initializer.seed++;
    assert_false(fixture_same(digest_of(&one), digest_of(&other)));
    catalogue_finish(&one);
    catalogue_finish(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_come_in_order_of_name),
        cmocka_unit_test(the_digest_holds_names_and_states_not_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
