/* See context_log.h. */
#include "context_log.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"

struct log_entry {
    struct log_entry *next;
    int64_t time_us;
    enum joblog_log_level level;
    size_t len;
    char text[];
};

struct log_chunk {
    struct log_chunk *next;
    uint64_t id; /* of the write that it is under way by; 0: none */
    size_t n, bytes;
    struct log_entry *first, **end;
};

static void chunk_free(struct log_chunk *chunk)
{
    while (chunk->first) {
        struct log_entry *entry = chunk->first;
        chunk->first = entry->next;
        mem_free(entry);
    }
    mem_free(chunk);
}

void log_clear(struct joblog_context *context)
{
    while (context->log) {
        struct log_chunk *chunk = context->log;
        context->log = chunk->next;
        chunk_free(chunk);
    }
    context->log_bytes = context->log_dropped = 0;
}

/* The chunk that a line of len bytes goes to. NULL: out of memory. */
static struct log_chunk *chunk_for(struct joblog_context *context, size_t len)
{
    struct log_chunk **at = &context->log, *last = NULL;
    for (; *at; at = &(*at)->next)
        last = *at;
    if (last && last->id == 0 && last->n < LOG_CHUNK_LINES && last->bytes + len <= LOG_CHUNK_BYTES)
        return last;
    struct log_chunk *chunk = mem_zalloc(sizeof *chunk);
    if (!chunk)
        return NULL;
    chunk->end = &chunk->first;
    *at = chunk;
    return chunk;
}

/* With the lock. False: out of memory. */
static bool append(struct joblog_context *context, enum joblog_log_level level, const char *text, size_t len)
{
    struct log_entry *entry = mem_alloc(sizeof *entry + len + 1);
    struct log_chunk *chunk = entry ? chunk_for(context, len) : NULL;
    if (!chunk) {
        mem_free(entry);
        return false;
    }
    entry->next = NULL;
    entry->time_us = clock_wall_us();
    entry->level = level;
    entry->len = len;
    memcpy(entry->text, text, len);
    entry->text[len] = '\0';
    *chunk->end = entry;
    chunk->end = &entry->next;
    chunk->n++;
    chunk->bytes += len;
    context->log_bytes += (int64_t)(sizeof *entry + len);
    return true;
}

/* With the lock: says how many lines were dropped. */
static void append_dropped(struct joblog_context *context)
{
    char text[100];
    int n = snprintf(text, sizeof text, "%lld lines were dropped here: they came faster than the server took them",
                     (long long)context->log_dropped);
    if (append(context, JOBLOG_LOG_WARNING, text, (size_t)n))
        context->log_dropped = 0;
}

static void add_line(struct joblog_context *context, enum joblog_log_level level, const char *text, size_t len)
{
    pthread_mutex_lock(&context->lock);
    bool room = context->log_bytes + (int64_t)len <= LOG_WAITING_MAX;
    if (room && context->log_dropped)
        append_dropped(context);
    if (!room || !append(context, level, text, len))
        context->log_dropped++;
    pthread_mutex_unlock(&context->lock);
    context->changed(context);
}

void joblog_job_log(struct joblog_context *context, enum joblog_log_level level, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    if (level < JOBLOG_LOG_DEBUG || level > JOBLOG_LOG_ERROR)
        level = JOBLOG_LOG_INFO;
    char *valid = context_text(text, LOG_TEXT_MAX);
    if (valid)
        add_line(context, level, valid, strlen(valid));
    mem_free(valid);
    free(text);
}

static struct log_chunk *next_waiting(const struct joblog_context *context)
{
    struct log_chunk *chunk = context->log;
    while (chunk && chunk->id)
        chunk = chunk->next;
    return chunk;
}

bool log_waits(struct joblog_context *context)
{
    pthread_mutex_lock(&context->lock);
    bool waits = next_waiting(context) || context->log_dropped;
    pthread_mutex_unlock(&context->lock);
    return waits;
}

/* One piece of memory: pointers, lines, times. */
static bool make_message(const struct log_chunk *chunk, struct log_message *m)
{
    struct cell {
        Joblog__V1__LogLine line;
        Google__Protobuf__Timestamp time;
    } * cells;
    m->memory = mem_alloc(chunk->n * (sizeof *cells + sizeof(Joblog__V1__LogLine *)));
    if (!m->memory)
        return false;
    cells = m->memory;
    joblog__v1__log_write__init(&m->write);
    m->write.lines = (Joblog__V1__LogLine **)(void *)(cells + chunk->n);
    for (struct log_entry *entry = chunk->first; entry; entry = entry->next, cells++) {
        joblog__v1__log_line__init(&cells->line);
        google__protobuf__timestamp__init(&cells->time);
        cells->time.seconds = entry->time_us / 1000000;
        cells->time.nanos = (int32_t)(entry->time_us % 1000000) * 1000;
        cells->line.time = &cells->time;
        cells->line.level = (Joblog__V1__LogLevel)entry->level;
        cells->line.text = entry->text;
        m->write.lines[m->write.n_lines++] = &cells->line;
    }
    return true;
}

/* Leaves in the chunk what makes a write of at most max bytes, one line at least; a chunk behind it gets the rest. When
 * memory is out it stays whole. */
static void split(struct log_chunk *chunk, size_t max)
{
    size_t n = 0, bytes = 0;
    struct log_entry **at = &chunk->first;
    for (size_t size = 0; *at; at = &(*at)->next, n++) {
        size += (*at)->len + LOG_LINE_EXTRA;
        if (n > 0 && size > max)
            break;
        bytes += (*at)->len;
    }
    struct log_chunk *rest = *at ? mem_zalloc(sizeof *rest) : NULL;
    if (!rest)
        return;
    *rest = (struct log_chunk){
        .next = chunk->next, .n = chunk->n - n, .bytes = chunk->bytes - bytes, .first = *at, .end = chunk->end};
    *at = NULL;
    chunk->next = rest;
    chunk->end = at;
    chunk->n = n;
    chunk->bytes = bytes;
}

bool log_take(struct joblog_context *context, uint64_t id, size_t max, struct log_message *ret_message)
{
    pthread_mutex_lock(&context->lock);
    struct log_chunk *chunk = next_waiting(context);
    if (!chunk && context->log_dropped) {
        append_dropped(context);
        chunk = next_waiting(context);
    }
    if (chunk && chunk->bytes + chunk->n * LOG_LINE_EXTRA > max)
        split(chunk, max);
    bool taken = chunk && make_message(chunk, ret_message);
    if (taken)
        chunk->id = id;
    pthread_mutex_unlock(&context->lock);
    return taken;
}

void log_message_done(struct log_message *message)
{
    mem_free(message->memory);
    message->memory = NULL;
}

bool log_answered(struct joblog_context *context, uint64_t id, bool again)
{
    pthread_mutex_lock(&context->lock);
    struct log_chunk **at = &context->log;
    while (*at && (*at)->id != id)
        at = &(*at)->next;
    struct log_chunk *chunk = *at;
    if (chunk && again) {
        chunk->id = 0;
    } else if (chunk) {
        *at = chunk->next;
        context->log_bytes -= (int64_t)(chunk->n * sizeof(struct log_entry) + chunk->bytes);
        chunk_free(chunk);
    }
    pthread_mutex_unlock(&context->lock);
    return chunk != NULL;
}

void log_put_back(struct joblog_context *context)
{
    pthread_mutex_lock(&context->lock);
    for (struct log_chunk *chunk = context->log; chunk; chunk = chunk->next)
        chunk->id = 0;
    pthread_mutex_unlock(&context->lock);
}
