/* Errors of libjoblog: the codes of gRPC, with the details that the server gave. */
#ifndef JOBLOG_ERROR_H
#define JOBLOG_ERROR_H

#include <stdint.h>

#define JOBLOG_API __attribute__((visibility("default")))

#ifdef __cplusplus
#define JOBLOG_BEGIN_DECLS extern "C" {
#define JOBLOG_END_DECLS   }
#else
#define JOBLOG_BEGIN_DECLS
#define JOBLOG_END_DECLS
#endif

JOBLOG_BEGIN_DECLS

enum joblog_code {
    JOBLOG_OK = 0,
    JOBLOG_CANCELLED = 1,
    JOBLOG_UNKNOWN = 2,
    JOBLOG_INVALID_ARGUMENT = 3,
    JOBLOG_DEADLINE_EXCEEDED = 4,
    JOBLOG_NOT_FOUND = 5,
    JOBLOG_ALREADY_EXISTS = 6,
    JOBLOG_PERMISSION_DENIED = 7,
    JOBLOG_RESOURCE_EXHAUSTED = 8,
    JOBLOG_FAILED_PRECONDITION = 9,
    JOBLOG_ABORTED = 10,
    JOBLOG_OUT_OF_RANGE = 11,
    JOBLOG_UNIMPLEMENTED = 12,
    JOBLOG_INTERNAL = 13,
    JOBLOG_UNAVAILABLE = 14,
    JOBLOG_DATA_LOSS = 15,
    JOBLOG_UNAUTHENTICATED = 16
};

struct joblog_error {
    enum joblog_code code;
    int32_t retry_after_ms; /* > 0: worth trying again after this long */
    char reason[40];        /* stable, UPPER_SNAKE, such as "LEASE_LOST" */
    char field[64];         /* field of the request at fault, or empty */
    char message[256];      /* for a person */
};

/* "NOT_FOUND" and so on. Static. */
JOBLOG_API const char *joblog_code_name(int code);

JOBLOG_END_DECLS

#endif
