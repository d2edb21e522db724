/* The server's half of a service in the header: table of handlers, mount function, typed views of a call. */
#include "emit.h"

static const char *const templates[FN_COUNT] = {
    [FN_REQUEST] = "/* The request. Lives as long as the call. */\n"
                   "static inline const @input@ *\n"
                   "@fn@(const struct crpc_call *call)\n"
                   "{\n"
                   "    return (const @input@ *)crpc_call_request(call);\n"
                   "}\n",
    [FN_RECEIVED] = "/* After crpc_recv: the message, or NULL at the end. Valid until the next crpc_recv. */\n"
                    "static inline const @input@ *\n"
                    "@fn@(const struct crpc_call *call)\n"
                    "{\n"
                    "    return (const @input@ *)crpc_call_received(call);\n"
                    "}\n",
    [FN_REPLY] = "/* Ends the call with OK and this answer. Borrows msg. */\n"
                 "static inline enum crpc_next\n"
                 "@fn@(struct crpc_call *call, const @output@ *msg)\n"
                 "{\n"
                 "    return crpc_reply(call, (const ProtobufCMessage *)msg);\n"
                 "}\n",
    [FN_SEND] = "/* Sends one message, then step. Borrows msg. */\n"
                "static inline enum crpc_next\n"
                "@fn@(struct crpc_call *call, const @output@ *msg,\n"
                "    const struct crpc_step *step)\n"
                "{\n"
                "    return crpc_send(call, (const ProtobufCMessage *)msg, step);\n"
                "}\n",
};

static void emit_handlers(struct text *out, const struct service *service)
{
    text_printf(out, "/* How %s is served. */\nstruct %s {\n", service->full_name, service->handlers_tag);
    if (!service->n_methods) /* C has no empty struct */
        text_add(out, "    char none; /* the service has no methods */\n");
    for (size_t i = 0; i < service->n_methods; i++) {
        text_comment(out, "    ", service->methods[i].comment);
        text_printf(out, "    struct crpc_handler %s;\n", service->methods[i].member);
    }
    text_printf(out,
                "};\n"
                "/* In place of crpc_server_mount. handlers: kept. Every method needs first or simple. */\n"
                "int %s(struct crpc_server *server, const struct %s *handlers,\n"
                "    void *user, struct err *ret_err);\n",
                service->mount, service->handlers_tag);
}

void emit_server_half(struct text *out, const struct service *service)
{
    text_add(out, "/* server */\n\n");
    emit_handlers(out, service);
    for (size_t i = 0; i < service->n_methods; i++) {
        const struct method *method = &service->methods[i];
        for (enum function fn = FN_REQUEST; fn <= FN_SEND; fn++) {
            if (!model_kind_has(method->kind, fn))
                continue;
            text_char(out, '\n');
            text_fill(out, templates[fn],
                      (struct text_var[]){{"fn", model_function(out->pool, method, fn)},
                                          {"input", method->input->c_type},
                                          {"output", method->output->c_type},
                                          {NULL, NULL}});
        }
    }
}
