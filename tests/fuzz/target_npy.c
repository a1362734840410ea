/* NumPy files: read or refused with a text, and what was read is as large as it says.
 *
 * Input: the file. */
#include "tests/fuzz/fuzz.h"

#include "client/tools/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct npy npy;
    char text[NPY_TEXT_BYTES] = "";
    enum canyon_status status = npy_read(input_path(data, size), &npy, text, sizeof text);
    if (status != CANYON_OK) {
        REQUIRE(status == CANYON_INVALID_ARGUMENT && text[0] != '\0' && npy.values == NULL);
        return 0;
    }
    uint64_t elements = 1;
    REQUIRE(npy.rank <= NPY_RANK);
    for (uint32_t i = 0; i < npy.rank; i++) {
        elements *= npy.dims[i];
    }
    REQUIRE(elements == npy.elements && elements <= size / sizeof(float));
    volatile float last = elements > 0 ? npy.values[elements - 1] : 0.0f;
    (void)last;
    npy_finish(&npy);
    return 0;
}
