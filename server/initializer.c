#include "server/initializer.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "common/hash.h"
#include "server/detmath.h"

void initializer_philox(const uint32_t key[2], uint32_t counter[4]) {
    uint32_t k0 = key[0], k1 = key[1];
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = UINT64_C(0xD2511F53) * c0;
        const uint64_t p1 = UINT64_C(0xCD9E8D57) * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u; /* the golden ratio and sqrt(3) - 1, in 32 bits */
        k1 += 0xBB67AE85u;
    }
    counter[0] = c0;
    counter[1] = c1;
    counter[2] = c2;
    counter[3] = c3;
}

void initializer_fans(const struct shape *shape, double *fan_in, double *fan_out) {
    assert(shape->rank <= LIMIT_RANK);
    double kernel = 1.0;
    for (uint32_t i = 2; i < shape->rank; i++)
        kernel *= (double)shape->dims[i];
    const double out = shape->rank == 0 ? 1.0 : (double)shape->dims[0];
    const double in = shape->rank < 2 ? out : (double)shape->dims[1];
    *fan_in = in * kernel;
    *fan_out = out * kernel;
}

static enum canyon_status refuse(struct error *error, const char *kind, const char *what, double value,
                                 const char *range) {
    return error_set(error, CANYON_INVALID_ARGUMENT, "initializer %s: %s is %g; it must be %s", kind, what, value,
                     range);
}

/* Finite as a float: what a weight can hold. */
static bool representable(double value) {
    return fabs(value) <= (double)FLT_MAX;
}

enum canyon_status initializer_check(const struct initializer *initializer, struct error *error) {
    static const char finite[] = "finite and within float's range", above[] = "above zero and within float's range";
    const double a = initializer->a, b = initializer->b;
    switch (initializer->kind) {
    case INITIALIZER_ZEROS:
    case INITIALIZER_VALUES:
        return CANYON_OK;
    case INITIALIZER_CONSTANT:
        return representable(a) ? CANYON_OK : refuse(error, "constant", "the value", a, finite);
    case INITIALIZER_UNIFORM:
        if (!representable(a))
            return refuse(error, "uniform", "the lower bound", a, finite);
        if (!representable(b))
            return refuse(error, "uniform", "the upper bound", b, finite);
        if ((float)a < (float)b)
            return CANYON_OK;
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "initializer uniform: the lower bound %.9g must be below the upper bound %.9g, as floats", a,
                         b);
    case INITIALIZER_NORMAL:
        if (!representable(a))
            return refuse(error, "normal", "the mean", a, finite);
        return representable(b) && b >= 0.0
                   ? CANYON_OK
                   : refuse(error, "normal", "the standard deviation", b, "zero or more and within float's range");
    case INITIALIZER_XAVIER:
        return representable(a) && a > 0.0 ? CANYON_OK : refuse(error, "xavier", "the gain", a, above);
    case INITIALIZER_KAIMING:
        return representable(a) && a > 0.0 ? CANYON_OK : refuse(error, "kaiming", "the gain", a, above);
    }
    return error_set(error, CANYON_INVALID_ARGUMENT,
                     "initializer kind %d is unknown; use zeros, constant, uniform, normal, xavier, kaiming or values",
                     (int)initializer->kind);
}

/* Half the width of xavier's interval, as a float above zero: an extreme gain must not make it empty or infinite. */
static double half_width(double gain, double fans) {
    const double width = gain * sqrt(6.0 / fans);
    return width < (double)FLT_MIN ? (double)FLT_MIN : width > (double)FLT_MAX ? (double)FLT_MAX : (double)(float)width;
}

void initializer_recipe_of(const struct tensor_spec *spec, struct initializer_recipe *recipe) {
    const struct initializer *initializer = &spec->initializer;
    *recipe = (struct initializer_recipe){.seed = initializer->seed, .name = hash_64(spec->name, strlen(spec->name))};
    double fan_in, fan_out;
    initializer_fans(&spec->shape, &fan_in, &fan_out);
    switch (initializer->kind) {
    case INITIALIZER_CONSTANT:
        recipe->a = initializer->a;
        break;
    case INITIALIZER_UNIFORM:
        recipe->kind = RECIPE_UNIFORM;
        recipe->a = (double)(float)initializer->a;
        recipe->b = (double)(float)initializer->b;
        break;
    case INITIALIZER_NORMAL:
        recipe->kind = RECIPE_NORMAL;
        recipe->a = initializer->a;
        recipe->b = initializer->b;
        break;
    case INITIALIZER_XAVIER:
        recipe->kind = RECIPE_UNIFORM;
        recipe->b = half_width(initializer->a, fan_in + fan_out);
        recipe->a = -recipe->b;
        break;
    case INITIALIZER_KAIMING:
        recipe->kind = RECIPE_NORMAL;
        recipe->b = initializer->a / sqrt(fan_in);
        break;
    case INITIALIZER_ZEROS:
    case INITIALIZER_VALUES:
        break;
    }
}

/* The two random numbers of an element, each in [0, 1). */
static void draw(const struct initializer_recipe *recipe, uint64_t element, double *u, double *v) {
    const uint32_t key[2] = {(uint32_t)recipe->seed, (uint32_t)(recipe->seed >> 32)};
    uint32_t words[4] = {(uint32_t)element, (uint32_t)(element >> 32), (uint32_t)recipe->name,
                         (uint32_t)(recipe->name >> 32)};
    initializer_philox(key, words);
    *u = (double)(((uint64_t)words[1] << 32 | words[0]) >> 11) * 0x1p-53;
    *v = (double)(((uint64_t)words[3] << 32 | words[2]) >> 11) * 0x1p-53;
}

/* The float next to x on the side of minus infinity; x is finite and not the lowest float. */
static float below(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffffu) == 0)
        bits = 0x80000001u; /* below either zero comes the smallest negative number */
    else
        bits = bits >> 31 ? bits + 1 : bits - 1;
    memcpy(&x, &bits, sizeof x);
    return x;
}

float initializer_round_below(double value, double high) {
    return (float)value < (float)high ? (float)value : below((float)high);
}

float initializer_round_finite(double value) {
    if (fabs(value) <= (double)FLT_MAX)
        return (float)value;
    return value > 0.0 ? FLT_MAX : -FLT_MAX;
}

static float uniform_at(const struct initializer_recipe *recipe, uint64_t element) {
    double u, v;
    draw(recipe, element, &u, &v);
    return initializer_round_below(recipe->a + (recipe->b - recipe->a) * u, recipe->b);
}

static float normal_at(const struct initializer_recipe *recipe, uint64_t element) {
    double u, v, sine, cosine;
    draw(recipe, element, &u, &v);
    detmath_sincos_turns(v, &sine, &cosine);
    return initializer_round_finite(recipe->a + recipe->b * (sqrt(-2.0 * detmath_log(1.0 - u)) * cosine));
}

void initializer_fill(const struct tensor_spec *spec, uint64_t first_element, size_t count, float *values) {
    if (count == 0)
        return;
    struct initializer_recipe recipe;
    initializer_recipe_of(spec, &recipe);
    for (size_t i = 0; i < count; i++) {
        switch (recipe.kind) {
        case RECIPE_FILL:
            values[i] = (float)recipe.a;
            break;
        case RECIPE_UNIFORM:
            values[i] = uniform_at(&recipe, first_element + i);
            break;
        case RECIPE_NORMAL:
            values[i] = normal_at(&recipe, first_element + i);
            break;
        }
    }
}
