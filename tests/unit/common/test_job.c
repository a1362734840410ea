/* The job: its list of servers, its digest, and the arithmetic that places blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/job.h"
#include "seed.h"

static struct job make_job(const char *servers) {
    struct job job;
    job_init(&job);
    snprintf(job.name, sizeof job.name, "digits");
    job.shards = 256;
    job.block = 65536;
    struct error error = {.text = ""};
    if (job_set_servers(&job, servers, strlen(servers), ',', &error) != CANYON_OK) {
        fail_msg("%s", error.text);
    }
    return job;
}

static void lists_are_canonical(void **state) {
    (void)state;
    struct job job = make_job(" a:1 ,[::1]:0002,\t[10.0.0.1]:3 ");
    assert_int_equal(job.server_count, 3);
    assert_string_equal(job.servers[0], "a:1");
    assert_string_equal(job.servers[1], "[::1]:2");
    assert_string_equal(job.servers[2], "10.0.0.1:3");
    assert_int_equal(job_find_server(&job, "[::1]:2"), 1);
    assert_int_equal(job_find_server(&job, "[::1]:3"), 3);
    /* As a WELCOME carries it, with and without a last line end; only `bytes` of it are read. */
    static const char lines[] = "b:1\nc:2\nrest";
    assert_int_equal(job_set_servers(&job, lines, 8, '\n', NULL), CANYON_OK);
    assert_int_equal(job.server_count, 2);
    assert_int_equal(job_set_servers(&job, lines, 7, '\n', NULL), CANYON_OK);
    assert_int_equal(job.server_count, 2);
    assert_string_equal(job.servers[1], "c:2");
    job_finish(&job);
    job_finish(&job);
    job_finish(NULL);
}

static void bad_lists_change_nothing(void **state) {
    (void)state;
    struct job job = make_job("a:1,b:2");
    static const char *const bad[] = {"",      " ",           ",",          "a:1,,b:2", ",a:1",
                                      "a:1,b", "a:1,b:2,a:1", "a:1,[a]:01", "a:1 b:2",  "a:0"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (job_set_servers(&job, bad[i], strlen(bad[i]), ',', NULL) != CANYON_INVALID_ARGUMENT) {
            fail_msg("\"%s\" is accepted", bad[i]);
        }
        assert_int_equal(job.server_count, 2);
        assert_string_equal(job.servers[1], "b:2");
    }
    assert_int_equal(job_set_servers(&job, "a:1\0b:2", 7, ',', NULL), CANYON_INVALID_ARGUMENT);
    char *many = malloc(LIMIT_SERVERS * 16 + 32);
    assert_non_null(many);
    size_t used = 0;
    for (int i = 0; i < LIMIT_SERVERS; i++) {
        used += (size_t)sprintf(many + used, "%sh%d:1", i == 0 ? "" : ",", i);
    }
    assert_int_equal(job_set_servers(&job, many, used, ',', NULL), CANYON_OK);
    assert_int_equal(job.server_count, LIMIT_SERVERS);
    used += (size_t)sprintf(many + used, ",more:1");
    assert_int_equal(job_set_servers(&job, many, used, ',', NULL), CANYON_TOO_LARGE);
    assert_int_equal(job.server_count, LIMIT_SERVERS);
    free(many);
    job_finish(&job);
}

static void checks(void **state) {
    (void)state;
    struct job job = make_job("a:1");
    assert_int_equal(job_check(&job, NULL), CANYON_OK);
    for (uint32_t shards = 0; shards < 70000; shards++) {
        job.shards = shards;
        bool power = shards == 1 || shards == 2 || shards == 4 || shards == 8 || shards == 16 || shards == 32 ||
                     shards == 64 || shards == 128 || shards == 256 || shards == 512 || shards == 1024 ||
                     shards == 2048 || shards == 4096 || shards == 8192 || shards == 16384 || shards == 32768 ||
                     shards == 65536;
        assert_int_equal(job_check(&job, NULL), power ? CANYON_OK : CANYON_INVALID_ARGUMENT);
    }
    job.shards = 1u << 31;
    assert_int_equal(job_check(&job, NULL), CANYON_INVALID_ARGUMENT);
    job.shards = 8;
    static const struct {
        uint32_t block;
        bool good;
    } blocks[] = {{0, 0}, {1023, 0}, {1024, 1}, {1025, 1}, {1u << 22, 1}, {(1u << 22) + 1, 0}, {UINT32_MAX, 0}};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        job.block = blocks[i].block;
        assert_int_equal(job_check(&job, NULL), blocks[i].good ? CANYON_OK : CANYON_INVALID_ARGUMENT);
    }
    job.block = 1024;
    job.name[0] = '\0';
    assert_int_equal(job_check(&job, NULL), CANYON_INVALID_ARGUMENT);
    snprintf(job.name, sizeof job.name, "x");
    uint32_t servers = job.server_count;
    job.server_count = 0;
    assert_int_equal(job_check(&job, NULL), CANYON_INVALID_ARGUMENT);
    job.server_count = servers;
    job_finish(&job);
}

