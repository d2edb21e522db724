/* See page_token.h. A token is version, filter hash, id and checksum in 25 bytes, as base64url without padding. The
 * checksum guards against slips, not against forgery: whoever forges a token gets a page that he may ask for anyway. */
#include "rpc/page_token.h"

#include <string.h>

enum { TOKEN_VERSION = 1, TOKEN_BYTES = 25, TOKEN_CHARS = (TOKEN_BYTES * 8 + 5) / 6 };

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void put64(unsigned char *to, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        to[i] = (unsigned char)(v >> (56 - 8 * i));
}

static uint64_t get64(const unsigned char *from)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | from[i];
    return v;
}

/* FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/ */
static uint64_t checksum(const unsigned char *data, size_t len)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < len; i++)
        h = (h ^ data[i]) * UINT64_C(1099511628211);
    return h;
}

char *page_token_make(struct arena *arena, uint64_t filter_hash, int64_t before_id)
{
    unsigned char raw[TOKEN_BYTES + 2] = {TOKEN_VERSION};
    char *token = arena_alloc(arena, TOKEN_CHARS + 1);
    if (!token)
        return NULL;
    put64(raw + 1, filter_hash);
    put64(raw + 9, (uint64_t)before_id);
    put64(raw + 17, checksum(raw, 17));
    for (int i = 0; i < TOKEN_CHARS; i++) {
        int bit = i * 6;
        unsigned two = (unsigned)raw[bit / 8] << 8 | raw[bit / 8 + 1];
        token[i] = alphabet[two >> (10 - bit % 8) & 63];
    }
    token[TOKEN_CHARS] = 0;
    return token;
}

int page_token_read(const char *token, uint64_t filter_hash, int64_t *ret_before_id, struct err *ret_err)
{
    unsigned char raw[TOKEN_BYTES + 2] = {0};
    *ret_before_id = 0;
    if (!token || !token[0])
        return 0;
    bool good = strlen(token) == TOKEN_CHARS;
    for (int i = 0; good && i < TOKEN_CHARS; i++) {
        const char *at = strchr(alphabet, token[i]);
        int bit = i * 6;
        if (!at) {
            good = false;
            break;
        }
        unsigned two = (unsigned)(at - alphabet) << (10 - bit % 8);
        raw[bit / 8] = (unsigned char)(raw[bit / 8] | two >> 8);
        raw[bit / 8 + 1] = (unsigned char)(raw[bit / 8 + 1] | (two & 0xff));
    }
    good = good && raw[TOKEN_BYTES] == 0 && raw[0] == TOKEN_VERSION && get64(raw + 17) == checksum(raw, 17) &&
           (int64_t)get64(raw + 9) > 0;
    if (!good)
        return err_field(ret_err, "page_token", "page_token is none that this server gave");
    if (get64(raw + 1) != filter_hash)
        return err_field(ret_err, "page_token", "page_token belongs to a list with another filter");
    *ret_before_id = (int64_t)get64(raw + 9);
    return 0;
}
