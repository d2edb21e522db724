/* See tokens.h. A token's identity is made once and shared by all its calls, so that a revocation reaches each of them.
 */
#include "auth/tokens.h"

#include <openssl/crypto.h>
#include <sys/random.h>

#include "auth/make.h"
#include "base/alloc.h"
#include "store/hash.h"

struct token_entry {
    char id[TOKEN_ID_LEN];
    uint8_t hash[TOKEN_HASH_LEN];
    struct identity *identity;
    _Atomic int64_t used_us; /* the last use that was seen */
    int64_t told_us;         /* the last use that the database was told */
    bool listed;
    /* Of a text that was found to have that hash: the same text again costs no SHA-256, which is a tenth of a whole
     * call. Whoever sets it sets the same. */
    _Atomic uint64_t seal[2];
    atomic_bool sealed;
    UT_hash_handle hh;
};

/* Uses within this time are one: a cache line that every call writes would be fought for. */
#define USE_GRAIN_US INT64_C(1000000)

void tokens_init(struct tokens *t)
{
    pthread_rwlock_init(&t->lock, NULL);
    t->by_id = NULL;
    t->changes = 0;
    /* Without random bytes a seal could be made by others: then there are none. */
    t->can_seal = getrandom(&t->seal_key, sizeof t->seal_key, 0) == (ssize_t)sizeof t->seal_key;
}

static void drop(struct tokens *t, struct token_entry *e, bool revoked)
{
    HASH_DEL(t->by_id, e);
    if (revoked)
        atomic_store_explicit(&e->identity->revoked, true, memory_order_relaxed);
    identity_unref(e->identity);
    mem_free(e);
}

void tokens_done(struct tokens *t)
{
    struct token_entry *e, *next;
    HASH_ITER(hh, t->by_id, e, next)
    {
        drop(t, e, false);
    }
    pthread_rwlock_destroy(&t->lock);
}

static struct token_entry *look(struct tokens *t, const char *id)
{
    struct token_entry *e;
    HASH_FIND(hh, t->by_id, id, TOKEN_ID_LEN, e);
    return e;
}

/* Was this very text found right before? */
static bool has_seal(const struct token_entry *e, const struct seal *seal)
{
    if (!atomic_load_explicit(&e->sealed, memory_order_acquire))
        return false;
    uint64_t kept[2] = {atomic_load_explicit(&e->seal[0], memory_order_relaxed),
                        atomic_load_explicit(&e->seal[1], memory_order_relaxed)};
    return CRYPTO_memcmp(kept, seal->v, sizeof kept) == 0;
}

static void put_seal(struct token_entry *e, const struct seal *seal)
{
    atomic_store_explicit(&e->seal[0], seal->v[0], memory_order_relaxed);
    atomic_store_explicit(&e->seal[1], seal->v[1], memory_order_relaxed);
    atomic_store_explicit(&e->sealed, true, memory_order_release);
}

static bool is_right(const struct tokens *t, struct token_entry *e, struct span text)
{
    struct seal seal = seal_make(&t->seal_key, text);
    struct token_text token;
    if (has_seal(e, &seal))
        return true;
    if (!token_parse(text, &token) || CRYPTO_memcmp(e->hash, token.hash, TOKEN_HASH_LEN) != 0)
        return false;
    if (t->can_seal)
        put_seal(e, &seal);
    return true;
}

enum token_verdict tokens_find(struct tokens *t, struct span text, int64_t now_us, struct identity **ret)
{
    enum token_verdict verdict = TOKEN_UNKNOWN;
    if (text.len != TOKEN_TEXT_LEN)
        return TOKEN_WRONG;
    pthread_rwlock_rdlock(&t->lock);
    struct token_entry *e = look(t, text.data + TOKEN_ID_AT);
    struct token_text token;
    if (e ? !is_right(t, e, text) : !token_parse(text, &token)) {
        verdict = TOKEN_WRONG;
    } else if (e && !identity_is_valid(e->identity, now_us)) {
        verdict = TOKEN_EXPIRED;
    } else if (e) {
        verdict = TOKEN_GOOD;
        *ret = identity_ref(e->identity);
        if (now_us - atomic_load_explicit(&e->used_us, memory_order_relaxed) > USE_GRAIN_US)
            atomic_store_explicit(&e->used_us, now_us, memory_order_relaxed);
    }
    pthread_rwlock_unlock(&t->lock);
    return verdict;
}

