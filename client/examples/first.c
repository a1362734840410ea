#include <canyon.h>
#include <stdio.h>

int main(int argc, char **argv) {
    struct canyon_options options;
    canyon_options_init(&options);
    options.servers = argc > 1 ? argv[1] : "127.0.0.1:7077"; /* any one server of the job */
    canyon_client *client = NULL;
    if (canyon_connect(&options, &client) != CANYON_OK)
        return fprintf(stderr, "%s\n", canyon_error_text()), 1;

    struct canyon_tensor_spec spec;
    canyon_tensor_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "line");
    spec.rank = 1;
    spec.dims[0] = 2; /* slope and intercept, zero at first */
    canyon_tensor_spec_optimizer(&spec, "adam:lr=0.05");
    canyon_tensor *line = NULL; /* created by whichever worker comes first, opened by the others */
    enum canyon_status status = canyon_tensor_create(client, &spec, 0, &line);

    float w[2] = {0, 0};
    for (int step = 0; step < 1000 && status == CANYON_OK; step++) {
        float x = (float)(step % 21) / 10 - 1, error = w[0] * x + w[1] - (2 * x + 1);
        float gradient[2] = {error * x, error};
        status = canyon_push_pull(line, gradient, w, 0); /* gradient in, fresh weights out */
    }
    printf("y = %.2f x + %.2f %s\n", (double)w[0], (double)w[1], canyon_error_text());
    canyon_tensor_close(line);
    canyon_close(client);
    return status != CANYON_OK;
}
