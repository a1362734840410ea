#include "common/job.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/address.h"
#include "common/frame.h"
#include "common/hash.h"
#include "common/tensor.h"

_Static_assert(JOB_DIGEST_BYTES == HASH_BYTES, "a job's digest is one hash");

void job_init(struct job *job) {
    memset(job, 0, sizeof *job);
}

void job_finish(struct job *job) {
    if (job != NULL) {
        free(job->servers);
        job_init(job);
    }
}

static bool blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Takes one item of the list, without the blanks around it, into its canonical form. */
static enum canyon_status take_address(const char *item, size_t bytes, char canonical[LIMIT_ADDRESS_BYTES],
                                       struct error *error) {
    while (bytes > 0 && blank(item[0])) {
        item++;
        bytes--;
    }
    while (bytes > 0 && blank(item[bytes - 1])) {
        bytes--;
    }
    if (bytes == 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "the list of servers has an empty entry");
    }
    char text[LIMIT_ADDRESS_BYTES];
    if (bytes >= sizeof text || memchr(item, '\0', bytes) != NULL) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "the list of servers has an entry of %zu bytes that is no address", bytes);
    }
    memcpy(text, item, bytes);
    text[bytes] = '\0';
    struct address address;
    enum canyon_status status = address_parse(text, &address, error);
    if (status != CANYON_OK) {
        return status;
    }
    if (address.port == 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "server %s: port 0 cannot be connected to", text);
    }
    memset(canonical, 0, LIMIT_ADDRESS_BYTES);
    address_text(&address, canonical, LIMIT_ADDRESS_BYTES);
    return CANYON_OK;
}

static uint32_t count_items(const char *text, size_t bytes, char separator) {
    uint32_t items = 1;
    for (size_t i = 0; i < bytes && items <= LIMIT_SERVERS; i++) {
        items += text[i] == separator;
    }
    return items;
}

/* The list may end with one separator, as lines do. */
static size_t without_last_separator(const char *text, size_t bytes, char separator) {
    size_t length = bytes;
    while (length > 0 && blank(text[length - 1]) && text[length - 1] != separator) {
        length--;
    }
    return length > 0 && text[length - 1] == separator ? length - 1 : bytes;
}

enum canyon_status job_set_servers(struct job *job, const char *text, size_t bytes, char separator,
                                   struct error *error) {
    bytes = without_last_separator(text, bytes, separator);
    uint32_t count = count_items(text, bytes, separator);
    if (count > LIMIT_SERVERS) {
        return error_set(error, CANYON_TOO_LARGE, "the list of servers is longer than %d", LIMIT_SERVERS);
    }
    struct job taken = {.server_count = 0};
    taken.servers = calloc(count, sizeof *taken.servers);
    enum canyon_status status = CANYON_OK;
    if (taken.servers == NULL) {
        status = error_set(error, CANYON_NO_MEMORY, "no memory for a list of %" PRIu32 " servers", count);
    }
    size_t start = 0;
    while (status == CANYON_OK && taken.server_count < count) {
        size_t end = start;
        while (end < bytes && text[end] != separator) {
            end++;
        }
        char *canonical = taken.servers[taken.server_count];
        status = take_address(text + start, end - start, canonical, error);
        if (status == CANYON_OK && job_find_server(&taken, canonical) < taken.server_count) {
            status = error_set(error, CANYON_INVALID_ARGUMENT, "server %s is in the list twice", canonical);
        }
        taken.server_count++;
        start = end + 1;
    }
    if (status == CANYON_OK) {
        free(job->servers);
        job->servers = taken.servers;
        job->server_count = taken.server_count;
    } else {
        free(taken.servers);
    }
    return status;
}

enum canyon_status job_check(const struct job *job, struct error *error) {
    enum canyon_status status = name_check(job->name, "job", error);
    if (status != CANYON_OK) {
        return status;
    }
    if (job->shards == 0 || job->shards > LIMIT_SHARDS || (job->shards & (job->shards - 1)) != 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "job %s: shards must be a power of two from 1 to %d, not %" PRIu32, job->name, LIMIT_SHARDS,
                         job->shards);
    }
    if (job->block < LIMIT_BLOCK_LOW || job->block > LIMIT_BLOCK_HIGH) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "job %s: a block has %d to %u elements, not %" PRIu32,
                         job->name, LIMIT_BLOCK_LOW, LIMIT_BLOCK_HIGH, job->block);
    }
    if (job->server_count == 0 || job->server_count > LIMIT_SERVERS) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "job %s: the number of servers must be 1 to %d, not %" PRIu32,
                         job->name, LIMIT_SERVERS, job->server_count);
    }
    return CANYON_OK;
}

void job_digest(const struct job *job, uint8_t digest[JOB_DIGEST_BYTES]) {
    struct hash hash;
    hash_init(&hash);
    hash_u32(&hash, FRAME_VERSION);
    hash_text(&hash, job->name);
    hash_u32(&hash, job->shards);
    hash_u32(&hash, job->block);
    hash_u32(&hash, job->server_count);
    for (uint32_t i = 0; i < job->server_count; i++) {
        hash_text(&hash, job->servers[i]);
    }
    hash_final(&hash, digest);
}

uint32_t job_find_server(const struct job *job, const char *address) {
    for (uint32_t i = 0; i < job->server_count; i++) {
        if (strcmp(job->servers[i], address) == 0) {
            return i;
        }
    }
    return job->server_count;
}

uint64_t job_home(const char *tensor_name) {
    return hash_64(tensor_name, strlen(tensor_name));
}

uint32_t job_shard_of(const struct job *job, uint64_t home, uint64_t block) {
    assert(job->shards != 0);
    /* The sum may wrap: shards divide 2^64. */
    return (uint32_t)((home + block) % job->shards);
}

uint32_t job_server_of(const struct job *job, uint32_t shard) {
    assert(job->server_count != 0);
    return shard % job->server_count;
}

uint32_t job_thread_of(const struct job *job, uint32_t shard, uint32_t threads) {
    assert(job->server_count != 0 && threads != 0);
    return shard / job->server_count % threads;
}

uint64_t job_block_count(const struct job *job, uint64_t elements) {
    assert(job->block != 0);
    return elements / job->block + (elements % job->block != 0);
}

uint32_t job_block_elements(const struct job *job, uint64_t elements, uint64_t block) {
    uint64_t blocks = job_block_count(job, elements);
    if (block >= blocks) {
        return 0;
    }
    uint64_t left = elements - block * job->block;
    return left < job->block ? (uint32_t)left : job->block;
}

uint32_t job_payload_limit(const struct job *job) {
    uint32_t block = job->block * (uint32_t)sizeof(float), least = 1024 * 1024;
    return block > least ? block : least;
}
