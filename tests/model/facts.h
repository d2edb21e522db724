/* What the actors of the model check saw, each in lists of its own (no locks), compared when all is over. */
#ifndef MODEL_FACTS_H
#define MODEL_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A list: elements, how many, room for how many. */
#define LIST(type)                                                                                                     \
    struct {                                                                                                           \
        type *at;                                                                                                      \
        size_t n, cap;                                                                                                 \
    }
/* Room for one more, zeroed; valid until the next. */
#define list_add(list)                                                                                                 \
    ((list)->at = list_room((list)->at, &(list)->n, &(list)->cap, sizeof *(list)->at), &(list)->at[(list)->n - 1])
void *list_room(void *at, size_t *n, size_t *cap, size_t size);

/* What came of a call or a write in the end, over all the times it was sent. */
enum answer { ANSWER_UNKNOWN, ANSWER_OK, ANSWER_REFUSED };

/* One dispatch; it may have been sent several times when it has a request id. */
struct call_fact {
    uint64_t call;  /* its number: also a label of the job */
    int64_t id;     /* of the job that was the answer */
    int64_t run_us; /* run time asked for; 0: none. Kept, so that a replay is the same */
    enum answer answer;
    bool has_request_id, existing, own; /* own: by StartJob */
};

enum steer { STEER_CANCEL, STEER_RETRY };

struct steer_fact {
    uint64_t call; /* its request id */
    int64_t id;
    enum steer kind;
    enum answer answer;
};

enum write_kind { WRITE_PROGRESS, WRITE_COMPLETE, WRITE_FAIL, WRITE_CANCELLED, WRITE_RELEASE, WRITE_SNOOZE };

/* One time that a worker wrote. */
struct write_fact {
    int64_t id, token;
    int32_t attempt;
    enum write_kind kind;
    enum answer answer;
    int mark;        /* of a progress: what its patch set "p<attempt>" to */
    int status;      /* told with the answer; 0: it was not */
    int64_t sent_us; /* wall clock */
    char worker[16];
};

struct lease_fact {
    int64_t id, token, got_us;
    int32_t attempt;
    char worker[16];
};

/* One job in a message of a watch. */
struct event_fact {
    int64_t id, revision;
    int status;
};

enum watch_begin { BEGIN_NOWHERE, BEGIN_AFTER_REVISION, BEGIN_AT_POINT };

/* One stream of a watch; its events follow one another in the actor's list. */
struct stream_fact {
    size_t first, n;   /* events */
    size_t n_snapshot; /* of these, before snapshot_end */
    enum watch_begin begin;
    int64_t snapshot_us; /* wall clock when snapshot_end came; 0: it did not */
    int64_t one_job;     /* id: a WatchJob; 0: a WatchJobs */
    bool ended_ok;
};

struct facts {
    LIST(struct call_fact) calls;
    LIST(struct steer_fact) steers;
    LIST(struct write_fact) writes;
    LIST(struct lease_fact) leases;
    LIST(struct stream_fact) streams;
    LIST(struct event_fact) events;
};

void facts_free(struct facts *facts);

#endif
