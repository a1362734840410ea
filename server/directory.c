#include "server/directory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void directory_finish(struct directory *directory) {
    if (directory != NULL) {
        free(directory->by_id);
        free(directory->by_name);
        memset(directory, 0, sizeof *directory);
    }
}

bool directory_reserve(struct directory *directory) {
    if (directory->count < directory->room) {
        return true;
    }
    size_t room = directory->room == 0 ? 16 : directory->room * 2;
    struct directory_key **by_id = realloc(directory->by_id, room * sizeof(struct directory_key *));
    if (by_id == NULL) {
        return false;
    }
    directory->by_id = by_id;
    struct directory_key **by_name = realloc(directory->by_name, room * sizeof(struct directory_key *));
    if (by_name == NULL) {
        return false;
    }
    directory->by_name = by_name;
    directory->room = room;
    return true;
}

/* The first place whose id is not below `id`. */
static size_t place_of_id(const struct directory *directory, uint64_t id) {
    size_t low = 0, high = directory->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (directory->by_id[middle]->id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The first place whose name is not below `name`. */
static size_t place_of_name(const struct directory *directory, const char *name) {
    size_t low = 0, high = directory->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(directory->by_name[middle]->name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void put(struct directory_key **array, size_t count, size_t place, struct directory_key *item) {
    memmove(array + place + 1, array + place, (count - place) * sizeof(struct directory_key *));
    array[place] = item;
}

static void cut(struct directory_key **array, size_t count, size_t place) {
    memmove(array + place, array + place + 1, (count - place - 1) * sizeof(struct directory_key *));
}

void directory_insert(struct directory *directory, struct directory_key *item) {
    size_t id_place = place_of_id(directory, item->id), name_place = place_of_name(directory, item->name);
    assert(directory->count < directory->room);
    assert(id_place == directory->count || directory->by_id[id_place]->id != item->id);
    assert(name_place == directory->count || strcmp(directory->by_name[name_place]->name, item->name) != 0);
    put(directory->by_id, directory->count, id_place, item);
    put(directory->by_name, directory->count, name_place, item);
    directory->count++;
}

void directory_remove(struct directory *directory, struct directory_key *item) {
    size_t id_place = place_of_id(directory, item->id), name_place = place_of_name(directory, item->name);
    assert(id_place < directory->count && directory->by_id[id_place] == item);
    assert(name_place < directory->count && directory->by_name[name_place] == item);
    cut(directory->by_id, directory->count, id_place);
    cut(directory->by_name, directory->count, name_place);
    directory->count--;
}

struct directory_key *directory_find_id(const struct directory *directory, uint64_t id) {
    size_t place = place_of_id(directory, id);
    return place < directory->count && directory->by_id[place]->id == id ? directory->by_id[place] : NULL;
}

struct directory_key *directory_find_name(const struct directory *directory, const char *name) {
    size_t place = place_of_name(directory, name);
    return place < directory->count && strcmp(directory->by_name[place]->name, name) == 0 ? directory->by_name[place]
                                                                                          : NULL;
}

struct directory_key *directory_next_name(const struct directory *directory, const char *after) {
    size_t place = place_of_name(directory, after);
    if (place < directory->count && strcmp(directory->by_name[place]->name, after) == 0) {
        place++;
    }
    return place < directory->count ? directory->by_name[place] : NULL;
}
