/* Asynchronous streams of EchoService that note what they are told, check its order, and do what the test wants done.
 */
#ifndef TESTS_CRPC_ASYNC_WATCH_H
#define TESTS_CRPC_ASYNC_WATCH_H

#include "echo_server.h"

typedef Crpc__Test__V1__CountRequest count_request;
typedef Crpc__Test__V1__SumRequest sum_request;
typedef Crpc__Test__V1__ChatRequest chat_request;

enum { PATIENCE_MS = 20000 };

/* What a stream told, and what the test wants done when it does. */
struct watch {
    struct crpc_loop *loop;
    struct crpc_async *stream;
    int n_initial, n_messages, n_writable, n_ends;
    bool has_initial, has_trailing; /* ECHO_INITIAL, ECHO_TRAILING were there */
    int64_t last;                   /* number or sum of the last message */
    struct err status;
    int n_to_write; /* by on_writable */
    int pause_at;   /* message after which to pause; 0: never */
    int cancel_at;  /* message after which to cancel; 0: never */
    bool cancel_in_initial;
    bool close_after; /* the last write */
    chat_request write;
};

extern const struct crpc_async_events EVENTS_OF_COUNT, EVENTS_OF_SUM, EVENTS_OF_CHAT;

/* With a loop of its own, which watch_to_end frees. */
struct watch watch_new(void);
/* Start; each fails the test when that fails. */
void watch_count(struct echo *e, struct watch *w, const struct crpc_call_options *o, const count_request *q);
void watch_chat(struct echo *e, struct watch *w, const struct crpc_call_options *o);
void watch_sum(struct echo *e, struct watch *w);
/* Writes while there is something to write and room for it. */
void watch_write(struct watch *w, bool (*write)(struct watch *w));
bool watch_write_sum(struct watch *w);
bool watch_write_chat(struct watch *w);
/* Run the loop until then; fail the test when nothing happens any more. */
void watch_until(struct watch *w, const int *counter, int n);
void watch_to_end(struct watch *w);

#endif
