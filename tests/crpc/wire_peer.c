/* See wire_peer.h; RFC 9113 and RFC 7541. */
#include "wire_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7, WINDOW_UPDATE = 8 };
enum { END_STREAM = 1, END_HEADERS = 4, ACK = 1, FRAME_HEAD = 9, FRAME_MAX = 16384 };

static void put32(uint8_t *at, uint32_t v)
{
    v = htonl(v);
    memcpy(at, &v, 4);
}

static uint32_t get32(const uint8_t *at)
{
    uint32_t v;
    memcpy(&v, at, 4);
    return ntohl(v);
}

static void send_all(int fd, const void *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = send(fd, (const char *)bytes + at, len - at, MSG_NOSIGNAL);
        assert_true(n > 0);
        at += (size_t)n;
    }
}

static void recv_all(int fd, void *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = recv(fd, (char *)bytes + at, len - at, 0);
        if (n <= 0)
            fail_msg("the connection ended before the answer did");
        at += (size_t)n;
    }
}

static void send_frame(int fd, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t len)
{
    uint8_t head[FRAME_HEAD] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags};
    put32(head + 5, stream);
    send_all(fd, head, sizeof head);
    send_all(fd, payload, len);
}

/* Literal, without indexing, without Huffman. */
static size_t put_header(uint8_t *at, const char *name, const char *value)
{
    size_t n = strlen(name), v = strlen(value);
    assert_true(n < 127 && v < 127);
    *at++ = 0;
    *at++ = (uint8_t)n;
    memcpy(at, name, n);
    at += n;
    *at++ = (uint8_t)v;
    memcpy(at, value, v);
    return 3 + n + v;
}

static void send_block(int fd, uint8_t flags, uint32_t stream, const struct wire_header *usual,
                       const struct wire_header *headers)
{
    uint8_t block[4096];
    size_t len = 0;
    for (; usual->name; usual++)
        len += put_header(block + len, usual->name, usual->value);
    for (; headers && headers->name; headers++)
        len += put_header(block + len, headers->name, headers->value);
    send_frame(fd, HEADERS, END_HEADERS | flags, stream, block, len);
}

static void send_headers(int fd, const char *path, const struct wire_header *headers)
{
    const struct wire_header usual[] = {{":method", "POST"}, {":scheme", "http"},
                                        {":path", path},     {":authority", "localhost"},
                                        {"te", "trailers"},  {"content-type", "application/grpc"},
                                        {NULL, NULL}};
    send_block(fd, 0, 1, usual, headers);
}

static int open_connection(int port)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    struct timeval limit = {.tv_sec = 20};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    send_all(fd, preface, sizeof preface - 1);
    uint8_t settings[6] = {0, 4}, window[4]; /* SETTINGS_INITIAL_WINDOW_SIZE */
    put32(settings + 2, 0x7fffffff);
    send_frame(fd, SETTINGS, 0, 0, settings, sizeof settings);
    put32(window, 0x7fffffff - 65535);
    send_frame(fd, WINDOW_UPDATE, 0, 0, window, sizeof window);
    return fd;
}

void wire_put(struct wire_body *body, uint8_t flag, const void *message, size_t len)
{
    assert_true(body->len + 5 + len <= sizeof body->bytes);
    body->bytes[body->len] = flag;
    put32(body->bytes + body->len + 1, (uint32_t)len);
    if (len)
        memcpy(body->bytes + body->len + 5, message, len);
    body->len += 5 + len;
}

static void send_body(int fd, uint32_t stream, const struct wire_body *body)
{
    for (size_t at = 0; at < body->len;) {
        size_t n = body->len - at < FRAME_MAX ? body->len - at : FRAME_MAX;
        send_frame(fd, DATA, 0, stream, body->bytes + at, n);
        at += n;
    }
}

static void take_data(struct wire_answer *a, const uint8_t *payload, size_t len)
{
    a->data = realloc(a->data, a->data_len + len + 1);
    assert_non_null(a->data);
    memcpy(a->data + a->data_len, payload, len);
    a->data_len += len;
}

static void take_heads(struct wire_answer *a, const uint8_t *payload, size_t len)
{
    assert_true(a->heads_len + len <= sizeof a->heads);
    memcpy(a->heads + a->heads_len, payload, len);
    a->heads_len += len;
}

