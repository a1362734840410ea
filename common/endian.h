/* Little-endian loads and stores at any alignment, for the wire and for canonical byte strings. */
#ifndef CANYON_COMMON_ENDIAN_H
#define CANYON_COMMON_ENDIAN_H

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Tensor payloads are sent as they lie in memory: Canyon needs a little-endian machine."
#endif

static inline uint16_t load_u16(const uint8_t *at) {
    uint16_t v;
    memcpy(&v, at, sizeof v);
    return v;
}
static inline uint32_t load_u32(const uint8_t *at) {
    uint32_t v;
    memcpy(&v, at, sizeof v);
    return v;
}
static inline uint64_t load_u64(const uint8_t *at) {
    uint64_t v;
    memcpy(&v, at, sizeof v);
    return v;
}
static inline void store_u16(uint8_t *at, uint16_t v) {
    memcpy(at, &v, sizeof v);
}
static inline void store_u32(uint8_t *at, uint32_t v) {
    memcpy(at, &v, sizeof v);
}
static inline void store_u64(uint8_t *at, uint64_t v) {
    memcpy(at, &v, sizeof v);
}

#endif
