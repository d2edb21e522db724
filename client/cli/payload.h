/* Texts that an option gives as they are, as @FILE, or as - for standard input. Main thread. */
#ifndef JOBLOG_CLI_PAYLOAD_H
#define JOBLOG_CLI_PAYLOAD_H

/* Gives the text (free), or NULL after a message on standard error. A NUL byte in it is refused. */
char *payload_read(const char *value);

#endif