/* One frame; false when it was the last of the call. */
static bool take_frame(int fd, struct wire_answer *a)
{
    static uint8_t payload[1 << 24];
    uint8_t head[FRAME_HEAD];
    recv_all(fd, head, sizeof head);
    size_t len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
    recv_all(fd, payload, len);
    switch (head[3]) {
    case DATA:
        take_data(a, payload, len);
        return !(head[4] & END_STREAM);
    case HEADERS:
        assert_true(head[4] & END_HEADERS);
        take_heads(a, payload, len);
        return !(head[4] & END_STREAM);
    case SETTINGS:
        if (!(head[4] & ACK))
            send_frame(fd, SETTINGS, ACK, 0, NULL, 0);
        return true;
    case PING:
        if (!(head[4] & ACK))
            send_frame(fd, PING, ACK, 0, payload, len);
        return true;
    case GOAWAY:
        fail_msg("the server ended the connection");
        return false;
    default:
        return head[3] != RST_STREAM;
    }
}

static void cut_messages(struct wire_answer *a)
{
    for (size_t at = 0; at < a->data_len;) {
        assert_true(a->data_len - at >= 5 && a->n_messages < sizeof a->messages / sizeof *a->messages);
        struct wire_message *m = &a->messages[a->n_messages++];
        *m = (struct wire_message){a->data[at], get32(a->data + at + 1), a->data + at + 5};
        at += 5;
        assert_true(a->data_len - at >= m->len);
        at += m->len;
    }
}

void wire_call(int port, const char *path, const struct wire_header *headers, const struct wire_body *body,
               struct wire_answer *ret_answer)
{
    memset(ret_answer, 0, sizeof *ret_answer);
    int fd = open_connection(port);
    send_headers(fd, path, headers);
    send_body(fd, 1, body);
    send_frame(fd, DATA, END_STREAM, 1, NULL, 0);
    while (take_frame(fd, ret_answer))
        ;
    close(fd);
    cut_messages(ret_answer);
}

void wire_done(struct wire_answer *answer)
{
    free(answer->data);
}

const char *wire_value(const struct wire_answer *answer, const char *name)
{
    static char value[128];
    size_t len = strlen(name);
    const uint8_t *end = answer->heads + answer->heads_len;
    for (const uint8_t *at = answer->heads + 1; at + len < end; at++) {
        if (at[-1] != len || memcmp(at, name, len) != 0)
            continue;
        size_t n = at[len];
        assert_true(n < 127 && at + len + 1 + n <= end);
        snprintf(value, sizeof value, "%.*s", (int)n, (const char *)at + len + 1);
        return value;
    }
    return NULL;
}

int wire_status(const struct wire_answer *answer)
{
    const char *value = wire_value(answer, "grpc-status");
    if (!value)
        fail_msg("no status");
    return atoi(value);
}

int wire_listen(int *ret_port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    *ret_port = ntohs(sa.sin_port);
    return fd;
}

/* The stream of the call, once it has been read to its end. */
static uint32_t take_call(int fd)
{
    static uint8_t payload[1 << 24];
    for (;;) {
        uint8_t head[FRAME_HEAD];
        recv_all(fd, head, sizeof head);
        recv_all(fd, payload, (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2]);
        if (head[3] == SETTINGS && !(head[4] & ACK))
            send_frame(fd, SETTINGS, ACK, 0, NULL, 0);
        if ((head[3] == DATA || head[3] == HEADERS) && (head[4] & END_STREAM))
            return get32(head + 5);
    }
}

void wire_serve(int listener, const struct wire_header *headers, const struct wire_body *body)
{
    static const struct wire_header first[] = {{":status", "200"}, {"content-type", "application/grpc"}, {NULL, NULL}},
                                    last[] = {{"grpc-status", "0"}, {NULL, NULL}};
    char preface[24];
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    recv_all(fd, preface, sizeof preface);
    send_frame(fd, SETTINGS, 0, 0, NULL, 0);
    uint32_t stream = take_call(fd);
    send_block(fd, 0, stream, first, headers);
    send_body(fd, stream, body);
    send_block(fd, END_STREAM, stream, last, NULL);
    while (recv(fd, preface, sizeof preface, 0) > 0)
        ;
    close(fd);
}
