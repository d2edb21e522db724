/* bench_download: reads the file of an export as bench_raw_stream reads its stream, on gRPC core alone, without looking
 * at what comes, again and again; so what is measured is the server. Prints `figure download <rate> MB/s`, of bytes of
 * the file; with `packed` they come as the server keeps them, and are not unpacked and not checked here.
 *
 *     bench_download ADDRESS TOKEN-FILE EXPORT SECONDS [packed] */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>

#include "keep_memory.h"

#define PATH "/joblog.v1.ExportService/DownloadExport"

enum { WARM_UP_SHARE = 4 /* of the time, before it counts: core learns how large its windows may be */ };

static void die(const char *what)
{
    fprintf(stderr, "bench_download: %s\n", what);
    exit(1);
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* DownloadExportRequest with its id, field 1, and accept_zstd, field 5. */
static grpc_byte_buffer *make_request(int64_t id, bool packed)
{
    uint8_t wire[13], *p = wire;
    *p++ = 1 << 3;
    for (uint64_t v = (uint64_t)id; p == wire + 1 || v; v >>= 7)
        *p++ = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
    if (packed) {
        *p++ = 5 << 3;
        *p++ = 1;
    }
    grpc_slice slice = grpc_slice_from_copied_buffer((const char *)wire, (size_t)(p - wire));
    grpc_byte_buffer *out = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return out;
}

static char *read_token(const char *path)
{
    static char token[4096] = "Bearer ";
    size_t head = strlen(token);
    FILE *in = fopen(path, "re");
    if (!in || !fgets(token + head, (int)(sizeof token - head), in))
        die(path);
    fclose(in);
    token[strcspn(token, "\r\n")] = '\0';
    return token;
}

struct download {
    grpc_channel *channel;
    grpc_completion_queue *cq;
    const char *token;
    int64_t id;
    bool packed;
};

static uint64_t take_varint(const uint8_t **io_at, const uint8_t *end)
{
    uint64_t n = 0;
    for (int shift = 0; *io_at < end && shift < 64; shift += 7) {
        uint8_t byte = *(*io_at)++;
        n |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            break;
    }
    return n;
}

/* How many bytes of the file a DownloadExportResponse has: unpacked_size, field 6, or the length of data, field 3,
 * which is the last one. */
static double bytes_of(grpc_byte_buffer *in)
{
    grpc_byte_buffer_reader reader;
    grpc_slice *first = NULL;
    double bytes = 0;
    if (!grpc_byte_buffer_reader_init(&reader, in) || !grpc_byte_buffer_reader_peek(&reader, &first))
        return 0;
    const uint8_t *at = GRPC_SLICE_START_PTR(*first), *end = GRPC_SLICE_END_PTR(*first);
    while (at < end) {
        uint64_t tag = take_varint(&at, end), n = take_varint(&at, end);
        if (tag == (6 << 3))
            bytes = (double)n;
        if (tag == (3 << 3 | 2)) {
            bytes = bytes > 0 ? bytes : (double)n;
            break;
        }
        if ((tag & 7) == 2)
            at = n < (uint64_t)(end - at) ? at + n : end;
    }
    grpc_byte_buffer_reader_destroy(&reader);
    return bytes;
}

static void next_event(grpc_completion_queue *cq, void *tag)
{
    grpc_event ev = grpc_completion_queue_pluck(cq, tag, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    if (ev.type != GRPC_OP_COMPLETE)
        die("no event");
}

/* All messages of one download; their bytes are added to *bytes. Until the end, or until `until`. */
static void read_all(grpc_call *call, grpc_completion_queue *cq, double until, double *bytes)
{
    while (now() < until) {
        grpc_byte_buffer *in = NULL;
        grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &in};
        if (grpc_call_start_batch(call, &op, 1, &in, NULL) != GRPC_CALL_OK)
            die("receive");
        next_event(cq, &in);
        if (!in)
            return;
        *bytes += bytes_of(in);
        grpc_byte_buffer_destroy(in);
    }
    grpc_call_cancel(call, NULL);
}

static void download(const struct download *d, double until, double *bytes)
{
    grpc_metadata token = {.key = grpc_slice_from_static_string("authorization"),
                           .value = grpc_slice_from_static_string(d->token)};
    grpc_metadata_array initial, trailing;
    grpc_metadata_array_init(&initial);
    grpc_metadata_array_init(&trailing);
    grpc_status_code code = GRPC_STATUS_OK;
    grpc_slice text = grpc_empty_slice();
    char open_tag, status_tag;
    grpc_call *call =
        grpc_channel_create_call(d->channel, NULL, GRPC_PROPAGATE_DEFAULTS, d->cq, grpc_slice_from_static_string(PATH),
                                 NULL, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_byte_buffer *request = make_request(d->id, d->packed);
    grpc_op ops[4] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA, .data.send_initial_metadata = {.count = 1, .metadata = &token}},
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = request},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
        {.op = GRPC_OP_RECV_INITIAL_METADATA, .data.recv_initial_metadata.recv_initial_metadata = &initial}};
    grpc_op status = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                      .data.recv_status_on_client = {&trailing, &code, &text, NULL}};
    if (grpc_call_start_batch(call, &status, 1, &status_tag, NULL) != GRPC_CALL_OK ||
        grpc_call_start_batch(call, ops, 4, &open_tag, NULL) != GRPC_CALL_OK)
        die("open");
    read_all(call, d->cq, until, bytes);
    next_event(d->cq, &open_tag);
    next_event(d->cq, &status_tag);
    if (code != GRPC_STATUS_OK && code != GRPC_STATUS_CANCELLED)
        die(grpc_slice_to_c_string(text));
    grpc_slice_unref(text);
    grpc_byte_buffer_destroy(request);
    grpc_metadata_array_destroy(&initial);
    grpc_metadata_array_destroy(&trailing);
    grpc_call_unref(call);
}

int main(int argc, char **argv)
{
    keep_memory();
    if (argc < 5 || argc > 6 || (argc == 6 && strcmp(argv[5], "packed") != 0))
        die("usage: bench_download ADDRESS TOKEN-FILE EXPORT SECONDS [packed]");
    grpc_init();
    struct download d = {.channel = grpc_channel_create(argv[1], grpc_insecure_credentials_create(), NULL),
                         .cq = grpc_completion_queue_create_for_pluck(NULL),
                         .token = read_token(argv[2]),
                         .id = strtoll(argv[3], NULL, 10),
                         .packed = argc == 6};
    double seconds = strtod(argv[4], NULL), bytes = 0, begin = now(), from = begin + seconds / WARM_UP_SHARE;
    while (now() < from)
        download(&d, from, &bytes);
    bytes = 0;
    from = now();
    double until = from + seconds;
    while (now() < until)
        download(&d, until, &bytes);
    printf("figure download %.0f MB/s\n", bytes / (now() - from) / 1e6);
    grpc_channel_destroy(d.channel);
    return 0;
}
