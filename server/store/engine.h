/* Inside server/store: what the writer thread owns. Nothing here is touched by another thread but what says so.
 *
 * The life of a batch (batch.c): its commands are prepared (ids made, what must be asked is asked), the answers of the
 * database are read, then each command is planned in memory (rows to write, effects to come), the rows are sent, and
 * the whole is committed. Only then the effects are applied: leases enter or leave the map, workers get deliveries,
 * observers are told. A batch that fails leaves the memory as it was. */
#ifndef STORE_ENGINE_H
#define STORE_ENGINE_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "core/id.h"
#include "core/life.h"
#include "core/rate.h"
#include "pg/pg.h"
#include "store/change.h"
#include "store/feed.h"
#include "store/hash.h"
#include "store/lanes.h"
#include "store/row.h"
#include "store/sql_text.h"
#include "store/store.h"

struct writer;
struct lease;

/* ---- leases ---- */

struct lease {
    int64_t job_id, token;
    int64_t session_id;            /* 0: none */
    struct store_session *session; /* NULL: none, closed, or another process's */
    struct lane *lane;
    struct job_snapshot *base; /* the job as it was when the lease began or was loaded */
    /* What has changed since. */
    int64_t revision;
    struct job_progress progress; /* its texts lie in texts */
    struct cancel_request cancel; /* likewise in cancel_texts */
    struct buf texts, cancel_texts, payload;
    struct buf patches; /* texts, one after the other, each followed by a NUL; not yet written */
    int64_t expire_us;  /* of its own; 0: the session's */
    int64_t expire_written_us;
    int64_t progress_number; /* of the report that progress is of (store_progress.number) */
    struct job_rate rate;    /* for the eta */
    int64_t told_us;         /* monotonic: when the last progress that is not written was told; 0: none is */
    int64_t dirty_us;        /* since when progress waits to be written; 0: none does */
    struct lease *next_dirty, *prev_dirty;
    struct lease *prev, *next;             /* of the session */
    int64_t heard_us;                      /* monotonic: when its worker last said something about it (heartbeat.c) */
    struct lease *prev_heart, *next_heart; /* of those whose jobs have a heartbeat time-out */
    bool has_state;                        /* the job has a row in job_state */
    bool busy;                             /* the present batch ends it */
    UT_hash_handle hh;
};

struct leases {
    struct lease *map; /* by job_id */
    struct lease *dirty_head, *dirty_tail, *hearts;
    int64_t heart_look_us; /* monotonic: when the hearts are looked at next */
    int64_t checked;       /* the last one that leases_check looked at */
};

/* A lease on job (running); copies. Not in the map yet. NULL: out of memory. */
struct lease *lease_new(const struct job *job, int64_t token, struct lane *lane);
void lease_free(struct lease *lease); /* takes NULL */
struct lease *leases_find(struct writer *w, int64_t job_id);
/* Into the map, and into the list of its session. A lease on the same job that is there is forgotten. False: no memory.
 */
bool leases_add(struct writer *w, struct lease *lease);
/* Out of everything; freed. */
void leases_forget(struct writer *w, struct lease *lease);
/* The job as it is now; its texts borrow from the lease. */
void lease_job(const struct lease *lease, struct job *ret_job);
/* Forgets some of the leases that are not there any more because another replica ended them; goes through all of them,
 * a part at each call. */
void leases_check(struct writer *w, int64_t now_us);
/* What it takes of the memory, about. */
int64_t lease_bytes(const struct lease *lease);
/* Puts it into the hands of another session; session NULL: of one that is not here, by its id. */
void lease_move(struct lease *lease, int64_t session_id, struct store_session *session);
/* Is its job within the scope of who writes to it? scope NULL: yes. */
bool lease_is_within(const struct lease *lease, const struct job_scope *scope);
/* A progress report: memory only. 0 or -code. */
int lease_progress(struct writer *w, struct lease *lease, struct store_progress *cmd, struct err *ret_err);
void lease_set_cancel(struct lease *lease, const struct cancel_request *cancel);
void lease_clean(struct writer *w, struct lease *lease); /* off the list of the dirty */
/* Its progress is in the database: tells those who could not find it there. */
void lease_written(struct writer *w, struct lease *lease);
/* Tells the observer, if somebody is interested. snapshot may be NULL: it is made of job. */
void tell(struct writer *w, const struct job *job, struct job_snapshot *snapshot, bool is_transition);

