#include <canyon.h>
#include <stdio.h>
#include <stdlib.h>

/* Learns what each of 500 people thinks of each of 300 films from single ratings: a bias for everybody and everything.
 */
enum { PEOPLE = 500, FILMS = 300, BATCH = 64 };

static float rating(int person, int film) {
    return (float)(person % 7) / 7 - (float)(film % 5) / 5;
}

int main(int argc, char **argv) {
    struct canyon_options options;
    canyon_options_init(&options);
    options.servers = argc > 1 ? argv[1] : "127.0.0.1:7077";
    canyon_client *client = NULL;
    if (canyon_connect(&options, &client) != CANYON_OK)
        return fprintf(stderr, "%s\n", canyon_error_text()), 1;

    struct canyon_table_spec spec;
    canyon_table_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "biases");
    spec.dim = 1; /* an embedding would have 16 or 64 */
    canyon_table_spec_optimizer(&spec, "adagrad:lr=0.2");
    canyon_table *biases = NULL;
    enum canyon_status status = canyon_table_create(client, &spec, 0, &biases);

    float loss = 0;
    for (int step = 0; step < 2000 && status == CANYON_OK; step++) {
        uint64_t ids[2 * BATCH]; /* any 64-bit numbers, any of them twice */
        float bias[2 * BATCH], gradients[2 * BATCH];
        for (int i = 0; i < BATCH; i++) {
            ids[2 * i] = (uint64_t)(rand() % PEOPLE);
            ids[2 * i + 1] = 1000000 + (uint64_t)(rand() % FILMS);
        }
        status = canyon_table_pull(biases, ids, 2 * BATCH, bias, 0);
        for (int i = 0; i < BATCH && status == CANYON_OK; i++) {
            int person = (int)ids[2 * i], film = (int)(ids[2 * i + 1] - 1000000);
            float error = bias[2 * i] + bias[2 * i + 1] - rating(person, film);
            gradients[2 * i] = gradients[2 * i + 1] = error;
            loss += 0.01f * (error * error - loss);
        }
        if (status == CANYON_OK) /* rows are made as they are touched; the same id's gradients are added up */
            status = canyon_table_push(biases, ids, 2 * BATCH, gradients, 0);
    }
    struct canyon_table_totals totals = {0};
    if (status == CANYON_OK)
        status = canyon_table_totals(biases, 0, &totals);
    printf("mean squared error %.4f, %llu rows %s\n", (double)loss, (unsigned long long)totals.rows,
           canyon_error_text());
    canyon_table_close(biases);
    canyon_close(client);
    return status != CANYON_OK || !(loss < 0.01f);
}
