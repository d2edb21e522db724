/* Page tokens: what is read as one is exactly what the server would have written, whatever a client sends.
 *
 * Input: how (0: the bytes as a token; else a token made of the next 16 bytes, one character of it changed), then the
 * bytes. */
#include <string.h>

#include "base/arena.h"
#include "fuzz.h"
#include "rpc/page_token.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static uint64_t number(struct input *in)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | input_byte(in);
    return v;
}

/* Either refused, or the very text that page_token_make gives for what was read. */
static void read_back(const char *token, uint64_t hash)
{
    int64_t id = -1;
    struct err err = ERR_NONE;
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    int rc = page_token_read(token, hash, &id, &err);
    if (rc < 0) {
        HOLDS(rc == -ERR_INVALID_ARGUMENT && strcmp(err.field, "page_token") == 0 && err.msg[0] && id == 0);
    } else if (token[0]) {
        HOLDS(id > 0);
        HOLDS(strcmp(page_token_make(&arena, hash, id), token) == 0);
    } else {
        HOLDS(id == 0);
    }
    arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    if (!input_byte(&in)) {
        char *token = input_text(span_of((const char *)in.at, (size_t)(in.end - in.at)));
        read_back(token, 0);
        free(token);
        return 0;
    }
    uint64_t hash = number(&in);
    int64_t id = (int64_t)(number(&in) >> 1);
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    char *token = page_token_make(&arena, hash, id);
    int64_t read = -1;
    if (id > 0)
        HOLDS(page_token_read(token, hash, &read, NULL) == 0 && read == id);
    if (id > 0 && hash)
        HOLDS(page_token_read(token, hash - 1, &read, NULL) < 0);
    size_t at = input_byte(&in) % strlen(token);
    char changed = (char)input_byte(&in);
    if (changed && changed != token[at]) {
        token[at] = changed;
        HOLDS(page_token_read(token, hash, &read, NULL) < 0);
    }
    arena_done(&arena);
    return 0;
}