/* ---- sessions (match.c) ---- */

/* A session's share in a queue, by fair queueing. */
struct queue_share {
    int32_t weight; /* at least 1 */
    double finish;  /* virtual time at which the last job taken from it is paid for */
};

struct store_session {
    int64_t id;
    struct tag *wake;
    /* Any thread. */
    struct mpsc out;
    _Atomic int64_t touch_ms;
    atomic_int n_leases;
    atomic_bool must_leave; /* somebody asked it to drain */
    atomic_bool paused;     /* somebody did that to its worker */
    /* The consumer's. */
    struct mpsc_node *taken;
    /* The writer's. */
    int32_t credit;
    int64_t held, held_max; /* bytes of its leases; no more are given from held_max on. 0: no bound */
    bool draining, closing, expired;
    bool pause_seen; /* at the present look */
    int64_t expire_written_us, start_us, pid;
    struct span version, host;
    struct lane **lanes;
    size_t n_lanes, cap_lanes, next_lane;
    struct lease *leases;
    struct span worker;
    struct span *names, *queues;
    size_t n_names, n_queues;
    struct queue_share *shares; /* one for each of queues */
    double virtual_time;        /* of the last job it took */
    struct job_scope scope;
    struct arena arena;
    struct store_session *prev, *next;
    int64_t closed_ms; /* when it was put on the list of the closed */
};

/* A session of this process by its id, NULL when there is none. */
struct store_session *session_find(struct writer *w, int64_t id);
bool session_serves(const struct store_session *session, const struct lane *lane);
/* Makes the two known to each other. False: out of memory. */
bool match_join(struct lane *lane, struct store_session *session);
void match_leave(struct store_session *session);
void match_credit(struct store_session *session, int32_t add);
/* It gives signs of life again. */
void match_revive(struct store_session *session);
void match_pause(struct store_session *session, bool paused);
/* Its leases have become so many bytes more (or fewer). */
void match_held(struct store_session *session, int64_t add);
/* What it may be given now. */
static inline int32_t session_credit(const struct store_session *s)
{
    bool paused = atomic_load_explicit(&s->paused, memory_order_relaxed);
    bool full = s->held_max > 0 && s->held >= s->held_max;

    return s->draining || s->closing || s->expired || paused || full ? 0 : s->credit;
}
/* A session of the lane with credit, in turn, and takes one credit. NULL: none. */
struct store_session *match_take(struct lane *lane);
/* False: out of memory. */
bool session_push(struct store_session *session, enum delivery_kind kind, int64_t job_id, int64_t token,
                  struct job_snapshot *snapshot /* borrowed */);

/* ---- a batch ---- */

/* A command, or a part of a dispatch. */
struct unit {
    struct store_cmd *cmd;
    uint32_t lo, hi; /* items of a dispatch */
    bool deferred;   /* the job is in the hands of an earlier command of the batch: next time */
};

enum effect_kind {
    EFFECT_DISPATCHED,   /* job */
    EFFECT_LEASED,       /* lease, not yet in the map; session or NULL */
    EFFECT_ENDED,        /* lease, job; lost */
    EFFECT_CHANGED,      /* job */
    EFFECT_CANCEL_ASKED, /* lease, job with the request */
    EFFECT_ADOPTED,      /* lease, session: its new one */
    EFFECT_WRITTEN,      /* lease: its progress */
    EFFECT_LOGGED,       /* cmd: a store_log_write */
    EFFECT_TOUCHED,      /* session, time_us: its new expiry */
    EFFECT_SESSION       /* cmd: open or close */
};

