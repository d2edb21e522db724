/* The client's half of a service in the header: typed calls. */
#include "emit.h"

static const char unary[] = "static inline int\n"
                            "@fn@(struct crpc_channel *channel,\n"
                            "    const struct crpc_call_options *options, const @input@ *request,\n"
                            "    @output@ **ret_response, struct err *ret_err)\n"
                            "{\n"
                            "    ProtobufCMessage *msg = NULL;\n"
                            "    int result = crpc_unary(channel, @method@, options,\n"
                            "                            (const ProtobufCMessage *)request, &msg, ret_err);\n"
                            "    if (result == 0)\n"
                            "        *ret_response = (@output@ *)msg;\n"
                            "    return result;\n"
                            "}\n";

static const char start[] = "static inline int\n"
                            "@fn@(struct crpc_channel *channel, struct crpc_loop *loop,\n"
                            "    const struct crpc_call_options *options, const @input@ *request,\n"
                            "    crpc_unary_done *on_done, void *user, struct err *ret_err)\n"
                            "{\n"
                            "    return crpc_unary_start(channel, loop, @method@, options,\n"
                            "                            (const ProtobufCMessage *)request, on_done, user, ret_err);\n"
                            "}\n";

static const char open_server_stream[] =
    "static inline struct crpc_stream *\n"
    "@fn@(struct crpc_channel *channel,\n"
    "    const struct crpc_call_options *options, const @input@ *request,\n"
    "    struct err *ret_err)\n"
    "{\n"
    "    struct crpc_stream *stream = crpc_stream_open(channel, @method@,\n"
    "                                                  options, ret_err);\n"
    "    /* A write fails only when the call is over, and then reading tells how it ended. */\n"
    "    if (stream && crpc_stream_write(stream, (const ProtobufCMessage *)request, NULL) == 0)\n"
    "        (void)crpc_stream_close_write(stream, NULL);\n"
    "    return stream;\n"
    "}\n";

static const char open_stream[] = "static inline struct crpc_stream *\n"
                                  "@fn@(struct crpc_channel *channel,\n"
                                  "    const struct crpc_call_options *options, struct err *ret_err)\n"
                                  "{\n"
                                  "    return crpc_stream_open(channel, @method@, options, ret_err);\n"
                                  "}\n";

static const char write_stream[] = "static inline int\n"
                                   "@fn@(struct crpc_stream *stream, const @input@ *request,\n"
                                   "    struct err *ret_err)\n"
                                   "{\n"
                                   "    return crpc_stream_write(stream, (const ProtobufCMessage *)request, ret_err);\n"
                                   "}\n";

static const char read_stream[] = "static inline int\n"
                                  "@fn@(struct crpc_stream *stream, @output@ **ret_msg,\n"
                                  "    struct err *ret_err)\n"
                                  "{\n"
                                  "    ProtobufCMessage *msg = NULL;\n"
                                  "    int result = crpc_stream_read(stream, &msg, ret_err);\n"
                                  "    if (result > 0)\n"
                                  "        *ret_msg = (@output@ *)msg;\n"
                                  "    return result;\n"
                                  "}\n";

static const char start_server_stream[] =
    "static inline struct crpc_async *\n"
    "@fn@(struct crpc_channel *channel, struct crpc_loop *loop,\n"
    "    const struct crpc_call_options *options, const @input@ *request,\n"
    "    const struct crpc_async_events *events, void *user, struct err *ret_err)\n"
    "{\n"
    "    return crpc_async_start(channel, loop, @method@, options,\n"
    "                            (const ProtobufCMessage *)request, events, user, ret_err);\n"
    "}\n";

static const char start_stream[] = "static inline struct crpc_async *\n"
                                   "@fn@(struct crpc_channel *channel, struct crpc_loop *loop,\n"
                                   "    const struct crpc_call_options *options,\n"
                                   "    const struct crpc_async_events *events, void *user, struct err *ret_err)\n"
                                   "{\n"
                                   "    return crpc_async_start(channel, loop, @method@, options,\n"
                                   "                            NULL, events, user, ret_err);\n"
                                   "}\n";

