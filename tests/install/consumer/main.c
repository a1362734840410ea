/* A program as somebody else's project would have it: built against an installed Canyon. */
#include <canyon.h>
#include <stdio.h>
#include <string.h>

int main(void) {
    struct canyon_options options;
    canyon_options_init(&options);
    options.servers = "127.0.0.1:1"; /* nobody listens there: the refusal comes at once */
    options.timeout_ms = 2000;
    options.insecure_plaintext = 1; /* there is no key here */
    canyon_client *client = NULL;
    enum canyon_status status = canyon_connect(&options, &client);
    if (status != CANYON_UNAVAILABLE || strstr(canyon_error_text(), "127.0.0.1:1") == NULL) {
        printf("expected UNAVAILABLE naming the server, got %s: %s\n", canyon_status_name(status), canyon_error_text());
        return 1;
    }
    printf("libcanyon %s answers: %s\n", canyon_version(), canyon_error_text());
    canyon_close(client);
    return 0;
}