struct effect {
    enum effect_kind kind;
    const struct job *job; /* after the change */
    struct lease *lease;
    struct store_session *session;
    struct store_cmd *cmd;
    int64_t time_us;
    bool lost;
    struct effect *next;
};

/* What is sent to the database by the batch, gathered row by row. */
struct rows {
    struct pg_params job, job_extra, job_plain, waiting, scheduled, lease, lease_gone, state, state_plain, update,
        attempt, transition, cancel, lease_put, adopt, patch;
    struct pg_params unique_gone, request_turn, deadline;
    struct pg_params steer_request, request, request_find, load, ended, remove, session, session_gone, lost;
    int64_t update_lo, update_hi, patch_lo, patch_hi;
};

/* A claim that was sent: which sessions get its rows. */
struct claim {
    struct lane *lane;
    int32_t n;
    struct store_session **sessions;
    int64_t *tokens;
    bool read;
    struct queue_place last; /* of its rows; id 0: none */
    struct claim *next;
};

struct busy_id {
    int64_t id;
    UT_hash_handle hh;
};

struct request_mark {
    struct dispatch_item *item;
    struct dispatch_item *first; /* of a repeated request id in one batch */
    int32_t place;               /* in request_find, from 1 */
    struct request_mark *next;   /* all of the batch */
    UT_hash_handle hh;
};

struct batch {
    int64_t now_us;
    struct arena arena; /* all that lives as long as the batch */
    struct rows rows;
    struct effect *effects, **effects_end;
    bool failed_memory;
    /* What is asked first, in the order of sending. */
    struct pg_result *loaded, *ended;
    struct busy_id *busy;
    struct log_mark *logs; /* what its jobs log (plan_log.h) */
    struct request_mark *requests, *by_request;
    struct claim *claims, **claims_end;
    struct lane *behind; /* what claim_is_behind found, once knows_behind */
    bool knows_behind;
    struct pg_result *removed, *lost;
    struct pg_param *lost_sessions; /* in rows.lost: whose leases end now */
    bool sent_lost, sent_promote, want_lost;
    struct pg_result *late;    /* deadlines that are due */
    struct pg_result *arrived; /* jobs that were dispatched from SQL */
    int64_t *silent;           /* jobs whose heartbeat time-out is over, as far as memory knows */
    size_t n_silent;
    bool spoilt;               /* upkeep came upon a job that a command of the batch is about: without upkeep, then */
    bool want_unique;          /* a dispatch has a unique key, or a job that has one is put back */
    struct unique_ask *unique; /* plan_unique.c */
    int n_sent;                /* statements that change something */
    /* Its statements for counters. */
    bool sent_minute_past, sent_minute_set, sent_minute_put, sent_tally_set, sent_tally_put;
    bool owes;     /* it has none: w->owed has what they would say */
    bool pays;     /* they say what was owed, too */
    bool by_place; /* some row was written by where it lies */
};

/* ---- the writer ---- */

struct store {
    struct store_options options;
    char *uri;
    struct mpsc in;
    int wake_fd;
    atomic_uint n_queued;
    atomic_llong write_wait_us, read_wait_us; /* of what was taken last; 0: nothing waits */
    atomic_llong write_ahead_us;              /* what waits behind the batch under way will take */
    atomic_llong batch_since_us;              /* monotonic; 0: none is under way, or the database is away */
    atomic_bool closing, hurried;
    pthread_t writer_thread;
    struct writer *writer;
    struct readers *readers;
    struct feed *feed;
    struct janitor *janitor;
    atomic_bool look;    /* another replica did something that concerns the writer */
    atomic_bool arrived; /* somebody dispatched from SQL */
};

void store_arrived(struct store *store); /* any thread: jobs were dispatched from SQL */
void store_look(struct store *store);    /* any thread: the writer looks at what other replicas did, soon */