static const char push[] = "static inline int\n"
                           "@fn@(struct crpc_async *stream, const @input@ *request,\n"
                           "    struct err *ret_err)\n"
                           "{\n"
                           "    return crpc_async_write(stream, (const ProtobufCMessage *)request, ret_err);\n"
                           "}\n";

static const char message[] = "static inline const @output@ *\n"
                              "@fn@(const ProtobufCMessage *msg)\n"
                              "{\n"
                              "    return (const @output@ *)msg;\n"
                              "}\n";

/* What a comment says after the rpc's own, and the function. */
struct wrapper {
    const char *note;
    const char *body;
};

static const struct wrapper wrappers[FN_COUNT] = {
    [FN_UNARY] = {"Blocks. 0 and gives *ret_response (crpc_message_free), or -code and *ret_err.", unary},
    [FN_START] = {"As crpc_async_start.", start_stream},
    [FN_OPEN] = {"NULL and *ret_err on failure.", open_stream},
    [FN_WRITE] = {"As crpc_stream_write. After the last one: crpc_stream_close_write.", write_stream},
    [FN_READ] = {"As crpc_stream_read: 1 and gives *ret_msg (crpc_message_free), 0 at the end, or -code and *ret_err.",
                 read_stream},
    [FN_PUSH] = {"As crpc_async_write. After the last one: crpc_async_close_write.", push},
    [FN_MESSAGE] = {"What on_message is given.", message},
};
static const struct wrapper unary_start = {"As crpc_unary_start.", start};
static const struct wrapper unary_message = {"What on_done is given; NULL for NULL.", message};
static const struct wrapper server_stream_start = {"As crpc_async_start.", start_server_stream};
static const struct wrapper server_stream_open = {
    "Opens the stream, writes the request and closes the writing half. NULL and *ret_err on failure; a call\n"
    "that is refused is a stream all the same, and its first read says why.",
    open_server_stream};

/* The kinds' own, where they differ. */
static const struct wrapper *find_wrapper(enum kind kind, enum function fn)
{
    if (kind == KIND_UNARY && fn == FN_START)
        return &unary_start;
    if (kind == KIND_UNARY && fn == FN_MESSAGE)
        return &unary_message;
    if (kind == KIND_SERVER_STREAM && fn == FN_START)
        return &server_stream_start;
    if (kind == KIND_SERVER_STREAM && fn == FN_OPEN)
        return &server_stream_open;
    return &wrappers[fn];
}

static void emit_function(struct text *out, const struct service *service, const struct method *method,
                          enum function fn)
{
    const struct wrapper *wrapper = find_wrapper(method->kind, fn);
    const struct text_var vars[] = {
        {"fn", model_function(out->pool, method, fn)},
        {"input", method->input->c_type},
        {"output", method->output->c_type},
        {"method", pool_printf(out->pool, "&%s.methods[%s]", service->symbol, method->index)},
        {NULL, NULL},
    };
    struct text comment = text_new(out->pool);
    if (method->comment && (fn == FN_UNARY || fn == FN_OPEN))
        text_printf(&comment, "%.*s\n", (int)text_trimmed_len(method->comment), method->comment);
    text_fill(&comment, wrapper->note, vars);
    text_char(out, '\n');
    text_comment(out, "", comment.data);
    text_fill(out, wrapper->body, vars);
}

void emit_client_half(struct text *out, const struct service *service)
{
    text_add(out, "\n/* client */\n");
    for (size_t i = 0; i < service->n_methods; i++)
        for (enum function fn = FN_UNARY; fn <= FN_MESSAGE; fn++)
            if (model_kind_has(service->methods[i].kind, fn))
                emit_function(out, service, &service->methods[i], fn);
}
