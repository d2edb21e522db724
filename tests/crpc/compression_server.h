/* A server whose handlers do about compression what the request says, and messages for it as bytes. One thread. */
#ifndef TESTS_CRPC_COMPRESSION_SERVER_H
#define TESTS_CRPC_COMPRESSION_SERVER_H

#include "crpc/server.h"
#include "echo.crpc.h"
#include "wire_peer.h"

#define PKG(name) Crpc__Test__V1__##name
#define SERVICE   "/crpc.test.v1.EchoService/"

enum { MAX_BYTES = 100000 }; /* the server's limit */
enum { GZIP_BITS = 15 + 16, DEFLATE_BITS = 15 };

struct fixture {
    struct crpc_server *server;
    int port;
};

/* Say answers how the request came ("compressed", "plain"), with its data; its text tells how to answer: gzip, deflate,
 * none, plain (that message only), fail. Count compresses every second message, and sends the shared frame when asked
 * for frames. Sum answers how many messages came, and as count how many of them compressed. */
void start(struct fixture *f, enum crpc_compression compression);
void stop(struct fixture *f);
extern struct crpc_frame *shared_frame;

struct Crpc__Test__V1__SayResponse;

struct bytes {
    size_t len;
    uint8_t data[50000];
};

/* An encoded SayRequest with text and size bytes of value zero; valid until the next. */
const uint8_t *say_request(const char *text, size_t size, size_t *ret_len);
/* Compressed; valid, and to be changed, until the next. bits: of zlib. */
struct bytes *deflated(const uint8_t *data, size_t len, int bits);
size_t inflated(const struct wire_message *m, int bits, uint8_t *out, size_t room);
/* protobuf_c_message_free_unpacked. bits: how it is compressed, if it is. */
struct Crpc__Test__V1__SayResponse *say_response(const struct wire_message *m, int bits);
void say_response_free(struct Crpc__Test__V1__SayResponse *response);

#endif