struct writer {
    struct store *store;
    const struct store_options *options;
    struct pg_conn *pg;
    int backend_pid;
    unsigned claim_turn;
    int replica;          /* -1 before the first connection */
    int64_t batch_number; /* of the last batch that is committed */
    uint64_t mark_place;  /* of the replica's row, as in struct lane */
    int64_t last_id;
    struct id_maker ids;
    uint64_t random;
    struct lanes lanes;
    struct leases leases;
    struct store_session *sessions, *closed;
    struct batch batch;
    /* Commands in order of arrival, but the n_light light ones first. */
    struct mpsc_node *pending, **light_end, **pending_end;
    size_t n_pending, n_light;
    int64_t n_reports; /* of progress, that have arrived */
    int64_t batch_us;  /* what the last one took */
    struct unit *units;
    size_t n_units, cap_units;
    /* When these are due, by the wall clock. */
    int64_t due_deadline_us;
    int64_t due_sched_us, due_tick_us, due_look_us, due_seen_us, due_partitions_us, due_orphans_us, due_hint_us,
        due_changes_us;
    bool arrivals;         /* jobs dispatched from SQL may wait to be taken up */
    int64_t not_before_us; /* upkeep that failed rests until then */
    int64_t cancel_seen_us;
    int64_t *expired; /* sessions that the table shows as expired, with leases */
    size_t n_expired;
    int64_t expired_rest_us; /* monotonic: they are not looked for before */
    bool others;             /* other replicas are alive */
    bool planning;           /* what is told now comes with the batch that is being made */
    struct span *paused;     /* queues (pause.h) */
    size_t n_paused;
    bool asks_requests; /* this batch asks who holds its request ids instead of taking them for new */
    bool hasty;   /* a lock was waited for in vain: until the batch's units are done none is waited for as long again */
    bool final;   /* the last batch: only writes what waits in memory */
    bool unknown; /* leases may stand that memory does not know: of a batch whose fate is unknown, or it ran out */
    struct pg_params params;
    struct buf changes; /* of the batch, for the log */
    struct buf owed;    /* owed.c */
    /* How much of the log lies behind which batch (note.c): a ring, the oldest first. */
    int64_t change_marks[CHANGES_MARKS], change_bytes, changes_gone; /* bytes since the last mark; first batch left */
    size_t n_change_marks;
};
static inline int64_t lease_timeout_us(const struct writer *w)
{
    return w->options->lease_timeout_ms * 1000;
}
/* Connects, prepares, takes a replica number, loads what is kept in memory. A process that had a number before gets it
 * again if it is free, and when keep_number is set no other. */
int writer_connect(struct writer *w, bool keep_number, struct err *ret_err);
/* Gives the number back; the connection is about to end. */
void writer_leave(struct writer *w);
void *writer_main(void *writer);
double writer_random(struct writer *w); /* [0, 1) */

/* Runs the units to their end: the errors of commands and items are filled. */
void batch_process(struct writer *w, struct unit *units, size_t n, bool upkeep);
/* Once. 0, or -code with nothing done; ABORTED with reason DATABASE_RECONNECTED: run it again. */
int batch_run(struct writer *w, struct unit *units, size_t n, bool upkeep, struct err *ret_err);
void batch_done(struct batch *b);
struct effect *batch_effect(struct writer *w, enum effect_kind kind);
/* A shallow copy that lives as long as the batch. NULL: out of memory (the batch fails). */
struct job *batch_job(struct writer *w, const struct job *job);
/* Marks a job as being changed by this batch. False when it is already: the command must wait for the next. */
bool batch_own(struct writer *w, int64_t job_id);
/* The same for the job of a command, if it changes one that was there before. */
bool batch_takes(struct writer *w, const struct store_cmd *cmd);

/* Fills w->changes from the effects (note.c). */
void note_changes(struct writer *w);
void note_committed(struct writer *w); /* the batch that they are of, batch_number */
void note_forget(struct writer *w);    /* the numbers of the batches are others now */
/* Deletes what nobody may ask for any more, a part of it. True: there may be more. */
bool note_purge(struct writer *w, int64_t now_us);

