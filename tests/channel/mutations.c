/* Changes recorded conversations at random, and looks for one change that a channel accepts.
 *
 *     channel_mutations [COUNT]      100,000 mutations without an argument
 *
 * With every cipher two conversations of the same two keys are recorded: three handshake messages, then records in both
 * directions up to the last one. A mutation is one change to what one side is about to receive; kind, cipher,
 * conversation and direction are drawn. Of records, those before the first changed byte must come out and nothing else,
 * and the stream must not end as if it were whole. Of handshakes, none may be completed; mac1, which anybody can
 * compute, is put right. Prints the seed (CANYON_SEED repeats it) and how many of each kind were tried. Exit status 1,
 * with the mutation's number, when one was accepted. */
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/channel.h"
#include "common/channel_noise.h"
#include "common/channel_state.h"
#include "common/endian.h"
#include "common/random.h"
#include "tests/unit/common/seed.h"

#define RECORDS      10 /* of a stream; the last one has no plaintext */
#define STREAM_BYTES 8192
#define TURN         65531 /* where the counters begin: keys are replaced within the stream */
#define MAC_BYTES    16
#define SHAKE_SHARE  16 /* one mutation in so many is of a handshake, which takes a hundred times as long */

/* One direction of a conversation. wire_at[i] and plain_at[i] are where record i begins, [RECORDS] the ends. */
struct stream {
    uint8_t plain[STREAM_BYTES], wire[STREAM_BYTES];
    size_t plain_at[RECORDS + 1], wire_at[RECORDS + 1];
    struct channel *receiver;
    uint8_t key[KEY_BYTES]; /* what the receiver began with */
};

struct talk {
    enum channel_cipher cipher;
    uint8_t client_seed[KEY_BYTES], server_seed[KEY_BYTES];
    uint8_t first[CHANNEL_FIRST_BYTES], second[CHANNEL_SECOND_BYTES], third[CHANNEL_THIRD_LIMIT_BYTES];
    size_t third_bytes;
    struct stream streams[2]; /* to the server, to the client */
};

enum kind { BIT, BYTE, CUT, SWAP, REPEAT, SPLICE, FIRST, SECOND, THIRD, REPLAY, KINDS };
#define RECORD_KINDS FIRST
static const char *const kinds[KINDS] = {
    [BIT] = "records: a bit turned",
    [BYTE] = "records: a byte or several others",
    [CUT] = "records: bytes, a record or the end cut out",
    [SWAP] = "records: two, or two pieces, exchanged",
    [REPEAT] = "records: one, or some bytes, repeated",
    [SPLICE] = "records: one of another session or direction",
    [FIRST] = "handshake: first message changed",
    [SECOND] = "handshake: second message changed",
    [THIRD] = "handshake: third message changed",
    [REPLAY] = "handshake: replayed, in part or whole",
};

static struct key_pair client_key, server_key;
static struct talk talks[2][2]; /* cipher, conversation */
static uint64_t state;

/* 0 <= x < limit; 0 for limit 0. */
static size_t below(size_t limit) {
    return limit == 0 ? 0 : (size_t)seed_below(&state, limit);
}

static void fill(uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        bytes[i] = (uint8_t)seed_next(&state);
    }
}

static void must(bool ok, const char *what) {
    if (!ok) {
        fprintf(stderr, "channel_mutations: %s\n", what);
        exit(2);
    }
}

static void put_mac(uint8_t first[CHANNEL_FIRST_BYTES]) {
    uint8_t bytes[4 + KEY_BYTES] = {'m', 'a', 'c', '1'}, key[32];
    memcpy(bytes + 4, server_key.public, KEY_BYTES);
    crypto_generichash(key, sizeof key, bytes, sizeof bytes, NULL, 0);
    crypto_generichash(first, MAC_BYTES, first + MAC_BYTES, CHANNEL_FIRST_BYTES - MAC_BYTES, key, sizeof key);
}

/* ---- Recording --------------------------------------------------------------------------------------------------- */

static void key_make(struct key_pair *pair) {
    static const uint8_t base[KEY_BYTES] = {9};
    fill(pair->secret, sizeof pair->secret);
    must(channel_noise_exchange(pair->public, pair->secret, base), "no key");
}

