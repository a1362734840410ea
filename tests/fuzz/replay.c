/* Runs a fuzz target over files without libFuzzer: every argument is an input, or a folder of inputs. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <sys/stat.h>

static size_t replayed;

static int replay_file(const char *path) {
    struct stat about;
    FILE *file = fopen(path, "rb");
    if (file == NULL || fstat(fileno(file), &about) != 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        if (file != NULL) {
            fclose(file);
        }
        return 1;
    }
    size_t size = (size_t)about.st_size;
    uint8_t *bytes = malloc(size > 0 ? size : 1);
    REQUIRE(bytes != NULL && fread(bytes, 1, size, file) == size);
    fclose(file);
    fprintf(stderr, "%s\n", path); /* before it runs: the last one named is the one that crashed */
    LLVMFuzzerTestOneInput(bytes, size);
    free(bytes);
    replayed++;
    return 0;
}

static int replay_folder(const char *path) {
    struct dirent **entries = NULL;
    int failures = 0;
    int count = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        failures += entries[i]->d_name[0] == '.' ? 0 : replay_file(name);
        free(entries[i]);
    }
    free(entries);
    return failures;
}

int main(int argc, char **argv) {
    int failures = 0;
    for (int i = 1; i < argc; i++) {
        struct stat about;
        bool folder = stat(argv[i], &about) == 0 && S_ISDIR(about.st_mode);
        failures += folder ? replay_folder(argv[i]) : replay_file(argv[i]);
        if (folder && fuzz_replayed != NULL) {
            fuzz_replayed();
        }
    }
    printf("%zu inputs replayed\n", replayed);
    return failures > 0 || replayed == 0;
}
