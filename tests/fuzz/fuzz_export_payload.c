/* The payload of an export job, which hands in the database may have changed: any bytes are refused or give a request
 * whose texts are whole and whose file name is safe. */
#include <string.h>

#include "export/request.h"
#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct export_request request, again;
    struct err err = ERR_NONE;
    arena_init(&arena, NULL, 0, 0);
    if (export_request_decode(span_of((const char *)data, size), &arena, &request, &err) < 0) {
        HOLDS(err.code == ERR_INVALID_ARGUMENT && strcmp(err.reason, "EXPORT_PAYLOAD_INVALID") == 0);
    } else {
        struct buf payload = BUF_INIT;
        HOLDS(request.export_type.data && request.file_name.len > 0);
        HOLDS(!memchr(request.file_name.data, '/', request.file_name.len));
        HOLDS(export_request_encode(&request, &payload));
        HOLDS(export_request_decode(buf_span(&payload), &arena, &again, NULL) == 0);
        HOLDS(span_eq(request.export_type, again.export_type) && span_eq(request.file_name, again.file_name));
        HOLDS(request.n_filters == again.n_filters);
        buf_done(&payload);
    }
    arena_done(&arena);
    return 0;
}