static void stream_record(struct stream *stream, struct channel *sender, struct channel *receiver) {
    size_t at = 0, plain_at = 0;
    stream->receiver = receiver;
    memcpy(stream->key, receiver->keys->receives.key, KEY_BYTES);
    sender->keys->sends.counter = TURN;
    fill(stream->plain, sizeof stream->plain);
    for (size_t i = 0; i < RECORDS; i++) {
        const struct iovec slice = {stream->plain + plain_at, 1 + below(i % 3 == 0 ? 1000 : 60)};
        size_t taken = 0;
        stream->wire_at[i] = at;
        stream->plain_at[i] = plain_at;
        if (i == RECORDS - 1) {
            channel_seal_last(sender, stream->wire + at);
            at += CHANNEL_RECORD_BYTES;
        } else {
            at += channel_seal(sender, &slice, 1, 0, stream->wire + at, sizeof stream->wire - at, &taken);
            must(taken == slice.iov_len, "not sealed");
        }
        plain_at += taken;
    }
    stream->wire_at[RECORDS] = at;
    stream->plain_at[RECORDS] = plain_at;
}

static void talk_record(struct talk *talk, enum channel_cipher cipher) {
    uint8_t hello[CHANNEL_HELLO_LIMIT_BYTES], heard[CHANNEL_HELLO_LIMIT_BYTES], who[KEY_BYTES];
    const size_t hello_bytes = below(120);
    size_t heard_bytes;
    fill(talk->client_seed, KEY_BYTES);
    fill(talk->server_seed, KEY_BYTES);
    fill(hello, sizeof hello);
    talk->cipher = cipher;
    struct channel_handshake *initiator = channel_initiate(cipher, &client_key, server_key.public, talk->client_seed);
    struct channel_handshake *responder = channel_respond(cipher, &server_key, talk->server_seed);
    must(initiator != NULL && responder != NULL, "no handshake");
    must(channel_write_first(initiator, talk->first) == CANYON_OK &&
             channel_read_first(responder, talk->first) == CANYON_OK &&
             channel_write_second(responder, talk->second) == CANYON_OK &&
             channel_read_second(initiator, talk->second) == CANYON_OK &&
             channel_write_third(initiator, hello, hello_bytes, talk->third, &talk->third_bytes) == CANYON_OK &&
             channel_read_third(responder, talk->third, talk->third_bytes, heard, &heard_bytes, who) == CANYON_OK,
         "an honest handshake fails");
    struct channel *client = channel_establish(initiator), *server = channel_establish(responder);
    must(client != NULL && server != NULL, "no channel");
    stream_record(&talk->streams[0], client, server);
    stream_record(&talk->streams[1], server, client);
    channel_handshake_destroy(initiator);
    channel_handshake_destroy(responder);
}

static void talk_finish(struct talk *talk) {
    channel_destroy(talk->streams[0].receiver);
    channel_destroy(talk->streams[1].receiver);
}

/* ---- Records ----------------------------------------------------------------------------------------------------- */

/* Bytes that are changed. */
struct bytes {
    uint8_t at[2 * STREAM_BYTES];
    size_t count;
};

/* Replaces `old` bytes at `at` by others, which lie elsewhere. */
static void bytes_replace(struct bytes *bytes, size_t at, size_t old, const uint8_t *with, size_t count) {
    must(at + old <= bytes->count && bytes->count - old + count <= sizeof bytes->at, "no room");
    memmove(bytes->at + at + count, bytes->at + at + old, bytes->count - at - old);
    memcpy(bytes->at + at, with, count);
    bytes->count += count - old;
}

/* A record, or half the time any piece of bytes. */
static void piece_of(const struct stream *stream, size_t *at, size_t *count) {
    const size_t whole = stream->wire_at[RECORDS], i = below(RECORDS);
    *at = stream->wire_at[i];
    *count = stream->wire_at[i + 1] - *at;
    if (below(2) == 0) {
        *at = below(whole);
        *count = 1 + below(whole - *at < 100 ? whole - *at : 100);
    }
}

