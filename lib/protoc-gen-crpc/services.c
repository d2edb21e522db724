/* Services and methods of one file: their types, comments and C names. Names are handed out in the order of the file,
 * first the file's and the services', then the methods', so that adding a method at the end renames nothing. */
#include "services.h"

#include <string.h>

enum { ALL_KINDS = 1 << KIND_UNARY | 1 << KIND_CLIENT_STREAM | 1 << KIND_SERVER_STREAM | 1 << KIND_BIDI_STREAM };

static const struct {
    const char *suffix;
    unsigned kinds; /* bits */
} functions[FN_COUNT] = {
    [FN_REQUEST] = {"_request", 1u << KIND_UNARY | 1u << KIND_SERVER_STREAM},
    [FN_RECEIVED] = {"_received", 1u << KIND_CLIENT_STREAM | 1u << KIND_BIDI_STREAM},
    [FN_REPLY] = {"_reply", 1u << KIND_UNARY | 1u << KIND_CLIENT_STREAM},
    [FN_SEND] = {"_send", 1u << KIND_SERVER_STREAM | 1u << KIND_BIDI_STREAM},
    [FN_UNARY] = {"", 1u << KIND_UNARY},
    [FN_START] = {"_start", ALL_KINDS},
    [FN_OPEN] = {"_open", 1u << KIND_CLIENT_STREAM | 1u << KIND_SERVER_STREAM | 1u << KIND_BIDI_STREAM},
    [FN_WRITE] = {"_write", 1u << KIND_CLIENT_STREAM | 1u << KIND_BIDI_STREAM},
    [FN_READ] = {"_read", 1u << KIND_CLIENT_STREAM | 1u << KIND_SERVER_STREAM | 1u << KIND_BIDI_STREAM},
    [FN_PUSH] = {"_push", 1u << KIND_CLIENT_STREAM | 1u << KIND_BIDI_STREAM},
    [FN_MESSAGE] = {"_message", ALL_KINDS},
};

bool model_kind_has(enum kind kind, enum function fn)
{
    return functions[fn].kinds >> kind & 1;
}

const char *model_function(struct pool *pool, const struct method *method, enum function fn)
{
    return pool_printf(pool, "%s%s%s", method->prefix, functions[fn].suffix, method->tail);
}

/* Comment at a path of the file: what stands before the thing, else what stands behind it on its line. */
static const char *find_comment(const struct file *file, const int32_t *path, size_t len)
{
    const Google__Protobuf__SourceCodeInfo *info = file->proto->source_code_info;
    for (size_t i = 0; info && i < info->n_location; i++) {
        const Google__Protobuf__SourceCodeInfo__Location *at = info->location[i];
        if (at->n_path == len && memcmp(at->path, path, len * sizeof *path) == 0)
            return at->leading_comments ? at->leading_comments : at->trailing_comments;
    }
    return NULL;
}

static const struct type *find_type(const struct model *model, const char *full_name)
{
    for (size_t i = 0; full_name && i < model->n_types; i++)
        if (strcmp(model->types[i].full_name, full_name) == 0)
            return &model->types[i];
    return NULL;
}

static bool check_type(struct model *model, const struct file *file, const char *method, const struct type *type,
                       const char *name)
{
    if (type && type->generated)
        return true;
    model->error = pool_printf(
        model->pool, type ? "%s: %s: protobuf-c is told not to generate %s" : "%s: %s: no message %s in the request",
        file->name, method, name ? name : "(none)");
    return false;
}

/* Underscores behind all functions of a method, as many as make every one of them free. */
static const char *claim_functions(struct names *names, struct method *method)
{
    for (method->tail = "";; method->tail = pool_printf(names->pool, "%s_", method->tail)) {
        bool all_free = true;
        for (enum function fn = 0; fn < FN_COUNT; fn++)
            if (model_kind_has(method->kind, fn))
                all_free &= names_is_free(names, model_function(names->pool, method, fn));
        if (all_free)
            break;
    }
    for (enum function fn = 0; fn < FN_COUNT; fn++)
        if (model_kind_has(method->kind, fn))
            names_take(names, model_function(names->pool, method, fn));
    return method->tail;
}

static bool build_method(struct model *model, const struct file *file, const struct service *service,
                         const Google__Protobuf__MethodDescriptorProto *proto, struct method *method)
{
    struct pool *pool = model->pool;
    if (!names_is_valid(proto->name, false)) {
        model->error = pool_printf(pool, "%s: %s has a method without a proper name", file->name, service->full_name);
        return false;
    }
    method->name = proto->name;
    method->path = pool_printf(pool, "/%s/%s", service->full_name, proto->name);
    method->kind = proto->client_streaming   ? proto->server_streaming ? KIND_BIDI_STREAM : KIND_CLIENT_STREAM
                   : proto->server_streaming ? KIND_SERVER_STREAM
                                             : KIND_UNARY;
    method->input = find_type(model, proto->input_type);
    method->output = find_type(model, proto->output_type);
    return check_type(model, file, method->path, method->input, proto->input_type) &&
           check_type(model, file, method->path, method->output, proto->output_type);
}

static bool build_methods(struct model *model, const struct file *file, struct names *names, size_t i)
{
    struct pool *pool = model->pool;
    struct service *service = &file->services[i];
    const Google__Protobuf__ServiceDescriptorProto *proto = file->proto->service[i];
    const char *prefix = names_snake(pool, service->full_name);
    struct names members = {.pool = pool, .members = true};
    for (size_t j = 0; j < service->n_methods; j++) {
        struct method *method = &service->methods[j];
        if (!build_method(model, file, service, proto->method[j], method))
            return false;
        const char *snake = names_snake(pool, method->name);
        method->comment = find_comment(file, (int32_t[]){6, (int32_t)i, 2, (int32_t)j}, 4);
        method->member = names_claim(&members, snake);
        method->prefix = pool_printf(pool, "%s_%s", prefix, snake);
        method->tail = claim_functions(names, method);
        method->index = names_claim(names, names_upper(pool, method->prefix));
    }
    return true;
}

bool services_build(struct model *model, struct file *file)
{
    struct pool *pool = model->pool;
    struct names names = {.pool = pool};
    names_take(&names, file->symbol);
    file->n_services = file->proto->n_service;
    file->services = pool_array(pool, file->n_services, sizeof *file->services);
    for (size_t i = 0; i < file->n_services; i++) {
        const Google__Protobuf__ServiceDescriptorProto *proto = file->proto->service[i];
        struct service *service = &file->services[i];
        if (!names_is_valid(proto->name, false)) {
            model->error = pool_printf(pool, "%s: a service without a proper name", file->name);
            return false;
        }
        service->full_name = pool_printf(pool, "%s%s%s", file->package, *file->package ? "." : "", proto->name);
        service->comment = find_comment(file, (int32_t[]){6, (int32_t)i}, 2);
        service->n_methods = proto->n_method;
        service->methods = pool_array(pool, service->n_methods, sizeof *service->methods);
        const char *snake = names_snake(pool, service->full_name);
        service->symbol = names_claim(&names, snake);
        service->handlers_tag = names_claim(&names, pool_printf(pool, "%s_handlers", snake));
        service->index_tag = names_claim(&names, pool_printf(pool, "%s_method", snake));
        service->mount = names_claim(&names, pool_printf(pool, "%s_mount", snake));
    }
    for (size_t i = 0; i < file->n_services; i++)
        if (!build_methods(model, file, &names, i))
            return false;
    return true;
}
