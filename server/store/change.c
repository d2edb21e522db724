/* See change.h. Pure. */
#include "store/change.h"

#include <string.h>

enum { FLAG_TRANSITION = 1 };

void change_put(struct buf *buf, const struct change *c)
{
    buf_add_be64(buf, (uint64_t)c->job_id);
    buf_add_be64(buf, (uint64_t)c->revision);
    buf_add_be64(buf, (uint64_t)c->time_us);
    buf_add_be32(buf, (uint32_t)c->attempt);
    buf_add_char(buf, (char)c->status);
    buf_add_char(buf, (char)(c->is_transition ? FLAG_TRANSITION : 0));
    buf_add_char(buf, (char)c->retried_from);
    buf_add_char(buf, 0);
}

static uint64_t get_be(const char *data, int n)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++)
        v = v << 8 | (unsigned char)data[i];
    return v;
}

size_t change_count(struct span entries)
{
    return entries.len % CHANGE_BYTES == 0 ? entries.len / CHANGE_BYTES : 0;
}

struct change change_at(struct span entries, size_t i)
{
    const char *at = entries.data + i * CHANGE_BYTES;
    return (struct change){.job_id = (int64_t)get_be(at, 8),
                           .revision = (int64_t)get_be(at + 8, 8),
                           .time_us = (int64_t)get_be(at + 16, 8),
                           .attempt = (int32_t)get_be(at + 24, 4),
                           .status = (enum job_status)at[28],
                           .is_transition = at[29] & FLAG_TRANSITION,
                           .retried_from = (enum job_status)at[30]};
}

int change_compare(const void *pa, const void *pb)
{
    const struct change *a = pa, *b = pb;
    if (a->job_id != b->job_id)
        return a->job_id < b->job_id ? -1 : 1;
    return (a->revision > b->revision) - (a->revision < b->revision);
}

bool change_is_present(const struct change *c, const struct job *now)
{
    return now->revision >> JOB_REVISION_SHIFT <= c->revision >> JOB_REVISION_SHIFT;
}

void change_rewind(const struct change *c, struct job *job)
{
    bool same_attempt = job->attempt == c->attempt;

    job->attempt = c->attempt;
    job->status = c->status;
    job->revision = c->revision;
    job->progress = (struct job_progress){0};
    job->cancel = (struct cancel_request){0};
    job->error = (struct job_error){.type = {NULL, 0}};
    job->result = (struct span){NULL, 0};
    job->end_us = job_status_is_final(c->status) ? c->time_us : 0;
    if (c->status == JOB_RUNNING)
        job->start_us = c->time_us;
    else if (c->attempt == 0)
        job->start_us = 0;
    if (!same_attempt || c->status == JOB_PENDING)
        job->worker = (struct span){NULL, 0};
}