static void swap(const struct stream *stream, struct bytes *bytes) {
    size_t at, count, other, other_count;
    piece_of(stream, &at, &count);
    piece_of(stream, &other, &other_count);
    if (at > other) {
        const size_t first = other, first_count = other_count;
        other = at;
        other_count = count;
        at = first;
        count = first_count;
    }
    count = count < other - at ? count : other - at;
    bytes_replace(bytes, other, other_count, stream->wire + at, count);
    bytes_replace(bytes, at, count, stream->wire + other, other_count);
}

static void splice(const struct talk *talk, size_t direction, struct bytes *bytes) {
    const struct stream *stream = &talk->streams[direction];
    const struct talk *other = talk == &talks[talk->cipher][0] ? talk + 1 : talk - 1;
    const struct talk *from = below(2) == 0 ? other : talk;
    const struct stream *source = &from->streams[from == talk ? 1 - direction : below(2)];
    const size_t i = below(RECORDS), k = below(2) == 0 ? i : below(RECORDS);
    const size_t at = stream->wire_at[i];
    switch (below(3)) {
    case 0: /* instead of a record */
        bytes_replace(bytes, at, stream->wire_at[i + 1] - at, source->wire + source->wire_at[k],
                      source->wire_at[k + 1] - source->wire_at[k]);
        break;
    case 1: /* between two */
        bytes_replace(bytes, at, 0, source->wire + source->wire_at[k], source->wire_at[k + 1] - source->wire_at[k]);
        break;
    default: /* from there to the end */
        bytes_replace(bytes, at, bytes->count - at, source->wire + source->wire_at[k],
                      source->wire_at[RECORDS] - source->wire_at[k]);
    }
}

static void change(const struct talk *talk, size_t direction, enum kind kind, struct bytes *bytes) {
    const struct stream *stream = &talk->streams[direction];
    const size_t at = below(bytes->count);
    size_t piece, count;
    piece_of(stream, &piece, &count);
    switch (kind) {
    case BIT:
        bytes->at[at] ^= (uint8_t)(1u << below(8));
        break;
    case BYTE:
        fill(bytes->at + at, 1 + below(bytes->count - at < 4 ? bytes->count - at : 4));
        break;
    case CUT:
        if (below(3) == 0) {
            bytes->count = at;
        } else {
            bytes_replace(bytes, piece, count, stream->wire, 0);
        }
        break;
    case SWAP:
        swap(stream, bytes);
        break;
    case REPEAT:
        bytes_replace(bytes, below(2) == 0 ? piece : stream->wire_at[below(RECORDS)], 0, stream->wire + piece, count);
        break;
    default:
        splice(talk, direction, bytes);
    }
}

/* Plays bytes to the stream's receiver as it was at the beginning. True when exactly the first `good` records came out,
 * and the last one's word only with all of them. */
static bool play(struct stream *stream, const struct bytes *bytes, size_t good) {
    static uint8_t heard[2 * STREAM_BYTES];
    struct channel *channel = stream->receiver;
    struct channel_cipher_state *receives = &channel->keys->receives;
    const size_t room = below(2) == 0 ? 100 : STREAM_BYTES;
    size_t total = 0, got, space;
    uint8_t *at;
    enum channel_result result;
    channel_cipher_start(receives, receives->cipher, stream->key, receives->prepared);
    receives->counter = TURN;
    channel->end = CHANNEL_NEEDS_MORE;
    channel->head = channel->tail = channel->plain_left = 0;
    channel_space(channel, &at, &space);
    must(space >= bytes->count, "no space");
    memcpy(at, bytes->at, bytes->count);
    channel_received(channel, bytes->count);
    while ((result = channel_read(channel, heard + total, room, &got)) == CHANNEL_BYTES) {
        total += got;
    }
    return total == stream->plain_at[good] && memcmp(heard, stream->plain, total) == 0 &&
           (result == CHANNEL_LAST) == (good == RECORDS);
}

