/* The public header as C sees it: it needs nothing before it, and may come twice. */
#include <canyon.h>

#include <canyon.h>

int main(void) {
    struct canyon_options options;
    canyon_options_init(&options);
    return options.size == sizeof options ? 0 : 1;
}