/* Every part of the job is in its digest. (Its bytes are compared with another implementation in test_transcripts.c.)
 */
static void digests_differ(void **state) {
    (void)state;
    struct job jobs[7];
    uint8_t digests[7][JOB_DIGEST_BYTES];
    for (size_t i = 0; i < 7; i++) {
        jobs[i] = make_job(i == 1 ? "b:2,a:1" : i == 2 ? "a:1" : i == 3 ? "a:1,b:3" : "a:1,b:2");
    }
    snprintf(jobs[4].name, sizeof jobs[4].name, "other");
    jobs[5].shards = 128;
    jobs[6].block = 1024;
    for (size_t i = 0; i < 7; i++) {
        job_digest(&jobs[i], digests[i]);
        for (size_t earlier = 0; earlier < i; earlier++) {
            assert_memory_not_equal(digests[i], digests[earlier], JOB_DIGEST_BYTES);
        }
    }
    struct job same = make_job("[a]:001,b:2");
    uint8_t digest[JOB_DIGEST_BYTES];
    job_digest(&same, digest);
    assert_memory_equal(digest, digests[0], JOB_DIGEST_BYTES);
    job_finish(&same);
    for (size_t i = 0; i < 7; i++) {
        job_finish(&jobs[i]);
    }
}

static void placement(void **state) {
    (void)state;
    struct job job = make_job("a:1,b:2,c:3");
    /* The first bytes of BLAKE2b-256("mlp/w1"), little-endian; see test_hash.c. */
    uint64_t home = job_home("mlp/w1");
    assert_int_equal(home, 0xa6d4aee0fdf99cf3u);
    assert_int_equal(job_shard_of(&job, home, 0), 0xf3);
    assert_int_equal(job_shard_of(&job, home, 12), 0xff);
    assert_int_equal(job_shard_of(&job, home, 13), 0);
    assert_int_equal(job_shard_of(&job, UINT64_MAX, 1), 0);
    assert_int_equal(job_shard_of(&job, UINT64_MAX, 0), 255);
    assert_int_equal(job_server_of(&job, 7), 1);
    assert_int_equal(job_thread_of(&job, 7, 2), 0);  /* 7 / 3 = 2 */
    assert_int_equal(job_thread_of(&job, 10, 2), 1); /* 10 / 3 = 3 */
    assert_int_equal(job_thread_of(&job, 10, 1), 0);
    job_finish(&job);
}

/* Shards spread evenly: no thread of a server has two more than another. */
static void threads_share_evenly(void **state) {
    (void)state;
    for (uint32_t servers = 1; servers <= 5; servers++) {
        static const char *const lists[] = {"a:1", "a:1,b:1", "a:1,b:1,c:1", "a:1,b:1,c:1,d:1", "a:1,b:1,c:1,d:1,e:1"};
        struct job job = make_job(lists[servers - 1]);
        for (uint32_t threads = 1; threads <= 8; threads++) {
            uint32_t held[5][8] = {{0}};
            for (uint32_t shard = 0; shard < job.shards; shard++) {
                held[job_server_of(&job, shard)][job_thread_of(&job, shard, threads)]++;
            }
            uint32_t low = UINT32_MAX, high = 0;
            for (uint32_t s = 0; s < servers; s++) {
                for (uint32_t t = 0; t < threads; t++) {
                    low = held[s][t] < low ? held[s][t] : low;
                    high = held[s][t] > high ? held[s][t] : high;
                }
            }
            assert_in_range(high - low, 0, 1);
        }
        job_finish(&job);
    }
}

static void blocks(void **state) {
    (void)state;
    struct job job = make_job("a:1");
    job.block = 1000;
    static const struct {
        uint64_t elements, blocks;
        uint32_t last;
    } cases[] = {{0, 0, 0}, {1, 1, 1}, {999, 1, 999}, {1000, 1, 1000}, {1001, 2, 1}, {2000, 2, 1000}, {2999, 3, 999}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(job_block_count(&job, cases[i].elements), cases[i].blocks);
        uint64_t sum = 0;
        for (uint64_t b = 0; b < cases[i].blocks; b++) {
            sum += job_block_elements(&job, cases[i].elements, b);
        }
        assert_int_equal(sum, cases[i].elements);
        if (cases[i].blocks > 0) {
            assert_int_equal(job_block_elements(&job, cases[i].elements, cases[i].blocks - 1), cases[i].last);
        }
        assert_int_equal(job_block_elements(&job, cases[i].elements, cases[i].blocks), 0);
        assert_int_equal(job_block_elements(&job, cases[i].elements, UINT64_MAX), 0);
    }
    job.block = LIMIT_BLOCK_LOW;
    assert_int_equal(job_block_count(&job, LIMIT_ELEMENTS), LIMIT_ELEMENTS / LIMIT_BLOCK_LOW);
    job_finish(&job);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_canonical),
        cmocka_unit_test(bad_lists_change_nothing),
        cmocka_unit_test(checks),
        cmocka_unit_test(digests_differ),
        cmocka_unit_test(placement),
        cmocka_unit_test(threads_share_evenly),
        cmocka_unit_test(blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
