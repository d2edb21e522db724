/* See body_hash.h. It tells slips apart, not enemies: a caller who looks for a collision finds a replay of his own job.
 * Pure. http://www.isthe.com/chongo/tech/comp/fnv/ */
#include "rpc/body_hash.h"

#include <string.h>

struct fnv {
    unsigned __int128 h;
};

static void add(struct fnv *f, const void *data, size_t len)
{
    const unsigned __int128 prime = ((unsigned __int128)1 << 88) + 0x13b;
    const unsigned char *p = data;
    for (size_t i = 0; i < len; i++)
        f->h = (f->h ^ p[i]) * prime;
}

/* With its length, so that neighbours cannot trade bytes. */
static void add_text(struct fnv *f, struct span s)
{
    uint64_t len = s.len;
    add(f, &len, sizeof len);
    add(f, s.data, s.len);
}

static void add_int(struct fnv *f, int64_t v)
{
    add(f, &v, sizeof v);
}

static void add_double(struct fnv *f, double v)
{
    double plain = v == 0 ? 0 : v; /* -0 equals 0 */
    add(f, &plain, sizeof plain);
}

static struct fnv fnv_start(void)
{
    return (struct fnv){.h = (unsigned __int128)UINT64_C(0x6c62272e07bb0142) << 64 | UINT64_C(0x62b821756295c58d)};
}

void steer_hash(const char *method, int64_t job_id, struct span reason, uint64_t filter_hash, uint8_t ret_hash[16])
{
    struct fnv f = fnv_start();
    add_text(&f, span_str(method));
    add_int(&f, job_id);
    add_text(&f, reason);
    add_int(&f, (int64_t)filter_hash);
    memcpy(ret_hash, &f.h, 16);
}

void run_hash(struct span run_id, uint8_t ret_hash[16])
{
    struct fnv f = fnv_start();
    add_text(&f, run_id);
    memcpy(ret_hash, &f.h, 16);
}

void body_hash(const struct job *job, int on_conflict, bool started, uint8_t ret_hash[16])
{
    struct fnv f = fnv_start();
    const struct span texts[] = {job->name,        job->queue,   job->source_type,
                                 job->source_id,   job->owner,   job->batch,
                                 job->traceparent, job->payload, started ? job->worker : (struct span){NULL, 0}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        add_text(&f, texts[i]);
    add_int(&f, (int64_t)job->n_labels);
    for (size_t i = 0; i < job->n_labels; i++) {
        add_text(&f, job->labels[i].key);
        add_text(&f, job->labels[i].value);
    }
    add_int(&f, started);
    add_int(&f, job->priority);
    add_int(&f, job->run_us);
    add_int(&f, job->retry.max_attempts);
    add_int(&f, job->retry.initial_backoff_us);
    add_int(&f, job->retry.max_backoff_us);
    add_double(&f, job->retry.multiplier);
    add_double(&f, job->retry.jitter);
    if (job->retry.backoff > BACKOFF_EXPONENTIAL) {
        add_int(&f, job->retry.backoff);
        add_int(&f, (int64_t)job->retry.n_delays);
        for (size_t i = 0; i < job->retry.n_delays; i++)
            add_int(&f, job->retry.delays_us[i]);
    }
    if (job->start_timeout_us || job->run_timeout_us) {
        add_int(&f, job->start_timeout_us);
        add_int(&f, job->run_timeout_us);
    }
    if (job->heartbeat_timeout_us) {
        add_text(&f, SPAN_LIT("heartbeat"));
        add_int(&f, job->heartbeat_timeout_us);
    }
    if (job->unique.key.len > 0) {
        add_text(&f, job->unique.key);
        add_int(&f, job->unique.scope);
        add_int(&f, job->unique.period_us);
        add_int(&f, on_conflict);
    }
    memcpy(ret_hash, &f.h, 16);
}
