/* See limits.h. */
#include "core/limits.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"

#define uthash_malloc(size)  mem_alloc(size)
#define uthash_free(p, size) mem_free(p)
#define HASH_NONFATAL_OOM    1
#include <uthash.h>

/* Callers known at a time, in each part of the table. One that has nothing under way and a full bucket is forgotten
 * when there is no room; with this many busy ones a further caller is a flood of invented ones. Some 200 bytes each. */
enum { PARTS = 16, CALLERS_MAX = 4096 };
/* One line a caller in this time, with how often it was refused meanwhile. */
enum { LOG_PAUSE_US = 10 * 1000 * 1000 };
/* How many turns one end gives when nobody else calls any more, so that not all come at once. */
enum { TURNS_ALONE = 4 };
enum { SECOND_US = 1000000, BUSY_RETRY_MS = 1000, HARD_FACTOR = 4 };

struct user {
    UT_hash_handle hh;
    double tokens;
    int64_t filled_us, logged_us;
    uint64_t refused; /* since the last line */
    bool logged;
    int64_t under_way[LIMITS_KINDS]; /* with those that wait for their turn */
    int64_t waiting;
    struct limits_turn *turns, **turns_end;
    size_t key_len;
    char key[];
};

struct part {
    pthread_mutex_t lock;
    struct user *users;
};

struct limits {
    struct limits_rules rules;
    struct part parts[PARTS];
    /* Unary calls under way without those that wait for their turn; these; and callers that have some. */
    atomic_llong n_calls, n_waiting, n_busy;
    atomic_llong shared_us; /* when several callers last had some */
    atomic_ullong refused[LIMITS_KINDS], refused_rate, refused_overload, turns;
};

struct limits *limits_new(const struct limits_rules *rules)
{
    struct limits *limits = mem_zalloc(sizeof *limits);
    if (!limits)
        return NULL;
    limits->rules = *rules;
    if (limits->rules.burst == 0)
        limits->rules.burst = limits->rules.calls_per_s;
    for (size_t i = 0; i < PARTS; i++)
        pthread_mutex_init(&limits->parts[i].lock, NULL);
    return limits;
}

void limits_free(struct limits *limits)
{
    if (!limits)
        return;
    for (size_t i = 0; i < PARTS; i++) {
        struct user *u, *next;
        HASH_ITER(hh, limits->parts[i].users, u, next)
        {
            HASH_DEL(limits->parts[i].users, u);
            mem_free(u);
        }
        pthread_mutex_destroy(&limits->parts[i].lock);
    }
    mem_free(limits);
}

static struct part *part_of(struct limits *limits, struct span key)
{
    unsigned hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < key.len; i++)
        hash = (hash ^ (unsigned char)key.data[i]) * 16777619u;
    return &limits->parts[hash % PARTS];
}

static struct user *find(const struct part *part, struct span key)
{
    struct user *u;
    HASH_FIND(hh, part->users, key.data, key.len, u);
    return u;
}

static void fill(const struct limits *limits, struct user *u, int64_t now_us)
{
    int64_t passed = now_us > u->filled_us ? now_us - u->filled_us : 0;
    u->tokens += (double)passed * (double)limits->rules.calls_per_s / SECOND_US;
    if (u->tokens > (double)limits->rules.burst)
        u->tokens = (double)limits->rules.burst;
    u->filled_us = now_us;
}

static bool is_idle(const struct limits *limits, struct user *u, int64_t now_us)
{
    for (size_t i = 0; i < LIMITS_KINDS; i++)
        if (u->under_way[i])
            return false;
    fill(limits, u, now_us);
    return u->tokens >= (double)limits->rules.burst;
}

static void forget_idle(const struct limits *limits, struct part *part, int64_t now_us)
{
    struct user *u, *next;
    HASH_ITER(hh, part->users, u, next)
    {
        if (is_idle(limits, u, now_us)) {
            HASH_DEL(part->users, u);
            mem_free(u);
        }
    }
}

