#include "server/catalogue.h"

#include <stdlib.h>
#include <string.h>

#include "server/command.h"

/* A key is the first member of its entry, which the heap aligned. */
static struct catalogue_entry *entry_of(struct directory_key *key) {
    return (struct catalogue_entry *)(void *)key;
}

void catalogue_finish(struct catalogue *catalogue) {
    if (catalogue != NULL) {
        for (size_t i = 0; i < catalogue->entries.count; i++) {
            free(entry_of(catalogue->entries.by_name[i]));
        }
        directory_finish(&catalogue->entries);
    }
}

bool catalogue_add(struct catalogue *catalogue, uint64_t id, const struct tensor_spec *spec,
                   const uint8_t session[SESSION_BYTES]) {
    struct catalogue_entry *entry = calloc(1, sizeof *entry);
    bool done = entry != NULL && directory_reserve(&catalogue->entries);
    if (!done) {
        free(entry);
        return false;
    }
    entry->info.id = id;
    entry->info.state = TENSOR_CREATING;
    entry->info.spec = *spec;
    entry->created = spec->optimizer;
    memcpy(entry->creator, session, SESSION_BYTES);
    entry->key.id = id;
    entry->key.name = entry->info.spec.name;
    directory_insert(&catalogue->entries, &entry->key);
    return true;
}

void catalogue_remove(struct catalogue *catalogue, struct catalogue_entry *entry) {
    directory_remove(&catalogue->entries, &entry->key);
    free(entry);
}

struct catalogue_entry *catalogue_find_id(const struct catalogue *catalogue, uint64_t id) {
    return entry_of(directory_find_id(&catalogue->entries, id));
}

struct catalogue_entry *catalogue_find_name(const struct catalogue *catalogue, const char *name) {
    return entry_of(directory_find_name(&catalogue->entries, name));
}

struct catalogue_entry *catalogue_next_name(const struct catalogue *catalogue, const char *after) {
    return entry_of(directory_next_name(&catalogue->entries, after));
}

void catalogue_digest(const struct catalogue *catalogue, struct hash *hash) {
    uint8_t spec[COMMAND_SPEC_LIMIT];
    hash_u64(hash, catalogue->entries.count);
    for (size_t i = 0; i < catalogue->entries.count; i++) {
        const struct catalogue_entry *entry = entry_of(catalogue->entries.by_name[i]);
        hash_u32(hash, (uint32_t)entry->info.state);
        struct tensor_spec created = entry->info.spec;
        created.optimizer = entry->created;
        hash_update(hash, spec, command_spec_encode(&entry->info.spec, spec));
        hash_update(hash, spec, command_spec_encode(&created, spec));
        hash_u64(hash, entry->info.epoch);
    }
}
