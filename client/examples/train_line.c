/* Fits y = 2x + 1 with two workers that push gradients and receive fresh weights: canyon-server first, then
 * train_line HOST:PORT; the keys are those of CANYON_HOME or ~/.config/canyon, as `canyon keygen` makes them. Each
 * worker has its own connection; here they are two clients taking turns in one process. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <canyon.h>

enum { WORKERS = 2, STEPS = 400, POINTS = 16 };

static void check(enum canyon_status status, const char *what) {
    if (status != CANYON_OK) {
        fprintf(stderr, "%s: %s: %s\n", what, canyon_status_name(status), canyon_error_text());
        exit(1);
    }
}

/* The gradient of half the mean squared error of line[0] * x + line[1] over one worker's points. */
static void compute_gradient(int worker, int step, const float line[2], float gradient[2]) {
    gradient[0] = gradient[1] = 0.0f;
    for (int i = 0; i < POINTS; i++) {
        float x = (float)((7 * i + 3 * worker + 5 * step) % 32) / 16.0f - 1.0f;
        float error = line[0] * x + line[1] - (2.0f * x + 1.0f);
        gradient[0] += error * x / POINTS;
        gradient[1] += error / POINTS;
    }
}

int main(int argc, char **argv) {
    canyon_client *workers[WORKERS] = {NULL};
    canyon_tensor *tensors[WORKERS] = {NULL};
    float lines[WORKERS][2];

    struct canyon_tensor_spec spec;
    canyon_tensor_spec_init(&spec);
    strcpy(spec.name, "line");
    spec.rank = 1;
    spec.dims[0] = 2;
    check(canyon_tensor_spec_optimizer(&spec, "adam:lr=0.05"), "optimizer");

    for (int i = 0; i < WORKERS; i++) {
        struct canyon_options options;
        canyon_options_init(&options);
        options.servers = argc > 1 ? argv[1] : "127.0.0.1:7077";
        check(canyon_connect(&options, &workers[i]), "connect");
        check(canyon_tensor_create(workers[i], &spec, 0, &tensors[i]), "create");
        check(canyon_pull(tensors[i], lines[i], 0), "pull");
    }
    for (int step = 0; step < STEPS; step++) {
        float gradient[2];
        int i = step % WORKERS;
        compute_gradient(i, step, lines[i], gradient);
        check(canyon_push_pull(tensors[i], gradient, lines[i], 0), "push_pull");
    }

    const float *line = lines[(STEPS - 1) % WORKERS];
    int learned = fabsf(line[0] - 2.0f) < 0.01f && fabsf(line[1] - 1.0f) < 0.01f;
    printf("y = %.3f x + %.3f\n", (double)line[0], (double)line[1]);
    check(canyon_tensor_drop(workers[0], "line", 0), "drop");
    for (int i = 0; i < WORKERS; i++) {
        canyon_tensor_close(tensors[i]);
        canyon_close(workers[i]);
    }
    return learned ? 0 : 1;
}