/* NULL: no room, or out of memory. */
static struct user *get(const struct limits *limits, struct part *part, struct span key, int64_t now_us)
{
    struct user *u = find(part, key);
    if (u)
        return u;
    if (HASH_COUNT(part->users) >= CALLERS_MAX)
        forget_idle(limits, part, now_us);
    if (HASH_COUNT(part->users) >= CALLERS_MAX)
        return NULL;
    u = mem_zalloc(sizeof *u + key.len);
    if (!u)
        return NULL;
    memcpy(u->key, key.data, key.len);
    u->key_len = key.len;
    u->turns_end = &u->turns;
    u->tokens = (double)limits->rules.burst;
    u->filled_us = now_us;
    HASH_ADD_KEYPTR(hh, part->users, u->key, key.len, u);
    if (!u->hh.tbl) {
        mem_free(u);
        return NULL;
    }
    return u;
}

static int refuse(const char *reason, int64_t retry_ms, struct err *ret_err, const char *what, int64_t limit)
{
    char text[128];
    snprintf(text, sizeof text, what, limit);
    int rc = err_set(ret_err, ERR_RESOURCE_EXHAUSTED, reason, "%s", text);
    if (ret_err)
        ret_err->retry_after_ms = (int32_t)(retry_ms > 1 ? retry_ms : 1);
    return rc;
}

/* An even share of the calls under way. */
static int64_t share(const struct limits *limits, int64_t *ret_all)
{
    int64_t busy = atomic_load_explicit(&limits->n_busy, memory_order_relaxed);
    *ret_all = atomic_load_explicit(&limits->n_calls, memory_order_relaxed);
    return *ret_all / (busy > 0 ? busy : 1);
}

static int check_load(struct limits *limits, const struct user *u, int64_t wait_ms, struct err *ret_err)
{
    int64_t max = limits->rules.max_wait_ms, all, even = share(limits, &all);
    if (max == 0 || wait_ms <= max || all < LIMITS_FEW)
        return 0;
    if (wait_ms <= HARD_FACTOR * max && u->under_way[LIMITS_CALL] < even)
        return 0;
    atomic_fetch_add_explicit(&limits->refused_overload, 1, memory_order_relaxed);
    return refuse("OVERLOADED", wait_ms, ret_err,
                  "the server cannot keep up: calls wait for the database for longer than %" PRId64 " ms (max-wait-ms)",
                  max);
}

static int check_count(struct limits *limits, const struct user *u, enum limits_kind kind, struct err *ret_err)
{
    static const struct {
        const char *reason, *what;
    } texts[] = {
        [LIMITS_CALL] = {"TOO_MANY_CALLS", "the caller has its %" PRId64 " calls under way (caller-calls)"},
        [LIMITS_STREAM] = {"TOO_MANY_STREAMS", "the caller has its %" PRId64 " streams open (caller-streams)"},
        [LIMITS_SESSION] = {"TOO_MANY_SESSIONS",
                            "the caller has its %" PRId64 " streams of workers open (caller-sessions)"},
    };
    int64_t max = kind == LIMITS_CALL     ? limits->rules.calls
                  : kind == LIMITS_STREAM ? limits->rules.streams
                                          : limits->rules.sessions;
    if (max == 0 || u->under_way[kind] < max)
        return 0;
    atomic_fetch_add_explicit(&limits->refused[kind], 1, memory_order_relaxed);
    return refuse(texts[kind].reason, BUSY_RETRY_MS, ret_err, texts[kind].what, max);
}

static int check_rate(struct limits *limits, struct user *u, int64_t now_us, struct err *ret_err)
{
    int64_t rate = limits->rules.calls_per_s;
    if (rate == 0)
        return 0;
    fill(limits, u, now_us);
    if (u->tokens >= 1) {
        u->tokens -= 1;
        return 0;
    }
    atomic_fetch_add_explicit(&limits->refused_rate, 1, memory_order_relaxed);
    return refuse("RATE_LIMITED", (int64_t)((1 - u->tokens) * 1000 / (double)rate) + 1, ret_err,
                  "the caller makes more than %" PRId64 " calls a second (caller-calls-per-second)", rate);
}

