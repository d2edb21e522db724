/* How names of a .proto become names of C: protobuf-c's rules for its types, crpc's for what this plugin makes. */
#ifndef PROTOC_GEN_CRPC_NAMES_H
#define PROTOC_GEN_CRPC_NAMES_H

#include <stdbool.h>

#include "pool.h"

/* A name as a .proto may give it; with_dots: or several, joined by dots. NULL and "" are none. */
bool names_is_valid(const char *name, bool with_dots);

/* protobuf-c's name of a type: "my_pkg.v1.Job.Part" -> "MyPkg__V1__Job__Part". */
char *names_protobuf_c_type(struct pool *pool, const char *full_name);
/* protobuf-c's lower-case prefix of a type: "my_pkg.v1.JobPart" -> "my_pkg__v1__job_part". */
char *names_protobuf_c_lower(struct pool *pool, const char *full_name);

/* crpc's snake case: "a.v1.HTTPServer" -> "a_v1_http_server". Whatever is neither letter nor digit becomes one
 * underscore between words; there is never one at either end, nor two in a row. */
char *names_snake(struct pool *pool, const char *name);
/* "say_hello" -> "SAY_HELLO" */
char *names_upper(struct pool *pool, const char *name);
/* "a/b.proto" -> "a/b" */
char *names_stem(struct pool *pool, const char *file_name);
/* Macro that guards a header, different for different files. */
char *names_guard(struct pool *pool, const char *file_name);

/* Names taken in one scope, where C's keywords are taken from the start. */
struct names {
    struct pool *pool;
    bool members; /* of a struct; else of a file, where the names that generated functions use inside are taken too */
    const char **list;
    size_t n;
    size_t cap;
};
bool names_is_free(const struct names *names, const char *name);
void names_take(struct names *names, const char *name);
/* Takes the name, or the name with as many underscores behind it as make it free, and returns it. */
const char *names_claim(struct names *names, const char *name);

#endif