static struct token_entry *entry_new(const struct token_info *i)
{
    struct identity_spec spec = {.actor_kind = SPAN_LIT("token:"),
                                 .actor = i->name,
                                 .owner = i->owner,
                                 .roles = i->roles,
                                 .queues = i->queues,
                                 .job_names = i->job_names,
                                 .owners = i->owners,
                                 .n_queues = i->n_queues,
                                 .n_job_names = i->n_job_names,
                                 .n_owners = i->n_owners,
                                 .own_only = i->own_only,
                                 .may_delegate = i->may_delegate,
                                 .expire_us = i->expire_us};
    struct token_entry *e;
    if (i->id.len != TOKEN_ID_LEN || i->hash.len != TOKEN_HASH_LEN || !(e = mem_zalloc(sizeof *e)))
        return NULL;
    e->identity = identity_make(&spec);
    if (!e->identity) {
        mem_free(e);
        return NULL;
    }
    memcpy(e->id, i->id.data, TOKEN_ID_LEN);
    memcpy(e->hash, i->hash.data, TOKEN_HASH_LEN);
    atomic_init(&e->used_us, i->last_use_us);
    e->told_us = i->last_use_us;
    return e;
}

/* The lock is held for writing. */
static bool put(struct tokens *t, const struct token_info *info)
{
    struct token_entry *e = info->id.len == TOKEN_ID_LEN ? look(t, info->id.data) : NULL;
    if (!e && (e = entry_new(info))) {
        HASH_ADD(hh, t->by_id, id, TOKEN_ID_LEN, e);
        if (!e->hh.tbl) {
            identity_unref(e->identity);
            mem_free(e);
            return false;
        }
    }
    if (e)
        e->listed = true;
    return e != NULL;
}

uint64_t tokens_changes(struct tokens *t)
{
    pthread_rwlock_rdlock(&t->lock);
    uint64_t changes = t->changes;
    pthread_rwlock_unlock(&t->lock);
    return changes;
}

bool tokens_replace(struct tokens *t, const struct token_info *list, size_t n, uint64_t changes)
{
    struct token_entry *e, *next;
    pthread_rwlock_wrlock(&t->lock);
    bool good = t->changes == changes;
    if (!good) {
        pthread_rwlock_unlock(&t->lock);
        return false;
    }
    for (size_t i = 0; i < n; i++)
        good = put(t, &list[i]) && good;
    HASH_ITER(hh, t->by_id, e, next)
    {
        if (!e->listed)
            drop(t, e, true);
        else
            e->listed = false;
    }
    pthread_rwlock_unlock(&t->lock);
    return good;
}

bool tokens_add(struct tokens *t, const struct token_info *token)
{
    pthread_rwlock_wrlock(&t->lock);
    bool good = put(t, token);
    struct token_entry *e = good ? look(t, token->id.data) : NULL;
    if (e)
        e->listed = false;
    t->changes++;
    pthread_rwlock_unlock(&t->lock);
    return good;
}

void tokens_remove(struct tokens *t, struct span id)
{
    if (id.len != TOKEN_ID_LEN)
        return;
    pthread_rwlock_wrlock(&t->lock);
    struct token_entry *e = look(t, id.data);
    if (e)
        drop(t, e, true);
    t->changes++;
    pthread_rwlock_unlock(&t->lock);
}

size_t tokens_take_used(struct tokens *t, struct arena *arena, struct span *ids, int64_t *times_us, size_t max)
{
    struct token_entry *e, *next;
    size_t n = 0;
    pthread_rwlock_wrlock(&t->lock);
    HASH_ITER(hh, t->by_id, e, next)
    {
        int64_t used = atomic_load_explicit(&e->used_us, memory_order_relaxed);
        if (n == max)
            break;
        if (used <= e->told_us)
            continue;
        ids[n] = arena_span(arena, span_of(e->id, TOKEN_ID_LEN));
        if (!ids[n].data)
            break;
        times_us[n++] = used;
        e->told_us = used;
    }
    pthread_rwlock_unlock(&t->lock);
    return n;
}
