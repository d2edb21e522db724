/* protoc-gen-crpc-messages: protobuf-c's generator, without its services and with the optional fields of proto3.
 *
 * protobuf-c makes code of its own for a service, which nobody here uses and which does not compile when a method is
 * called like a keyword of C ("Register", "Continue"); it refuses proto3's optional; and fields of some names give code
 * that does not compile. So this plugin takes the services out of protoc's request, makes optional fields ordinary
 * oneofs (presence.c), gives those fields other names (members.c), and hands the rest to protoc-gen-c, whose answer
 * goes to protoc as it is, with the word after it that optional is understood. protoc-gen-c is looked for in PATH, or
 * is what CRPC_PROTOC_GEN_C names. */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "members.h"
#include "presence.h"
#include "request.h"

#define PROGRAM "protoc-gen-crpc-messages"

extern char **environ;

static _Noreturn void no_memory(void)
{
    fputs(PROGRAM ": out of memory\n", stderr);
    exit(EXIT_FAILURE);
}

static bool fail(const char *what, int error)
{
    fprintf(stderr, PROGRAM ": %s: %s\n", what, strerror(error));
    return false;
}

static bool write_all(int fd, const uint8_t *bytes, size_t len, const char *what)
{
    while (len) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(what, errno);
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

/* Starts protoc-gen-c with a pipe as its standard input, whose other end is *ret_fd. */
static bool start(const char *path, pid_t *ret_pid, int *ret_fd)
{
    int fds[2];
    if (pipe(fds) != 0)
        return fail("pipe", errno);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[0], STDIN_FILENO);
    posix_spawn_file_actions_addclose(&actions, fds[0]);
    posix_spawn_file_actions_addclose(&actions, fds[1]);
    char *argv[] = {(char *)path, NULL};
    int error = posix_spawnp(ret_pid, path, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(fds[0]);
    if (error) {
        close(fds[1]);
        return fail(path, error);
    }
    *ret_fd = fds[1];
    return true;
}

static bool run_generator(const uint8_t *bytes, size_t len)
{
    const char *path = getenv("CRPC_PROTOC_GEN_C");
    pid_t pid;
    int fd = -1;
    if (!start(path && *path ? path : "protoc-gen-c", &pid, &fd))
        return false;
    bool written = write_all(fd, bytes, len, "writing to protoc-gen-c");
    close(fd);
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return fail("waiting for protoc-gen-c", errno);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return written;
    fputs(PROGRAM ": protoc-gen-c failed\n", stderr);
    return false;
}

/* Answers protoc: that this plugin takes proto3's optional, and error, if there is one. Fields of a message may come in
 * any order and one after the other, so the answer that protoc-gen-c has just written is added to, without being read.
 */
static bool answer(struct pool *pool, const char *error)
{
    Google__Protobuf__Compiler__CodeGeneratorResponse response =
        GOOGLE__PROTOBUF__COMPILER__CODE_GENERATOR_RESPONSE__INIT;
    response.has_supported_features = 1;
    response.supported_features = GOOGLE__PROTOBUF__COMPILER__CODE_GENERATOR_RESPONSE__FEATURE__FEATURE_PROTO3_OPTIONAL;
    response.error = (char *)(uintptr_t)error; /* only ever packed */
    size_t len = google__protobuf__compiler__code_generator_response__get_packed_size(&response);
    uint8_t *bytes = pool_alloc(pool, len);
    google__protobuf__compiler__code_generator_response__pack(&response, bytes);
    return write_all(STDOUT_FILENO, bytes, len, "writing the response");
}

/* Why protoc-gen-c cannot generate what is asked for: it ends without a word. NULL: it can. */
static const char *find_fault(struct pool *pool, const Google__Protobuf__Compiler__CodeGeneratorRequest *request)
{
    for (size_t i = 0; i < request->n_file_to_generate; i++)
        for (size_t k = 0; k < request->n_proto_file; k++) {
            const Google__Protobuf__FileDescriptorProto *file = request->proto_file[k];
            const char *group = file->name && strcmp(file->name, request->file_to_generate[i]) == 0
                                    ? members_find_group(pool, file)
                                    : NULL;
            if (group)
                return pool_printf(pool, "%s: %s is a group, which protobuf-c does not know; a message does the same",
                                   file->name, group);
        }
    return NULL;
}

static bool run(struct pool *pool)
{
    Google__Protobuf__Compiler__CodeGeneratorRequest *request = request_read(pool, PROGRAM);
    if (!request)
        return false;
    const char *fault = find_fault(pool, request);
    if (fault) {
        google__protobuf__compiler__code_generator_request__free_unpacked(request, NULL);
        return answer(pool, fault);
    }
    size_t *n_services = pool_array(pool, request->n_proto_file, sizeof *n_services);
    for (size_t i = 0; i < request->n_proto_file; i++) {
        n_services[i] = request->proto_file[i]->n_service;
        request->proto_file[i]->n_service = 0;
        presence_file(pool, request->proto_file[i]);
        members_file(pool, request->proto_file[i]);
    }
    size_t len = google__protobuf__compiler__code_generator_request__get_packed_size(request);
    uint8_t *bytes = pool_alloc(pool, len);
    google__protobuf__compiler__code_generator_request__pack(request, bytes);
    for (size_t i = 0; i < request->n_proto_file; i++) /* to be freed */
        request->proto_file[i]->n_service = n_services[i];
    google__protobuf__compiler__code_generator_request__free_unpacked(request, NULL);
    return run_generator(bytes, len) && answer(pool, NULL);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts(PROGRAM " " CRPC_VERSION);
        return EXIT_SUCCESS;
    }
    if (argc > 1) {
        fputs("usage: protoc --plugin=" PROGRAM "=PATH --crpc-messages_out=DIR FILE.proto...\n"
              "environment: CRPC_PROTOC_GEN_C  path of protobuf-c's protoc-gen-c; else it is looked for in PATH\n",
              argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
        return argc == 2 && strcmp(argv[1], "--help") == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    signal(SIGPIPE, SIG_IGN); /* protoc-gen-c ending early is an error to report */
    struct pool pool = {.no_memory = no_memory};
    bool ok = run(&pool);
    pool_done(&pool);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