/* One mutation of a stream. False when it was accepted. */
static bool mutate_records(struct talk *talk, enum kind kind) {
    static struct bytes bytes;
    const size_t direction = below(2);
    struct stream *stream = &talk->streams[direction];
    const size_t whole = stream->wire_at[RECORDS];
    size_t same, good = 0;
    do {
        bytes.count = whole;
        memcpy(bytes.at, stream->wire, whole);
        change(talk, direction, kind, &bytes);
        for (same = 0; same < whole && same < bytes.count && bytes.at[same] == stream->wire[same]; same++) {
        }
    } while (same == whole); /* nothing was changed before the end */
    while (stream->wire_at[good + 1] <= same) {
        good++;
    }
    return play(stream, &bytes, good);
}

/* ---- Handshakes -------------------------------------------------------------------------------------------------- */

/* Changes `count` bytes: a bit, some bytes, or a piece of the other conversation's message. */
static void change_message(uint8_t *bytes, size_t count, const uint8_t *other) {
    uint8_t before[CHANNEL_THIRD_LIMIT_BYTES];
    memcpy(before, bytes, count);
    do {
        const size_t at = below(count), most = count - at, some = 1 + below(most);
        switch (below(4)) {
        case 0:
            bytes[at] ^= (uint8_t)(1u << below(8));
            break;
        case 1:
            fill(bytes + at, 1 + below(most < 4 ? most : 4));
            break;
        case 2:
            fill(bytes + at, some);
            break;
        default:
            memcpy(bytes + at, other + at, some);
        }
    } while (memcmp(bytes, before, count) == 0 || memcmp(bytes, other, count) == 0);
}

/* The responder hears the first message; then, when that was the recorded one, a third. True when it is not completed,
 * and a changed first message stopped it at once. */
static bool responder_refuses(const struct talk *talk, const uint8_t *seed, const uint8_t *first, const uint8_t *third,
                              size_t third_bytes) {
    uint8_t second[CHANNEL_SECOND_BYTES], hello[CHANNEL_HELLO_LIMIT_BYTES], who[KEY_BYTES];
    size_t hello_bytes;
    struct channel_handshake *responder = channel_respond(talk->cipher, &server_key, seed);
    must(responder != NULL, "no handshake");
    bool refused = channel_read_first(responder, first) != CANYON_OK;
    if (third != NULL) {
        must(!refused && channel_write_second(responder, second) == CANYON_OK, "a recorded first message is refused");
        refused = channel_read_third(responder, third, third_bytes, hello, &hello_bytes, who) != CANYON_OK &&
                  channel_establish(responder) == NULL;
    }
    channel_handshake_destroy(responder);
    return refused;
}

static bool initiator_refuses(const struct talk *talk, const uint8_t *seed, const uint8_t *second) {
    uint8_t first[CHANNEL_FIRST_BYTES], third[CHANNEL_THIRD_LIMIT_BYTES];
    size_t count;
    struct channel_handshake *initiator = channel_initiate(talk->cipher, &client_key, server_key.public, seed);
    must(initiator != NULL && channel_write_first(initiator, first) == CANYON_OK, "no handshake");
    const bool refused = channel_read_second(initiator, second) != CANYON_OK &&
                         channel_write_third(initiator, NULL, 0, third, &count) != CANYON_OK &&
                         channel_establish(initiator) == NULL;
    channel_handshake_destroy(initiator);
    return refused;
}

static bool mutate_third(const struct talk *talk, const struct talk *other) {
    uint8_t third[CHANNEL_THIRD_LIMIT_BYTES], mixed[CHANNEL_THIRD_LIMIT_BYTES];
    size_t count = talk->third_bytes;
    fill(third, sizeof third);
    memcpy(third, talk->third, count);
    if (below(4) == 0) { /* another length, said or not */
        do {
            count = below(CHANNEL_THIRD_LIMIT_BYTES + 1);
        } while (count == talk->third_bytes);
        if (below(2) == 0 && count >= CHANNEL_LENGTH_BYTES) {
            store_u16(third, (uint16_t)(count - CHANNEL_LENGTH_BYTES));
        }
    } else {
        fill(mixed, sizeof mixed);
        memcpy(mixed, other->third, other->third_bytes);
        change_message(third, count, mixed);
    }
    return responder_refuses(talk, talk->server_seed, talk->first, third, count);
}