/* ---- rows of the batch (rows.c, rows_job.c, rows_state.c) ---- */

void rows_clear(struct rows *r);
void rows_done(struct rows *r);
void rows_send(struct writer *w);
/* Once there are a good many jobs to insert: those now, while the rest of the batch is gathered. */
void rows_send_early(struct writer *w);
void put_job(struct writer *w, const struct job *job, const struct lane *lane);
/* Into waiting, or into scheduled when its time lies ahead. */
void put_pending(struct writer *w, const struct job *job, struct lane *lane, bool has_state);
void put_lease(struct writer *w, const struct lease *lease, const struct job *job);
void put_lease_gone(struct writer *w, const struct lease *lease);
/* The job after a change. stored_status: what a row in job_state must have; 0: there is no row yet. */
void put_state(struct writer *w, const struct job *job, const struct lane *lane, int stored_status, int64_t token);
void put_attempt(struct writer *w, const struct job *job, enum attempt_outcome outcome, int64_t end_us,
                 const struct job_error *error);
void put_transition(struct writer *w, const struct job *job, int from, struct span actor, struct span reason,
                    struct span request_id);
void put_cancel(struct writer *w, int64_t job_id, int64_t token, int64_t revision, const struct cancel_request *cancel,
                struct span request_id);
void put_adoption(struct writer *w, const struct lease *lease, const struct store_session *session);
void put_session(struct writer *w, const struct store_session *s, int64_t expire_us);
void put_session_gone(struct writer *w, int64_t session_id);
void put_lost_session(struct writer *w, int64_t session_id);
void put_patches(struct writer *w, const struct lease *lease);
void put_progress(struct writer *w, const struct lease *lease);

/* ---- steps of a batch by kind of command ---- */

void dispatch_prepare(struct writer *w, struct unit *u);
bool dispatch_lanes(struct writer *w, struct unit *units, size_t n, struct err *ret_err);
void dispatch_answers(struct writer *w, const struct pg_result *found);
void dispatch_plan(struct writer *w, struct unit *u);
/* A new job whose row is there: to a worker that waits, or in line. */
void dispatch_place(struct writer *w, struct dispatch_item *item, struct lane *lane);
/* Jobs that were dispatched from SQL (plan_arrival.c). */
void arrival_send(struct writer *w);
void arrival_plan(struct writer *w);
void dispatch_settle(struct writer *w); /* repeated request ids in the batch, after the commit */
/* Takes the unique keys of the batch's jobs, after it is known which request ids are new: a round trip of its own, when
 * there are any. Items that do not get theirs have an error, or are `existing`, afterwards. */
void unique_prepare(struct writer *w, struct dispatch_item *item); /* one with a key */
void unique_take(struct writer *w, struct unit *units, size_t n);
void unique_release(struct writer *w, const struct job *job); /* if it holds one in this scope */
void unique_settle(struct writer *w);                         /* after the commit */
/* Settles who gets how many jobs of which lane; asks the database when several lanes have some. */
void claim_settle(struct writer *w);
void claim_send(struct writer *w);
/* May jobs be waiting there that somebody could take? */
bool claim_wanted(const struct lane *lane);
/* Adds a claim of n places for these sessions, whose credit has been taken. False: no memory, the credit is given back.
 */
