/* What the cases of the interop client share. Main thread, but for what says otherwise. A case that does not find what
 * it should ends the program. */
#ifndef TESTS_INTEROP_CASES_H
#define TESTS_INTEROP_CASES_H

#include "crpc/client.h"
#include "grpc/testing/test.crpc.h"

typedef Grpc__Testing__SimpleRequest simple_request_t;
typedef Grpc__Testing__SimpleResponse simple_response_t;
typedef Grpc__Testing__StreamingInputCallRequest input_request_t;
typedef Grpc__Testing__StreamingInputCallResponse input_response_t;
typedef Grpc__Testing__StreamingOutputCallRequest output_request_t;
typedef Grpc__Testing__StreamingOutputCallResponse output_response_t;
typedef Grpc__Testing__ResponseParameters parameters_t;

/* Sizes that the descriptions name. */
enum { LARGE_REQUEST = 271828, LARGE_RESPONSE = 314159, BODY_MAX = 1 << 20 };

struct interop {
    struct crpc_channel *channel;
    struct crpc_channel *(*connect)(void); /* another channel like it; the caller frees */
    /* For the soaks. */
    int iterations, max_failures;
    int64_t max_latency_ms, overall_ms, interval_ms;
};

struct interop_case {
    const char *name;
    void (*run)(const struct interop *t);
};
/* End with a NULL name. */
extern const struct interop_case interop_unary_cases[], interop_stream_cases[], interop_end_cases[],
    interop_load_cases[], interop_orca_cases[], interop_metadata_cases[], interop_own_cases[],
    interop_compressed_cases[], interop_http2_cases[];

/* Ends the program with a message. Any thread. */
void interop_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
#define INTEROP_CHECK(condition)                                                                                       \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            interop_fail("%s:%d: not so: %s", __FILE__, __LINE__, #condition);                                         \
    } while (0)
/* got must be want; err tells more when it is not. */
void interop_want_code(int got, enum err_code want, const struct err *err);

/* Fills in a payload of so many zeros, at most BODY_MAX. */
void interop_payload(Grpc__Testing__Payload *ret, size_t size);
/* The payload is of that size, of the only type, and all zeros. */
void interop_check_payload(const Grpc__Testing__Payload *payload, size_t size);
/* One UnaryCall with a large request and the answer asked for; 0 or -code. Any thread. */
int interop_unary(struct crpc_channel *channel, const struct crpc_call_options *options, simple_request_t *request,
                  simple_response_t **ret_response, struct err *ret_err);
/* The whole of the case large_unary. Any thread. */
void interop_large_unary(struct crpc_channel *channel, size_t response_size);

/* FullDuplexCall. */
struct crpc_stream *interop_duplex(const struct interop *t, const struct crpc_call_options *options);
/* Writes a request of so many zeros that asks for one answer (response_size below 0: for none). */
void interop_duplex_write(struct crpc_stream *stream, size_t size, int response_size);
/* Reads the answer and checks it. */
void interop_duplex_read(struct crpc_stream *stream, size_t size);
/* Reads on to the end of the call. Returns 0 or -code; fails when a message comes instead. */
int interop_duplex_end(struct crpc_stream *stream, struct err *ret_err);

#endif
