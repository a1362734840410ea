/* A canyon-server process of a benchmark, on a port of its own on loopback, encrypted with keys made for the run or in
 * plaintext. Ends with the benchmark, however that ends. CANYON_SERVER in the environment names another server program
 * than the one built beside the benchmark. */
#ifndef TESTS_BENCH_SERVED_H
#define TESTS_BENCH_SERVED_H

#include <stdint.h>

#include "canyon.h"

/* How its connections are protected. */
enum served_channel { SERVED_PLAINTEXT, SERVED_CHACHA20POLY1305, SERVED_AES256GCM, SERVED_CHANNELS };

#define SERVED_PATH_BYTES 128

const char *served_channel_name(enum served_channel channel);

struct served;

/* Ready when it returns: connections queue until the server accepts them. Never NULL. */
struct served *served_start(enum served_channel channel, unsigned threads, unsigned block);
/* The same with further words of its command line, NULL-terminated; NULL for none. */
struct served *served_start_with(enum served_channel channel, unsigned threads, unsigned block,
                                 const char *const *words);
/* SIGTERM, and waits for its end. */
void served_stop(struct served *served);

uint16_t served_port(const struct served *served);
/* "127.0.0.1:PORT". */
const char *served_address(const struct served *served);
/* The public key's text; "" in plaintext. */
const char *served_key(const struct served *served);
/* Writes the path of one of its clients' files: "key", "known_servers". They exist where it encrypts. Returns `path`.
 */
const char *served_file(const struct served *served, const char *name, char path[SERVED_PATH_BYTES]);

/* A client with an admin's key. `window_bytes` 0 for the default. */
canyon_client *served_connect(const struct served *served, uint64_t window_bytes);
/* A tensor of zeros, of one dimension. */
canyon_tensor *served_tensor(canyon_client *client, const char *name, uint64_t elements, const char *optimizer);

/* A value in KiB of its /proc/PID/status, such as "VmRSS". */
uint64_t served_memory_kib(const struct served *served, const char *key);
/* Processor seconds it has used. */
double served_cpu(const struct served *served);
/* Connections that wait to be accepted. */
uint32_t served_queue(const struct served *served);

/* A listening socket on loopback, as a server has it; *port receives its port. */
int served_listen(uint16_t *port);

#endif
