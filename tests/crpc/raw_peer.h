/* A peer that writes its own HTTP/2 frames, well or badly, over a blocking socket with a time-out. For tests of what a
 * server does with it. One thread. */
#ifndef TESTS_CRPC_RAW_PEER_H
#define TESTS_CRPC_RAW_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum raw_frame {
    RAW_DATA = 0,
    RAW_HEADERS = 1,
    RAW_RST_STREAM = 3,
    RAW_SETTINGS = 4,
    RAW_PING = 6,
    RAW_GOAWAY = 7,
    RAW_WINDOW_UPDATE = 8,
    RAW_CONTINUATION = 9
};
enum raw_flag { RAW_END_STREAM = 1, RAW_ACK = 1, RAW_END_HEADERS = 4 };

/* What became of a stream, or of the whole connection. */
enum raw_end {
    RAW_STATUS, /* trailers with grpc-status */
    RAW_RESET,  /* RST_STREAM */
    RAW_CLOSED, /* the connection is closed */
    RAW_TIMEOUT
};

struct raw_peer {
    int fd;
    bool goaway;                   /* one was read */
    int status;                    /* grpc-status of the last RAW_STATUS; -1: none was found */
    int64_t window, stream_window; /* what may be sent: in all, and on the one stream that raw_pour pours into */
    int64_t initial_window;        /* of a stream, as the server wants it */
};

/* Connects to 127.0.0.1; this, reads and writes end after timeout_ms. False: refused, or no answer. */
bool raw_connect(struct raw_peer *p, int port, int timeout_ms);
/* The same from 127.HOST, so that a peer can have an address of its own. */
bool raw_connect_from(struct raw_peer *p, uint32_t host, int port, int timeout_ms);
void raw_close(struct raw_peer *p);
/* The preface and empty SETTINGS. */
bool raw_greet(struct raw_peer *p);
/* False when the connection is gone. */
bool raw_write(struct raw_peer *p, const void *data, size_t len);
bool raw_frame(struct raw_peer *p, enum raw_frame type, uint8_t flags, uint32_t stream, const void *data, size_t len);
/* Puts a header, as it is, behind the block of *io_len bytes. */
void raw_put_header(uint8_t *block, size_t *io_len, const char *key, const char *value);
/* The headers of a gRPC call; gives the length. content_type NULL: none. */
size_t raw_call_headers(uint8_t *block, const char *path, const char *content_type);
/* HEADERS of a call to EchoService's method. */
bool raw_open(struct raw_peer *p, uint32_t stream, const char *method, uint8_t flags);
/* A message of len bytes in one DATA frame; says bytes is its length, which need not be true. */
bool raw_message(struct raw_peer *p, uint32_t stream, uint32_t says, const void *data, size_t len, uint8_t flags);
/* Sends DATA on stream, as far as the windows allow, until total bytes are out (RAW_STATUS) or the stream or connection
 * has ended. One stream a connection. */
enum raw_end raw_pour(struct raw_peer *p, uint32_t stream, size_t total);
/* Reads (and answers SETTINGS; PINGs if pong) until stream has ended, for 0: until the connection has. */
enum raw_end raw_read_end(struct raw_peer *p, uint32_t stream, bool pong);

#endif