/* With the lock. */
static void note_refused(struct user *u, const struct err *err, int64_t now_us)
{
    u->refused++;
    if (u->logged && now_us - u->logged_us < LOG_PAUSE_US)
        return;
    log_warning("calls refused caller=%.*s reason=%s refused=%" PRIu64 " text=\"%s\"", (int)u->key_len, u->key,
                err->reason, u->refused, err->msg);
    u->logged = true;
    u->logged_us = now_us;
    u->refused = 0;
}

static void begin(struct limits *limits, struct user *u, enum limits_kind kind, int64_t now_us)
{
    if (u->under_way[kind]++ == 0 && kind == LIMITS_CALL)
        atomic_fetch_add_explicit(&limits->n_busy, 1, memory_order_relaxed);
    if (kind != LIMITS_CALL)
        return;
    atomic_fetch_add_explicit(&limits->n_calls, 1, memory_order_relaxed);
    if (atomic_load_explicit(&limits->n_busy, memory_order_relaxed) > 1)
        atomic_store_explicit(&limits->shared_us, now_us, memory_order_relaxed);
}

void limits_make_way(struct limits *limits, int64_t now_us)
{
    if (atomic_load_explicit(&limits->n_busy, memory_order_relaxed) > 0)
        atomic_store_explicit(&limits->shared_us, now_us, memory_order_relaxed);
}

bool limits_are_shared(const struct limits *limits, int64_t now_us)
{
    int64_t at = atomic_load_explicit(&limits->shared_us, memory_order_relaxed);
    return atomic_load_explicit(&limits->n_busy, memory_order_relaxed) > 1 || (at != 0 && now_us - at < SECOND_US);
}

/* How many of a caller's calls are served at a time. */
static int64_t at_once(const struct limits *limits)
{
    int64_t busy = atomic_load_explicit(&limits->n_busy, memory_order_relaxed);
    int64_t each = LIMITS_AT_ONCE / (busy > 2 ? busy : 2);
    return each > LIMITS_AT_LEAST ? each : LIMITS_AT_LEAST;
}

/* Would one more call have to wait? With the lock. */
static bool must_wait(const struct limits *limits, const struct user *u, int64_t now_us)
{
    return u->under_way[LIMITS_CALL] - u->waiting >= at_once(limits) && limits_are_shared(limits, now_us);
}

static int check_turns(struct limits *limits, const struct user *u, int64_t now_us, struct err *ret_err)
{
    int64_t all = atomic_load_explicit(&limits->n_waiting, memory_order_relaxed);
    if ((u->waiting < LIMITS_TURNS_OF_ONE && all < LIMITS_TURNS) || !must_wait(limits, u, now_us))
        return 0;
    atomic_fetch_add_explicit(&limits->refused[LIMITS_CALL], 1, memory_order_relaxed);
    return refuse("TOO_MANY_CALLS", BUSY_RETRY_MS, ret_err,
                  "%" PRId64 " calls of the caller wait for their turn already", u->waiting);
}

/* The call has begun. With the lock. */
static void wait_in_turn(struct limits *limits, struct user *u, struct limits_turn *turn)
{
    turn->next = NULL;
    *u->turns_end = turn;
    u->turns_end = &turn->next;
    u->waiting++;
    atomic_fetch_add_explicit(&limits->n_waiting, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&limits->n_calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&limits->turns, 1, memory_order_relaxed);
}

