/* The text of opaque tokens: made, taken apart. Any thread. A prefix that nothing else has, so that scanners find a
 * token that was published by mistake; the id says which row to compare with, the secret is not guessable. */
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>
#include <sys/random.h>

#include "auth/auth.h"

static const char PREFIX[] = "jlt_";
enum { PREFIX_LEN = 4, SECRET_AT = PREFIX_LEN + TOKEN_ID_LEN + 1, SECRET_LEN = 43, SECRET_BYTES = 32 };

static void to_base64url(const uint8_t *bytes, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned held = 0, n_held = 0;
    for (size_t i = 0; i < SECRET_BYTES; i++) {
        held = held << 8 | bytes[i];
        for (n_held += 8; n_held >= 6; n_held -= 6)
            *out++ = digits[held >> (n_held - 6) & 63];
    }
    *out = digits[held << (6 - n_held) & 63];
}

static void finish(struct token_text *t)
{
    memcpy(t->id, t->text + PREFIX_LEN, TOKEN_ID_LEN);
    t->id[TOKEN_ID_LEN] = '\0';
    t->text[TOKEN_TEXT_LEN] = '\0';
    SHA256((const unsigned char *)t->text, TOKEN_TEXT_LEN, t->hash);
}

int token_make(struct token_text *ret, struct err *ret_err)
{
    uint8_t random[TOKEN_ID_LEN / 2 + SECRET_BYTES];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return err_set(ret_err, ERR_INTERNAL, NULL, "no random bytes");
    memcpy(ret->text, PREFIX, PREFIX_LEN);
    for (size_t i = 0; i < TOKEN_ID_LEN; i++)
        ret->text[PREFIX_LEN + i] = "0123456789abcdef"[random[i / 2] >> (i % 2 ? 0 : 4) & 15];
    ret->text[SECRET_AT - 1] = '_';
    to_base64url(random + TOKEN_ID_LEN / 2, ret->text + SECRET_AT);
    finish(ret);
    OPENSSL_cleanse(random, sizeof random);
    return 0;
}

static bool all_of(const char *text, size_t len, const char *allowed)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\0' || !strchr(allowed, text[i]))
            return false;
    }
    return true;
}

bool token_parse(struct span text, struct token_text *ret)
{
    if (text.len != TOKEN_TEXT_LEN || memcmp(text.data, PREFIX, PREFIX_LEN) != 0 || text.data[SECRET_AT - 1] != '_' ||
        !all_of(text.data + PREFIX_LEN, TOKEN_ID_LEN, "0123456789abcdef") ||
        !all_of(text.data + SECRET_AT, SECRET_LEN, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"))
        return false;
    memcpy(ret->text, text.data, TOKEN_TEXT_LEN);
    finish(ret);
    return true;
}
