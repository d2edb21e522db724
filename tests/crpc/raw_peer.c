/* See raw_peer.h. Headers go out as literals without index or Huffman; of what comes only the raw text of grpc-status
 * is looked for, which core sends as a literal the first time. */
#include "raw_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

bool raw_connect(struct raw_peer *p, int port, int timeout_ms)
{
    return raw_connect_from(p, 1, port, timeout_ms);
}

bool raw_connect_from(struct raw_peer *p, uint32_t host, int port, int timeout_ms)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000 | host)};
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval tv = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    int one = 1;
    *p = (struct raw_peer){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                           .status = -1,
                           .window = 65535,
                           .stream_window = 65535,
                           .initial_window = 65535};
    setsockopt(p->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    setsockopt(p->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv); /* of the connecting, too */
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (p->fd >= 0 && bind(p->fd, (struct sockaddr *)&from, sizeof from) == 0 &&
        connect(p->fd, (struct sockaddr *)&sa, sizeof sa) == 0)
        return true;
    raw_close(p);
    return false;
}

void raw_close(struct raw_peer *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

bool raw_write(struct raw_peer *p, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t n = send(p->fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static void put_head(uint8_t head[9], enum raw_frame type, uint8_t flags, uint32_t stream, size_t len)
{
    uint32_t id = htonl(stream);
    head[0] = (uint8_t)(len >> 16);
    head[1] = (uint8_t)(len >> 8);
    head[2] = (uint8_t)len;
    head[3] = (uint8_t)type;
    head[4] = flags;
    memcpy(head + 5, &id, 4);
}

bool raw_frame(struct raw_peer *p, enum raw_frame type, uint8_t flags, uint32_t stream, const void *data, size_t len)
{
    uint8_t all[9 + 16384];
    put_head(all, type, flags, stream, len);
    if (len <= sizeof all - 9) {
        if (len)
            memcpy(all + 9, data, len);
        return raw_write(p, all, 9 + len);
    }
    return raw_write(p, all, 9) && raw_write(p, data, len);
}

bool raw_greet(struct raw_peer *p)
{
    return raw_write(p, PREFACE, strlen(PREFACE)) && raw_frame(p, RAW_SETTINGS, 0, 0, NULL, 0);
}

/* A string of HPACK, RFC 7541, 5.2; its length as an integer with a prefix of 7 bits. */
static void put_string(uint8_t *block, size_t *io_len, const char *s)
{
    size_t n = strlen(s), left = n;
    if (n < 127) {
        block[(*io_len)++] = (uint8_t)n;
    } else {
        block[(*io_len)++] = 127;
        for (left -= 127; left >= 128; left >>= 7)
            block[(*io_len)++] = (uint8_t)(left | 128);
        block[(*io_len)++] = (uint8_t)left;
    }
    memcpy(block + *io_len, s, n);
    *io_len += n;
}

void raw_put_header(uint8_t *block, size_t *io_len, const char *key, const char *value)
{
    block[(*io_len)++] = 0;
    put_string(block, io_len, key);
    put_string(block, io_len, value);
}

size_t raw_call_headers(uint8_t *block, const char *path, const char *content_type)
{
    size_t n = 0;
    raw_put_header(block, &n, ":method", "POST");
    raw_put_header(block, &n, ":scheme", "http");
    raw_put_header(block, &n, ":path", path);
    raw_put_header(block, &n, ":authority", "raw.test");
    raw_put_header(block, &n, "te", "trailers");
    if (content_type)
        raw_put_header(block, &n, "content-type", content_type);
    return n;
}

bool raw_open(struct raw_peer *p, uint32_t stream, const char *method, uint8_t flags)
{
    uint8_t block[512];
    char path[100] = "/crpc.test.v1.EchoService/";
    strncat(path, method, sizeof path - strlen(path) - 1);
    size_t n = raw_call_headers(block, path, "application/grpc");
    return raw_frame(p, RAW_HEADERS, flags | RAW_END_HEADERS, stream, block, n);
}

bool raw_message(struct raw_peer *p, uint32_t stream, uint32_t says, const void *data, size_t len, uint8_t flags)
{
    uint8_t all[16384] = {0};
    uint32_t n = htonl(says);
    if (len > sizeof all - 5)
        return false;
    memcpy(all + 1, &n, 4);
    if (len)
        memcpy(all + 5, data, len);
    p->window -= (int64_t)len + 5;
    p->stream_window -= (int64_t)len + 5;
    return raw_frame(p, RAW_DATA, flags, stream, all, len + 5);
}

static enum raw_end read_all(struct raw_peer *p, void *data, size_t len)
{
    char *at = data;
    while (len > 0) {
        ssize_t n = recv(p->fd, at, len, 0);
        if (n <= 0)
            return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? RAW_TIMEOUT : RAW_CLOSED;
        at += n;
        len -= (size_t)n;
    }
    return RAW_STATUS;
}

static int find_status(const uint8_t *block, size_t len)
{
    static const char key[] = "grpc-status";
    const uint8_t *at = memmem(block, len, key, sizeof key - 1);
    if (!at)
        return -1;
    at += sizeof key - 1;
    int n = *at++, status = 0;
    for (; n > 0 && at < block + len && *at >= '0' && *at <= '9'; n--)
        status = status * 10 + *at++ - '0';
    return status;
}

static uint32_t number(const uint8_t *at)
{
    uint32_t n;
    memcpy(&n, at, 4);
    return ntohl(n);
}

/* What every frame means for the connection. */
static void note(struct raw_peer *p, const uint8_t head[9], uint8_t *data, size_t len, bool pong)
{
    if (head[3] == RAW_GOAWAY)
        p->goaway = true;
    if (head[3] == RAW_SETTINGS && !(head[4] & RAW_ACK)) {
        for (size_t i = 0; i + 6 <= len; i += 6) {
            if (data[i] == 0 && data[i + 1] == 4) { /* SETTINGS_INITIAL_WINDOW_SIZE */
                p->stream_window += number(data + i + 2) - p->initial_window;
                p->initial_window = number(data + i + 2);
            }
        }
        raw_frame(p, RAW_SETTINGS, RAW_ACK, 0, NULL, 0);
    }
    if (head[3] == RAW_WINDOW_UPDATE && len == 4)
        *(number(head + 5) ? &p->stream_window : &p->window) += number(data);
    if (head[3] == RAW_PING && !(head[4] & RAW_ACK) && pong)
        raw_frame(p, RAW_PING, RAW_ACK, 0, data, 8);
}

/* One frame. RAW_STATUS: it does not end the stream, unless *ret_ended. */
static enum raw_end read_frame(struct raw_peer *p, uint32_t stream, bool pong, bool *ret_ended)
{
    static _Thread_local uint8_t data[1 << 20];
    uint8_t head[9];
    enum raw_end end = read_all(p, head, sizeof head);
    if (end != RAW_STATUS)
        return end;
    size_t len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
    end = len <= sizeof data ? read_all(p, data, len) : RAW_CLOSED;
    if (end != RAW_STATUS)
        return end;
    note(p, head, data, len, pong);
    *ret_ended = false;
    if (stream == 0 || number(head + 5) != stream)
        return RAW_STATUS;
    if (head[3] == RAW_RST_STREAM)
        return RAW_RESET;
    if (head[3] == RAW_HEADERS && (head[4] & RAW_END_STREAM)) {
        p->status = find_status(data, len);
        *ret_ended = true;
    }
    return RAW_STATUS;
}

enum raw_end raw_read_end(struct raw_peer *p, uint32_t stream, bool pong)
{
    for (;;) {
        bool ended = false;
        enum raw_end end = read_frame(p, stream, pong, &ended);
        if (end != RAW_STATUS || ended)
            return end;
    }
}

static bool readable(const struct raw_peer *p)
{
    struct pollfd fd = {.fd = p->fd, .events = POLLIN};
    return poll(&fd, 1, 0) > 0;
}

enum raw_end raw_pour(struct raw_peer *p, uint32_t stream, size_t total)
{
    static const uint8_t data[16384];
    while (total > 0) {
        int64_t n = p->window < p->stream_window ? p->window : p->stream_window;
        n = n < (int64_t)sizeof data ? n : (int64_t)sizeof data;
        n = n < (int64_t)total ? n : (int64_t)total;
        bool ended = false;
        if (n <= 0 || readable(p)) {
            enum raw_end end = read_frame(p, stream, true, &ended);
            if (end != RAW_STATUS || ended)
                return end;
            continue;
        }
        if (!raw_frame(p, RAW_DATA, 0, stream, data, (size_t)n))
            return RAW_CLOSED;
        p->window -= n;
        p->stream_window -= n;
        total -= (size_t)n;
    }
    return RAW_STATUS;
}