/* With the lock. The turns, to be posted without it. */
static struct limits_turn *take_turns(struct limits *limits, struct user *u, int64_t now_us)
{
    int64_t served = u->under_way[LIMITS_CALL] - u->waiting, n = at_once(limits) - served;
    if (!limits_are_shared(limits, now_us))
        n = TURNS_ALONE;
    struct limits_turn *taken = NULL, **end = &taken;
    for (; n > 0 && u->turns; n--) {
        *end = u->turns;
        end = &u->turns->next;
        u->turns = u->turns->next;
        u->waiting--;
        atomic_fetch_sub_explicit(&limits->n_waiting, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&limits->n_calls, 1, memory_order_relaxed);
    }
    *end = NULL;
    if (!u->turns)
        u->turns_end = &u->turns;
    return taken;
}

int limits_enter(struct limits *limits, struct span key, enum limits_kind kind, bool eases, int64_t wait_ms,
                 int64_t now_us, struct limits_turn *turn, bool *ret_light, struct err *ret_err)
{
    int64_t all;
    struct part *part = part_of(limits, key);
    struct err err = ERR_NONE;
    pthread_mutex_lock(&part->lock);
    struct user *u = get(limits, part, key, now_us);
    int rc = u ? 0
               : refuse("TOO_MANY_CALLERS", BUSY_RETRY_MS, &err, "more than %" PRId64 " callers at a time",
                        (int64_t)PARTS * CALLERS_MAX);
    bool in_turn = kind == LIMITS_CALL && turn;
    if (u && (rc = check_count(limits, u, kind, &err)) == 0 &&
        (!in_turn || (rc = check_turns(limits, u, now_us, &err)) == 0) &&
        (rc = check_rate(limits, u, now_us, &err)) == 0 &&
        (eases || (rc = check_load(limits, u, wait_ms, &err)) == 0)) {
        *ret_light = u->under_way[LIMITS_CALL] < share(limits, &all) / 2;
        rc = in_turn && must_wait(limits, u, now_us) ? LIMITS_WAIT : 0;
        begin(limits, u, kind, now_us);
        if (rc == LIMITS_WAIT)
            wait_in_turn(limits, u, turn);
    }
    if (u && rc < 0)
        note_refused(u, &err, now_us);
    pthread_mutex_unlock(&part->lock);
    if (rc < 0 && ret_err)
        *ret_err = err;
    return rc;
}

void limits_leave(struct limits *limits, struct span key, enum limits_kind kind, int64_t now_us)
{
    struct part *part = part_of(limits, key);
    struct limits_turn *turns = NULL;
    pthread_mutex_lock(&part->lock);
    struct user *u = find(part, key);
    if (u && u->under_way[kind] > 0) {
        if (--u->under_way[kind] == 0 && kind == LIMITS_CALL)
            atomic_fetch_sub_explicit(&limits->n_busy, 1, memory_order_relaxed);
        if (kind == LIMITS_CALL)
            atomic_fetch_sub_explicit(&limits->n_calls, 1, memory_order_relaxed);
    }
    if (u && u->turns)
        turns = take_turns(limits, u, now_us);
    pthread_mutex_unlock(&part->lock);
    while (turns) {
        struct tag *tag = turns->tag;
        turns = turns->next; /* which may be gone after the post */
        tag_post(tag, true);
    }
}

void limits_read(struct limits *limits, struct limits_counts *ret)
{
    *ret = (struct limits_counts){.rate = atomic_load(&limits->refused_rate),
                                  .calls = atomic_load(&limits->refused[LIMITS_CALL]),
                                  .streams = atomic_load(&limits->refused[LIMITS_STREAM]),
                                  .sessions = atomic_load(&limits->refused[LIMITS_SESSION]),
                                  .overload = atomic_load(&limits->refused_overload),
                                  .turns = atomic_load(&limits->turns)};
    for (size_t i = 0; i < PARTS; i++) {
        pthread_mutex_lock(&limits->parts[i].lock);
        ret->callers += HASH_COUNT(limits->parts[i].users);
        pthread_mutex_unlock(&limits->parts[i].lock);
    }
}
