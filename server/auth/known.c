/* See known.h. */
#include "auth/known.h"

#include <string.h>

#include "base/alloc.h"
#include "store/hash.h"

struct known_entry {
    uint8_t key[KNOWN_KEY_LEN];
    uint64_t basis;
    struct identity *identity;
    UT_hash_handle hh;
};

void known_init(struct known *k)
{
    pthread_mutex_init(&k->lock, NULL);
    k->by_key = NULL;
    k->sweep_at = KNOWN_SWEEP;
}

static void drop(struct known *k, struct known_entry *e)
{
    HASH_DEL(k->by_key, e);
    identity_unref(e->identity);
    mem_free(e);
}

void known_done(struct known *k)
{
    struct known_entry *e, *next;
    HASH_ITER(hh, k->by_key, e, next)
    {
        drop(k, e);
    }
    pthread_mutex_destroy(&k->lock);
}

struct identity *known_find(struct known *k, const uint8_t key[KNOWN_KEY_LEN])
{
    struct known_entry *e;
    struct identity *found = NULL;
    pthread_mutex_lock(&k->lock);
    HASH_FIND(hh, k->by_key, key, KNOWN_KEY_LEN, e);
    if (e)
        found = identity_ref(e->identity);
    pthread_mutex_unlock(&k->lock);
    return found;
}

/* Those that only this table holds. Nobody can take a reference meanwhile: that needs the lock. */
static void sweep(struct known *k)
{
    struct known_entry *e, *next;
    HASH_ITER(hh, k->by_key, e, next)
    {
        if (atomic_load_explicit(&e->identity->refs, memory_order_acquire) == 1)
            drop(k, e);
    }
    /* So that a table that is full of used ones is not swept for each newcomer. */
    size_t left = HASH_COUNT(k->by_key);
    k->sweep_at = left * 2 > KNOWN_SWEEP ? left * 2 : KNOWN_SWEEP;
    if (k->sweep_at > KNOWN_MAX)
        k->sweep_at = KNOWN_MAX;
}

static struct known_entry *insert(struct known *k, const uint8_t key[KNOWN_KEY_LEN])
{
    struct known_entry *e;
    if (HASH_COUNT(k->by_key) >= k->sweep_at)
        sweep(k);
    if (HASH_COUNT(k->by_key) >= KNOWN_MAX || !(e = mem_zalloc(sizeof *e)))
        return NULL;
    memcpy(e->key, key, KNOWN_KEY_LEN);
    HASH_ADD(hh, k->by_key, key, KNOWN_KEY_LEN, e);
    if (e->hh.tbl)
        return e;
    mem_free(e);
    return NULL;
}

struct identity *known_add(struct known *k, const uint8_t key[KNOWN_KEY_LEN], uint64_t basis, struct identity *identity)
{
    struct known_entry *e;
    struct identity *in = NULL;
    pthread_mutex_lock(&k->lock);
    HASH_FIND(hh, k->by_key, key, KNOWN_KEY_LEN, e);
    if (e) {
        in = identity_ref(e->identity);
    } else if ((e = insert(k, key))) {
        e->basis = basis;
        e->identity = identity_ref(identity);
        in = identity_ref(identity);
    }
    pthread_mutex_unlock(&k->lock);
    identity_unref(identity);
    return in;
}

void known_drop(struct known *k, bool (*stands)(void *user, uint64_t basis), void *user)
{
    struct known_entry *e, *next;
    pthread_mutex_lock(&k->lock);
    HASH_ITER(hh, k->by_key, e, next)
    {
        /* What stands is kept: forgotten, a later change could not end its streams. */
        if (stands(user, e->basis))
            continue;
        atomic_store_explicit(&e->identity->revoked, true, memory_order_relaxed);
        drop(k, e);
    }
    pthread_mutex_unlock(&k->lock);
}
