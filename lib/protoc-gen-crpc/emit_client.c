/* The client's half of a service in the header: typed calls. */
#include "emit.h"

static const char unary[] = "/* Blocks. 0 and gives *ret_response (crpc_message_free), or -code and *ret_err. */\n"
                            "static inline int\n"
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

static const char start[] = "/* As crpc_unary_start; the response that on_done gets is a @output@. */\n"
                            "static inline int\n"
                            "@fn@(struct crpc_channel *channel, struct crpc_loop *loop,\n"
                            "    const struct crpc_call_options *options, const @input@ *request,\n"
                            "    crpc_unary_done *on_done, void *user, struct err *ret_err)\n"
                            "{\n"
                            "    return crpc_unary_start(channel, loop, @method@, options,\n"
                            "                            (const ProtobufCMessage *)request, on_done, user, ret_err);\n"
                            "}\n";

static const char open_server_stream[] =
    "/* Opens the stream, writes the request and closes the writing half. NULL and *ret_err on failure. */\n"
    "static inline struct crpc_stream *\n"
    "@fn@(struct crpc_channel *channel,\n"
    "    const struct crpc_call_options *options, const @input@ *request,\n"
    "    struct err *ret_err)\n"
    "{\n"
    "    struct crpc_stream *stream = crpc_stream_open(channel, @method@,\n"
    "                                                  options, ret_err);\n"
    "    if (stream && (crpc_stream_write(stream, (const ProtobufCMessage *)request, ret_err) != 0 ||\n"
    "                   crpc_stream_close_write(stream, ret_err) != 0)) {\n"
    "        crpc_stream_free(stream);\n"
    "        stream = NULL;\n"
    "    }\n"
    "    return stream;\n"
    "}\n";

static const char open_stream[] = "/* NULL and *ret_err on failure. */\n"
                                  "static inline struct crpc_stream *\n"
                                  "@fn@(struct crpc_channel *channel,\n"
                                  "    const struct crpc_call_options *options, struct err *ret_err)\n"
                                  "{\n"
                                  "    return crpc_stream_open(channel, @method@, options, ret_err);\n"
                                  "}\n";

static const char write_stream[] = "/* As crpc_stream_write. After the last one: crpc_stream_close_write. */\n"
                                   "static inline int\n"
                                   "@fn@(struct crpc_stream *stream, const @input@ *request,\n"
                                   "    struct err *ret_err)\n"
                                   "{\n"
                                   "    return crpc_stream_write(stream, (const ProtobufCMessage *)request, ret_err);\n"
                                   "}\n";

static const char read_stream[] =
    "/* As crpc_stream_read: 1 and gives *ret_msg (crpc_message_free), 0 at the end, -code and *ret_err. */\n"
    "static inline int\n"
    "@fn@(struct crpc_stream *stream, @output@ **ret_msg,\n"
    "    struct err *ret_err)\n"
    "{\n"
    "    ProtobufCMessage *msg = NULL;\n"
    "    int result = crpc_stream_read(stream, &msg, ret_err);\n"
    "    if (result > 0)\n"
    "        *ret_msg = (@output@ *)msg;\n"
    "    return result;\n"
    "}\n";

static const char *const templates[FN_COUNT] = {
    [FN_UNARY] = unary, [FN_START] = start, [FN_OPEN] = open_stream, [FN_WRITE] = write_stream, [FN_READ] = read_stream,
};

void emit_client_half(struct text *out, const struct service *service)
{
    text_add(out, "\n/* client */\n");
    for (size_t i = 0; i < service->n_methods; i++) {
        const struct method *method = &service->methods[i];
        const char *pointer = pool_printf(out->pool, "&%s.methods[%s]", service->symbol, method->index);
        for (enum function fn = FN_UNARY; fn <= FN_READ; fn++) {
            if (!model_kind_has(method->kind, fn))
                continue;
            const char *template =
                method->kind == KIND_SERVER_STREAM && fn == FN_OPEN ? open_server_stream : templates[fn];
            text_char(out, '\n');
            if (fn == FN_UNARY || fn == FN_OPEN)
                text_comment(out, "", method->comment);
            text_fill(out, template,
                      (struct text_var[]){{"fn", model_function(out->pool, method, fn)},
                                          {"input", method->input->c_type},
                                          {"output", method->output->c_type},
                                          {"method", pointer},
                                          {NULL, NULL}});
        }
    }
}
