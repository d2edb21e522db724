/* See failures.h. Two addresses that fall into one place of the table share it by turns: the later one takes it over.
 */
#include "auth/failures.h"

#include <string.h>

void failures_init(struct failures *failures)
{
    memset(failures->seen, 0, sizeof failures->seen);
    pthread_mutex_init(&failures->lock, NULL);
}

void failures_done(struct failures *failures)
{
    pthread_mutex_destroy(&failures->lock);
}

static uint64_t key_of(struct span address)
{
    uint64_t key = UINT64_C(14695981039346656037); /* FNV-1a */
    for (size_t i = 0; i < address.len; i++)
        key = (key ^ (unsigned char)address.data[i]) * UINT64_C(1099511628211);
    return key ? key : 1;
}

/* With the lock: its place, filled up to now; a new one is full. */
static struct failures_of *place(struct failures *f, uint64_t key, int64_t now_us)
{
    struct failures_of *of = &f->seen[key % FAILURES_SEEN];
    if (of->key != key)
        *of = (struct failures_of){.key = key, .left = FAILURES_BURST, .at_us = now_us};
    if (now_us > of->at_us)
        of->left += (double)(now_us - of->at_us) * FAILURES_PER_S / 1e6;
    if (of->left > FAILURES_BURST)
        of->left = FAILURES_BURST;
    of->at_us = now_us;
    return of;
}

int failures_check(struct failures *failures, struct span address, int64_t now_us, struct err *ret_err)
{
    if (address.len == 0)
        return 0;
    uint64_t key = key_of(address);
    pthread_mutex_lock(&failures->lock);
    double left = failures->seen[key % FAILURES_SEEN].key == key ? place(failures, key, now_us)->left : 1;
    pthread_mutex_unlock(&failures->lock);
    if (left >= 1)
        return 0;
    int rc = err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "TOO_MANY_FAILURES",
                     "too many wrong tokens have come from this address");
    if (ret_err)
        ret_err->retry_after_ms = (int32_t)((1 - left) * 1000 / FAILURES_PER_S) + 1;
    return rc;
}

void failures_note(struct failures *failures, struct span address, int64_t now_us)
{
    if (address.len == 0)
        return;
    pthread_mutex_lock(&failures->lock);
    struct failures_of *of = place(failures, key_of(address), now_us);
    of->left = of->left > 1 ? of->left - 1 : 0;
    pthread_mutex_unlock(&failures->lock);
}
