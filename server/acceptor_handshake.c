/* Strangers of an encrypting server: the three messages of the handshake, and the hello inside the third. */
#include "server/acceptor_strangers.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/random.h"
#include "common/secret.h"

#define PREFIX_BYTES 8 /* of a frame: magic, version, flags, type */

static_assert(sizeof(struct stranger) + sizeof(struct introduction) < STRANGER_BYTES, "strangers have become costly");
static_assert(GREETING_HELLO_BYTES == CHANNEL_HELLO_LIMIT_BYTES, "a hello fits, whichever way it comes");

static void refuse(struct stranger *stranger, const char *reason) {
    stranger_dismiss_for(stranger, &stranger->strangers->refused, "stranger-refused", reason);
}

/* ---- the first message ---- */

/* What a client begins with that was told not to encrypt. */
static bool speaks_plaintext(const struct stranger *stranger) {
    uint8_t hello[FRAME_HEADER_BYTES];
    const struct frame_header header = {.type = FRAME_HELLO};
    frame_header_encode(&header, hello);
    return stranger->have >= PREFIX_BYTES && memcmp(stranger->first, hello, PREFIX_BYTES) == 0;
}

/* Its socket wakes us when so many bytes are there, or it ends. */
static void wake_for(const struct stranger *stranger, size_t bytes) {
    const int least = (int)bytes;
    (void)setsockopt(stranger->descriptor, SOL_SOCKET, SO_RCVLOWAT, &least, sizeof least);
}

static void hear_first(struct stranger *stranger) {
    bool whole = stranger_receive(stranger, stranger->first, sizeof stranger->first);
    if (stranger->stage == STAGE_GONE) {
        return;
    }
    if (speaks_plaintext(stranger)) {
        refuse(stranger, "it speaks plaintext, and this server encrypts");
    } else if (whole && !channel_first_plausible(stranger->strangers->options->key->public, stranger->first)) {
        refuse(stranger, "its first message was not made for this server's key");
    } else if (!whole) {
        wake_for(stranger, sizeof stranger->first - stranger->have);
    } else if (stranger_knock(stranger)) {
        wake_for(stranger, 1);
        stranger_queue(stranger);
    }
}

/* ---- the second ---- */

static void send_second(struct stranger *stranger) {
    if (stranger_send(stranger, stranger->introduction->bytes, CHANNEL_SECOND_BYTES)) {
        stranger->stage = STAGE_THIRD;
        stranger->have = 0;
        stranger_watch(stranger);
    }
}

static void compute_second(struct stranger *stranger) {
    const struct acceptor_options *options = stranger->strangers->options;
    struct introduction *introduction = stranger->introduction;
    uint8_t seed[KEY_BYTES];
    random_fill(seed, sizeof seed);
    introduction->handshake = channel_respond(options->cipher, options->key, seed);
    secret_wipe(seed, sizeof seed);
    if (introduction->handshake == NULL) {
        refuse(stranger, "no memory for its handshake");
    } else if (channel_read_first(introduction->handshake, stranger->first) != CANYON_OK ||
               channel_write_second(introduction->handshake, introduction->bytes) != CANYON_OK) {
        refuse(stranger, "its first message is none; perhaps it expects another cipher");
    } else {
        stranger->stage = STAGE_SECOND;
        stranger->have = 0;
        stranger_advance(stranger);
        send_second(stranger);
    }
}

/* ---- the third ---- */

static void hear_third(struct stranger *stranger) {
    uint8_t *bytes = stranger->introduction->bytes;
    if (stranger->have < CHANNEL_LENGTH_BYTES && !stranger_receive(stranger, bytes, CHANNEL_LENGTH_BYTES)) {
        return;
    }
    size_t whole = channel_third_bytes(bytes);
    if (whole == 0) {
        refuse(stranger, "its third message has an impossible length");
    } else if (stranger_receive(stranger, bytes, whole)) {
        stranger_queue(stranger);
    }
}

/* A hello that the key's owner sent, and what comes of it. */
struct judgement {
    const struct allow_entry *entry;
    const uint8_t *hello;
    size_t hello_bytes;
    struct frame_header header;
    struct greeting_answer answer; /* owned */
    struct arrival *arrival;       /* owned; NULL when it is refused */
    struct error error;
};

