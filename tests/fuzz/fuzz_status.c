/* google.rpc.Status as a client gets it from any server: no field of the error overflows or holds what is no UTF-8, and
 * what is made of it travels on unchanged. */
#include <string.h>

#include "fuzz.h"
#include "scan.h"
#include "status.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static void is_text(const char *text, size_t room)
{
    HOLDS(memchr(text, '\0', room));
    HOLDS(scan_text(span_str(text)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_NONE, again = ERR_NONE;
    char out[STATUS_ROOM];
    /* The message comes from a header, percent-decoded: any bytes. */
    status_set_msg(&err, span_of((const char *)data, size));
    err.code = ERR_ABORTED;
    status_decode(span_of((const char *)data, size), &err);
    is_text(err.msg, sizeof err.msg);
    is_text(err.reason, sizeof err.reason);
    is_text(err.field, sizeof err.field);
    HOLDS(err.retry_after_ms >= 0);
    size_t len = status_encode(&err, "fuzz", out);
    HOLDS(len > 0 && len <= sizeof out);
    status_decode(span_of(out, len), &again);
    HOLDS(strcmp(again.reason, err.reason[0] ? err.reason : "ABORTED") == 0);
    HOLDS(strcmp(again.field, err.field) == 0);
    HOLDS(again.retry_after_ms == err.retry_after_ms);
    return 0;
}
