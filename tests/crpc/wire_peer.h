/* A client, and a server, that write their HTTP/2 frames by hand, for what gRPC's own do not send. One call a
 * connection, blocking; each function fails the test on an error. */
#ifndef TESTS_CRPC_WIRE_PEER_H
#define TESTS_CRPC_WIRE_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire_header {
    const char *name, *value;
};

/* Messages as gRPC frames them, one behind the other. */
struct wire_body {
    uint8_t bytes[60000]; /* what the server's first window takes */
    size_t len;
};
/* flag: 1 for compressed. */
void wire_put(struct wire_body *body, uint8_t flag, const void *message, size_t len);

struct wire_message {
    uint8_t flag;
    uint32_t len;
    const uint8_t *bytes; /* of the answer */
};

struct wire_answer {
    uint8_t heads[16384]; /* header blocks, as they came */
    size_t heads_len;
    uint8_t *data; /* of all DATA frames */
    size_t data_len;
    struct wire_message messages[64];
    size_t n_messages;
};

/* The end of the stream comes in a frame of its own. headers: besides those that every call has; name NULL ends them.
 */
void wire_call(int port, const char *path, const struct wire_header *headers, const struct wire_body *body,
               struct wire_answer *ret_answer);
void wire_done(struct wire_answer *answer);
/* The value of a header or trailer, static; NULL when it did not come. Only those that core writes literally. */
const char *wire_value(const struct wire_answer *answer, const char *name);
/* grpc-status. */
int wire_status(const struct wire_answer *answer);

/* ---- the server ---- */

/* Listens on a port of 127.0.0.1. Close it. */
int wire_listen(int *ret_port);
/* Takes one connection, reads one call to its end, answers OK with those headers and messages, and waits for the client
 * to go. */
void wire_serve(int listener, const struct wire_header *headers, const struct wire_body *body);

#endif