/* GOOD: the arrival is there, and has entered the census. */
static enum greeting_verdict judge(struct stranger *stranger, struct judgement *judgement) {
    const struct acceptor_options *options = stranger->strangers->options;
    struct message_hello hello;
    enum greeting_verdict verdict = greeting_header(judgement->hello, judgement->hello_bytes, &judgement->header,
                                                    &judgement->answer, &judgement->error);
    if (verdict == GREETING_REFUSED) {
        return verdict;
    }
    if (verdict == GREETING_NEEDS_MORE ||
        judgement->header.message_bytes != judgement->hello_bytes - FRAME_HEADER_BYTES) {
        error_set(&judgement->error, CANYON_PROTOCOL, "the handshake holds %zu bytes that are not one HELLO",
                  judgement->hello_bytes);
        greeting_refusal(0, &judgement->error, &judgement->answer);
        return GREETING_REFUSED;
    }
    verdict = greeting_message(options->greeting, &judgement->header, judgement->hello + FRAME_HEADER_BYTES, &hello,
                               &judgement->answer, &judgement->error);
    if (verdict != GREETING_GOOD) {
        return verdict;
    }
    judgement->arrival = stranger_arrival(stranger, &hello);
    if (judgement->arrival != NULL) {
        if (census_enter(options->census, judgement->entry, &judgement->error) == CANYON_OK) {
            judgement->arrival->census = options->census;
            return GREETING_GOOD;
        }
    } else {
        error_set(&judgement->error, CANYON_NO_MEMORY, "no memory for another connection");
    }
    arrival_destroy(judgement->arrival);
    judgement->arrival = NULL;
    greeting_answer_finish(&judgement->answer);
    greeting_refusal(judgement->header.request, &judgement->error, &judgement->answer);
    return GREETING_REFUSED;
}

/* The answer as records, after a refusal with the last one. NULL when there is no memory. */
static uint8_t *seal(struct channel *channel, const struct greeting_answer *answer, bool last, size_t *sealed_bytes) {
    size_t room = channel_sealed_most(answer->count, 1), taken = 0;
    uint8_t *sealed = answer->bytes != NULL ? malloc(room + CHANNEL_RECORD_BYTES) : NULL;
    struct iovec slice = {.iov_base = answer->bytes, .iov_len = answer->count};
    if (sealed != NULL) {
        *sealed_bytes = channel_seal(channel, &slice, 1, 0, sealed, room, &taken);
        assert(taken == answer->count);
        if (last) {
            channel_seal_last(channel, sealed + *sealed_bytes);
            *sealed_bytes += CHANNEL_RECORD_BYTES;
        }
    }
    return sealed;
}

/* It has proven an allowed key: from now on it is told what is wrong. */
static void greet(struct stranger *stranger, const uint8_t key[KEY_BYTES], struct judgement *judgement) {
    struct channel *channel = channel_establish(stranger->introduction->handshake);
    size_t bytes = 0;
    if (channel == NULL) {
        refuse(stranger, "no memory for its channel");
        return;
    }
    bool good = judge(stranger, judgement) == GREETING_GOOD;
    uint8_t *sealed = seal(channel, &judgement->answer, !good, &bytes);
    greeting_answer_finish(&judgement->answer);
    if (good) {
        stranger->arrival = judgement->arrival;
        stranger->arrival->channel = channel;
        memcpy(stranger->arrival->key, key, KEY_BYTES);
    } else {
        channel_destroy(channel);
    }
    stranger_answer(stranger, good ? STAGE_WELCOME : STAGE_REFUSAL, sealed, bytes, judgement->error.text);
}

static void refuse_unknown(struct stranger *stranger, const uint8_t key[KEY_BYTES], const struct allow_entry *entry) {
    char fingerprint[KEY_FINGERPRINT_BYTES], reason[160];
    if (entry == NULL) {
        snprintf(reason, sizeof reason, "the key %s is not in the allow-list", key_fingerprint(key, fingerprint));
    } else {
        snprintf(reason, sizeof reason, "the key %s (%.80s) may not come from this address",
                 key_fingerprint(key, fingerprint), entry->name);
    }
    stranger_dismiss_for(stranger, &stranger->strangers->unknown, "unknown-key", reason);
}

static struct allow *current_list(struct strangers *strangers) {
    pthread_mutex_lock(&strangers->lock);
    struct allow *allow = allow_hold(strangers->allow);
    pthread_mutex_unlock(&strangers->lock);
    return allow;
}

static void compute_third(struct stranger *stranger) {
    struct introduction *introduction = stranger->introduction;
    struct judgement judgement = {.error = {.status = CANYON_OK}};
    uint8_t hello[CHANNEL_HELLO_LIMIT_BYTES], key[KEY_BYTES];
    if (channel_read_third(introduction->handshake, introduction->bytes, channel_third_bytes(introduction->bytes),
                           hello, &judgement.hello_bytes, key) != CANYON_OK) {
        refuse(stranger, "its third message does not prove a key");
        return;
    }
    struct allow *allow = current_list(stranger->strangers);
    judgement.hello = hello;
    judgement.entry = allow_find(allow, key);
    if (judgement.entry == NULL || !allow_from(judgement.entry, &stranger->address.any)) {
        refuse_unknown(stranger, key, judgement.entry);
    } else {
        greet(stranger, key, &judgement);
    }
    allow_release(allow);
}

void handshake_ready(struct stranger *stranger) {
    if (stranger->stage == STAGE_FIRST) {
        hear_first(stranger);
    } else if (stranger->stage == STAGE_SECOND) {
        send_second(stranger);
    } else {
        hear_third(stranger);
    }
}

void handshake_turn(struct stranger *stranger) {
    if (stranger->introduction->handshake == NULL) {
        compute_second(stranger);
    } else {
        compute_third(stranger);
    }
}
