/* First values of rows of tables: the scheme is in initializer.h. */
#include <math.h>

#include "server/detmath.h"
#include "server/initializer.h"

#define WORDS 4 /* of a Philox call, and elements made of it */

/* The numbers of elements 4 group .. 4 group + 3, each within (0, 1). */
static void draw(const struct initializer_recipe *recipe, uint64_t id, size_t group, double numbers[WORDS]) {
    const uint32_t key[2] = {(uint32_t)recipe->seed, (uint32_t)(recipe->seed >> 32)};
    uint32_t words[WORDS] = {(uint32_t)id, (uint32_t)(id >> 32), (uint32_t)group, (uint32_t)recipe->name};
    initializer_philox(key, words);
    for (size_t i = 0; i < WORDS; i++)
        numbers[i] = ((double)words[i] + 0.5) * 0x1p-32;
}

static void uniform(const struct initializer_recipe *recipe, const double numbers[WORDS], float values[WORDS]) {
    for (size_t i = 0; i < WORDS; i++)
        values[i] = initializer_round_below(recipe->a + (recipe->b - recipe->a) * numbers[i], recipe->b);
}

static void normal(const struct initializer_recipe *recipe, const double numbers[WORDS], float values[WORDS]) {
    for (size_t i = 0; i < WORDS; i += 2) {
        double sine, cosine;
        const double radius = sqrt(-2.0 * detmath_log(numbers[i]));
        detmath_sincos_turns(numbers[i + 1], &sine, &cosine);
        values[i] = initializer_round_finite(recipe->a + recipe->b * (radius * cosine));
        values[i + 1] = initializer_round_finite(recipe->a + recipe->b * (radius * sine));
    }
}

void initializer_row(const struct initializer_recipe *recipe, uint64_t id, size_t dim, float *values) {
    if (recipe->kind == RECIPE_FILL) {
        for (size_t i = 0; i < dim; i++)
            values[i] = (float)recipe->a;
        return;
    }
    for (size_t i = 0; i < dim; i += WORDS) {
        double numbers[WORDS];
        float made[WORDS];
        draw(recipe, id, i / WORDS, numbers);
        if (recipe->kind == RECIPE_UNIFORM)
            uniform(recipe, numbers, made);
        else
            normal(recipe, numbers, made);
        for (size_t k = 0; k < WORDS && i + k < dim; k++)
            values[i + k] = made[k];
    }
}
