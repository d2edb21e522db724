/* Running a shell command with input, captured output and a way to stop it. Any number at once, each on the thread that
 * calls exec_run. The child gets a process group of its own, default signals and no other descriptors. */
#ifndef JOBLOG_CLI_EXEC_H
#define JOBLOG_CLI_EXEC_H

#include <stdbool.h>
#include <stddef.h>

enum {
    EXEC_TAIL = 4096,       /* bytes of standard error that are kept */
    EXEC_LINE_MAX = 300000, /* a longer line of output is handed on in pieces; holds the largest result */
    EXEC_KILL_AFTER_S = 10  /* from SIGTERM to SIGKILL */
};

struct exec {
    const char *command;      /* for sh -c */
    const char *input;        /* for its standard input */
    char *const *environment; /* whole, NULL at the end */
    /* A line of standard output (error false) or standard error, without its line feed; may be changed, not kept. */
    void (*on_line)(void *user, char *line, size_t len, bool error);
    /* Asked ten times a second: true stops the command. */
    bool (*should_stop)(void *user);
    void *user;
};

struct exec_result {
    int status;           /* of waitpid */
    bool stopped;         /* should_stop said so */
    char tail[EXEC_TAIL]; /* the last of standard error */
    size_t tail_len;
};

/* Runs it to its end; what was stopped has ended when all of its process group have. 0, or -errno when it could not be
 * started. */
int exec_run(const struct exec *exec, struct exec_result *ret_result);

#endif
