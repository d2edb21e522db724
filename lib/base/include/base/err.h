/* The one error value: a gRPC code, a text for the caller, and what becomes google.rpc.Status details.
 * No allocation; copied by value; safe to hand between threads. Text from a database or a file path never goes in
 * here: it goes to the log. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdint.h>

/* Numbers equal gRPC's status codes (https://grpc.github.io/grpc/core/md_doc_statuscodes.html). */
#define ERR_CODES(X)                                                                                                   \
    X(OK, 0)                                                                                                           \
    X(CANCELLED, 1)                                                                                                    \
    X(UNKNOWN, 2)                                                                                                      \
    X(INVALID_ARGUMENT, 3)                                                                                             \
    X(DEADLINE_EXCEEDED, 4)                                                                                            \
    X(NOT_FOUND, 5)                                                                                                    \
    X(ALREADY_EXISTS, 6)                                                                                               \
    X(PERMISSION_DENIED, 7)                                                                                            \
    X(RESOURCE_EXHAUSTED, 8)                                                                                           \
    X(FAILED_PRECONDITION, 9)                                                                                          \
    X(ABORTED, 10)                                                                                                     \
    X(OUT_OF_RANGE, 11)                                                                                                \
    X(UNIMPLEMENTED, 12)                                                                                               \
    X(INTERNAL, 13)                                                                                                    \
    X(UNAVAILABLE, 14)                                                                                                 \
    X(DATA_LOSS, 15)                                                                                                   \
    X(UNAUTHENTICATED, 16)

#define ERR_ENUM(name, number) ERR_##name = (number),
enum err_code { ERR_CODES(ERR_ENUM) };
#undef ERR_ENUM

struct err {
    enum err_code code;
    int32_t retry_after_ms; /* > 0: RetryInfo.retry_delay */
    char reason[40];        /* ErrorInfo.reason, UPPER_SNAKE; empty: the name of the code */
    char field[64];         /* BadRequest: path of the field at fault; empty: none */
    char msg[256];          /* for a person */
};

#define ERR_NONE ((struct err){.code = ERR_OK})

/* Fills *ret_err (may be NULL) and returns -code, so that a failing function can end `return err_set(...)`.
 * reason may be NULL. Text that is too long loses whole characters at its end. */
int err_set(struct err *ret_err, enum err_code code, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* INVALID_ARGUMENT that names a field: BadRequest.field_violations. Returns -ERR_INVALID_ARGUMENT. */
int err_field(struct err *ret_err, const char *field, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#if defined(__clang_analyzer__) && !defined(BASE_ERR_SOURCE)
/* What the analyser cannot see from a declaration: the result is below zero. */
#define err_set(...)   (err_set(__VA_ARGS__), -1)
#define err_field(...) (err_field(__VA_ARGS__), -1)
#endif

/* "NOT_FOUND" and so on; "UNKNOWN" for a number that is no code. Never NULL, static. */
const char *err_code_name(int code);

#endif