bool claim_of(struct writer *w, struct lane *lane, struct store_session *const *sessions, int32_t n);
/* Do jobs wait in the queue of the lane, under whatever name, that a session with credit could take? */
bool claim_is_behind(struct writer *w, const struct lane *of);
/* The claims of several lanes (order.c). */
void order_claims(struct writer *w, size_t n_lanes);
void claim_read(struct writer *w);
void claim_applied(struct writer *w);
void claim_drop(struct writer *w);
/* The next claim of the lane looks from the start. */
void claim_from_start(struct lane *lane);
/* A job was put there: claims must not look behind it only. */
void claim_note_put(struct lane *lane, struct queue_place place);
/* How large a lease on a job of the lane may be, by the latest; the lane learns of another. What a batch may claim. */
int64_t claim_row_bytes(const struct lane *lane);
void claim_note_bytes(struct lane *lane, int64_t bytes);
int64_t claim_bytes_max(const struct writer *w);
/* Time-outs (plan_deadline.c): notes when to look at a job that waits, at an attempt that begins. */
void deadline_of_start(struct writer *w, const struct job *job);
void deadline_of_run(struct writer *w, const struct job *job, int64_t token);
void deadline_send(struct writer *w);
void deadline_plan(struct writer *w);
void expire_plan(struct writer *w, const struct pg_result *r, int row); /* a job that was never started */
extern const struct job_error run_timeout, heartbeat_timeout;
/* An attempt that failed by a time-out: one of the two. */
void timeout_plan(struct writer *w, struct lease *lease, const struct job_error *timeout);
void finish_prepare(struct writer *w, struct unit *u);
void finish_plan(struct writer *w, struct unit *u);
/* Ends a lease by loss or release, of whatever process. */
void lost_plan(struct writer *w, struct lease *lease, enum attempt_outcome outcome);
/* May the lease have been written through another process, so that its row is asked first? Does the progress move it to
 * another session, which needs a commit? */
bool lease_is_shared(const struct writer *w, const struct lease *lease);
bool progress_moves(struct writer *w, const struct lease *lease, const struct store_progress *cmd);
void progress_plan(struct writer *w, struct unit *u);
void steer_prepare(struct writer *w, struct unit *u);
void cancel_plan(struct writer *w, struct unit *u);
void retry_plan(struct writer *w, struct unit *u);
void session_open_plan(struct writer *w, struct unit *u);
void session_close_prepare(struct writer *w, struct unit *u);
void session_close_plan(struct writer *w, struct unit *u);
void session_applied(struct writer *w, struct store_cmd *cmd);
void session_failed(struct writer *w, struct store_cmd *cmd);
void session_free(struct store_session *s);
/* The row of a job in the answers; -1 when there is none. */
int loaded_row(const struct pg_result *r, int64_t job_id);
/* The lease of a loaded row, in the map; NULL when the job runs not or memory is out. */
struct lease *loaded_lease(struct writer *w, const struct pg_result *r, int row);

/* ---- upkeep (upkeep.c) ---- */
/* Looks at the database, in transactions of its own: other replicas' lanes, jobs and cancels, expired sessions. */
void upkeep_tick(struct writer *w, int64_t now_us);
bool upkeep_due(struct writer *w, int64_t now_us); /* is there something for a batch besides commands? */
void upkeep_prepare(struct writer *w);
void upkeep_promoted(struct writer *w, const struct pg_result *r);
void upkeep_plan(struct writer *w, bool upkeep);
void lease_write(struct writer *w, struct lease *l); /* progress and patches, with the batch */
void upkeep_look(struct writer *w, int64_t now_us);  /* at jobs and cancels of other replicas, between two ticks */
/* When to look again, at the latest. */
int64_t upkeep_next_us(struct writer *w);
/* Could some session take a job that may be waiting? */
bool claim_possible(struct writer *w);

/* ---- migrations (migrate.c), statements (connect.c), readers (reader.c) ---- */

int migrate(struct pg_conn *pg, struct err *ret_err);
int prepare_all(struct pg_conn *pg, bool for_writer, struct err *ret_err);
static inline const char *sql_name(enum sql_id id)
{
    return sql_texts[id].name;
}
int readers_start(struct store *store, struct err *ret_err);
void readers_stop(struct store *store); /* after they have done what was asked */
void readers_submit(struct store *store, struct store_cmd *cmd);
struct stats_cache;
struct stats_cache *readers_stats(const struct store *store); /* of all readers */

#endif