static bool mutate_handshake(const struct talk *talk, enum kind kind) {
    const struct talk *other = talk == &talks[talk->cipher][0] ? talk + 1 : talk - 1;
    uint8_t first[CHANNEL_FIRST_BYTES], second[CHANNEL_SECOND_BYTES], seed[KEY_BYTES];
    switch (kind) {
    case FIRST:
        memcpy(first, talk->first, sizeof first);
        change_message(first + MAC_BYTES, sizeof first - MAC_BYTES, other->first + MAC_BYTES);
        put_mac(first);
        return responder_refuses(talk, talk->server_seed, first, NULL, 0);
    case SECOND:
        memcpy(second, talk->second, sizeof second);
        change_message(second, sizeof second, other->second);
        return initiator_refuses(talk, talk->client_seed, second);
    case THIRD:
        return mutate_third(talk, other);
    default:
        break;
    }
    switch (below(4)) {
    case 0: /* to a server that has another ephemeral key by now */
        fill(seed, sizeof seed);
        return responder_refuses(talk, seed, talk->first, talk->third, talk->third_bytes);
    case 1: /* the third message of another conversation */
        return responder_refuses(talk, talk->server_seed, talk->first, other->third, other->third_bytes);
    case 2: /* a server's answer to a client that has another ephemeral key by now */
        fill(seed, sizeof seed);
        return initiator_refuses(talk, seed, talk->second);
    default: /* and to another client */
        return initiator_refuses(other, other->client_seed, talk->second);
    }
}

/* ---- All of them ------------------------------------------------------------------------------------------------- */

/* What is not changed is accepted: otherwise the others would show nothing. */
static void controls(struct talk *talk) {
    static struct bytes bytes;
    for (size_t direction = 0; direction < 2; direction++) {
        struct stream *stream = &talk->streams[direction];
        bytes.count = stream->wire_at[RECORDS];
        memcpy(bytes.at, stream->wire, bytes.count);
        must(play(stream, &bytes, RECORDS), "an unchanged stream is refused");
        must(stream->receiver->keys->receives.counter > CHANNEL_REKEY_RECORDS, "no key was replaced");
    }
    must(!responder_refuses(talk, talk->server_seed, talk->first, talk->third, talk->third_bytes),
         "an unchanged handshake is refused");
    must(!initiator_refuses(talk, talk->client_seed, talk->second), "an unchanged answer is refused");
}

int main(int argc, char **argv) {
    const unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    unsigned long tried[KINDS] = {0}, accepted = 0;
    struct error error;
    must(random_start(&error) == CANYON_OK, "cannot start");
    const size_t ciphers = channel_cipher_usable(CHANNEL_AES256GCM) ? 2 : 1;
    if (ciphers == 1) {
        printf("SKIPPED: no instructions for aes256gcm\n");
    }
    state = seed_begin("channel_mutations");
    key_make(&client_key);
    key_make(&server_key);
    for (size_t i = 0; i < 2 * ciphers; i++) {
        talk_record(&talks[i / 2][i % 2], (enum channel_cipher)(i / 2));
    }
    for (size_t i = 0; i < 2 * ciphers; i++) {
        controls(&talks[i / 2][i % 2]);
    }
    for (unsigned long i = 1; i <= count; i++) {
        struct talk *talk = &talks[below(ciphers)][below(2)];
        const bool shake = below(SHAKE_SHARE) == 0;
        const enum kind kind = (enum kind)(shake ? RECORD_KINDS + below(KINDS - RECORD_KINDS) : below(RECORD_KINDS));
        tried[kind]++;
        if (!(shake ? mutate_handshake(talk, kind) : mutate_records(talk, kind))) {
            printf("mutation %lu was accepted: %s, %s\n", i, kinds[kind], channel_cipher_name(talk->cipher));
            accepted++;
        }
    }
    for (size_t i = 0; i < 2 * ciphers; i++) {
        talk_finish(&talks[i / 2][i % 2]);
    }
    for (size_t kind = 0; kind < KINDS; kind++) {
        printf("%8lu  %s\n", tried[kind], kinds[kind]);
    }
    printf("%8lu  in all; %lu accepted\n", count, accepted);
    return accepted > 0 || count == 0;
}
