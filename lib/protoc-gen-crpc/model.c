/* From the request to the model: files and types first, because a method may name a type of any file; then the
 * services of the files to generate (services.c). Nothing of the request is taken on trust: protoc sends sound ones,
 * but the plugin can be fed by hand. */
#include "model.h"

#include <string.h>

#include "protobuf_c_options.pb-c.h"
#include "services.h"

enum { PROTOBUF_C_FILE_OPTIONS = 1019 };

/* protobuf-c's own options of a file, or NULL. An extension that this program does not know stays behind as the bytes
 * of an unknown field, length first. */
static Crpc__Gen__ProtobufCFileOptions *protobuf_c_options(const Google__Protobuf__FileOptions *options)
{
    for (unsigned i = 0; options && i < options->base.n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *field = &options->base.unknown_fields[i];
        if (field->tag != PROTOBUF_C_FILE_OPTIONS || field->wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
            continue;
        size_t prefix = 0;
        while (prefix < field->len && field->data[prefix] & 0x80)
            prefix++;
        if (prefix < field->len)
            return crpc__gen__protobuf_cfile_options__unpack(NULL, field->len - prefix - 1, field->data + prefix + 1);
    }
    return NULL;
}

/* "a.v1" and ".Foo" under c_package "x.y": "x.y.Foo" */
static const char *protobuf_c_full_name(struct model *model, const struct file *file, const char *full_name)
{
    if (!file->c_package)
        return full_name;
    size_t skip = strlen(file->package);
    return pool_printf(model->pool, "%s%s%s", file->c_package, skip ? "" : ".", full_name + skip);
}

static void add_type(struct model *model, const struct file *file, const char *full_name)
{
    if (model->n_types == model->cap_types) {
        size_t cap = model->cap_types * 2 + 64;
        struct type *types = pool_array(model->pool, cap, sizeof *types);
        if (model->n_types)
            memcpy(types, model->types, model->n_types * sizeof *types);
        model->types = types;
        model->cap_types = cap;
    }
    const char *c_name = protobuf_c_full_name(model, file, full_name);
    model->types[model->n_types++] = (struct type){
        .full_name = pool_printf(model->pool, ".%s", full_name),
        .c_type = names_protobuf_c_type(model->pool, c_name),
        .c_lower = names_protobuf_c_lower(model->pool, c_name),
        .generated = file->has_messages,
    };
}

static bool add_types(struct model *model, const struct file *file, const char *scope,
                      Google__Protobuf__DescriptorProto *const *messages, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!names_is_valid(messages[i]->name, false)) {
            model->error = pool_printf(model->pool, "%s: a message without a proper name", file->name);
            return false;
        }
        const char *full_name = pool_printf(model->pool, "%s%s%s", scope, *scope ? "." : "", messages[i]->name);
        add_type(model, file, full_name);
        if (!add_types(model, file, full_name, messages[i]->nested_type, messages[i]->n_nested_type))
            return false;
    }
    return true;
}

static struct file *find_file(const struct model *model, const char *name, size_t n_files)
{
    for (size_t i = 0; i < n_files; i++)
        if (strcmp(model->files[i].name, name) == 0)
            return &model->files[i];
    return NULL;
}

static bool add_imports(struct model *model, struct file *file, size_t n_before)
{
    file->n_imports = file->proto->n_dependency;
    file->imports = pool_array(model->pool, file->n_imports, sizeof *file->imports);
    for (size_t i = 0; i < file->n_imports; i++) {
        file->imports[i] = find_file(model, file->proto->dependency[i], n_before);
        if (!file->imports[i]) {
            model->error = pool_printf(model->pool, "%s: the request lacks its import %s, or has it later", file->name,
                                       file->proto->dependency[i]);
            return false;
        }
    }
    return true;
}

/* Two files with one symbol would compile, and then not link. */
static bool check_symbol(struct model *model, const struct file *file, size_t n_before)
{
    for (size_t i = 0; i < n_before; i++) {
        if (strcmp(model->files[i].symbol, file->symbol) == 0) {
            model->error = pool_printf(model->pool, "%s and %s would both be called %s in C: rename one of them",
                                       model->files[i].name, file->name, file->symbol);
            return false;
        }
    }
    return true;
}

/* A younger protoc has more languages (editions), whose features nothing here reads. */
static bool check_syntax(struct model *model, const struct file *file)
{
    const char *syntax = file->proto->syntax;
    if (!syntax || !*syntax || strcmp(syntax, "proto2") == 0 || strcmp(syntax, "proto3") == 0)
        return true;
    model->error =
        pool_printf(model->pool, "%s: is written in %s; only proto2 and proto3 are known here", file->name, syntax);
    return false;
}

static bool add_file(struct model *model, struct file *file, size_t n_before)
{
    struct pool *pool = model->pool;
    if (!file->proto->name || !*file->proto->name) {
        model->error = "the request has a file without a name";
        return false;
    }
    file->name = file->proto->name;
    /* Part of an #include, where nothing can be escaped. */
    if (strpbrk(file->name, "\"\\\n\r")) {
        model->error = "the name of a file has a quote, a backslash or a line break";
        return false;
    }
    file->stem = names_stem(pool, file->name);
    file->package = file->proto->package ? file->proto->package : "";
    const char *base = strrchr(file->stem, '/');
    file->symbol = names_snake(pool, pool_printf(pool, "%s.%s.file", file->package, base ? base + 1 : file->stem));
    file->has_messages = true;
    Crpc__Gen__ProtobufCFileOptions *options = protobuf_c_options(file->proto->options);
    if (options) {
        file->has_messages = !options->no_generate;
        file->c_package = options->c_package ? pool_strdup(pool, options->c_package) : NULL;
        crpc__gen__protobuf_cfile_options__free_unpacked(options, NULL);
    }
    if (*file->package && !names_is_valid(file->package, true)) {
        model->error = pool_printf(pool, "%s: the name of its package is none", file->name);
        return false;
    }
    if (file->c_package && !names_is_valid(file->c_package, true)) {
        model->error = pool_printf(pool, "%s: its c_package is no name", file->name);
        return false;
    }
    if (strcmp(file->package, "crpc") == 0) {
        model->error = pool_printf(pool, "%s: package crpc is the runtime's; \"crpc.something\" is free", file->name);
        return false;
    }
    if (find_file(model, file->name, n_before)) {
        model->error = pool_printf(pool, "%s: twice in the request", file->name);
        return false;
    }
    return check_symbol(model, file, n_before) && add_imports(model, file, n_before) &&
           add_types(model, file, file->package, file->proto->message_type, file->proto->n_message_type);
}

bool model_build(struct model *model, struct pool *pool,
                 const Google__Protobuf__Compiler__CodeGeneratorRequest *request)
{
    model->pool = pool;
    model->n_files = request->n_proto_file;
    model->files = pool_array(pool, model->n_files, sizeof *model->files);
    for (size_t i = 0; i < model->n_files; i++) {
        model->files[i].proto = request->proto_file[i];
        if (!add_file(model, &model->files[i], i))
            return false;
    }
    model->n_wanted = request->n_file_to_generate;
    model->wanted = pool_array(pool, model->n_wanted, sizeof(struct file *));
    for (size_t i = 0; i < model->n_wanted; i++) {
        struct file *file = find_file(model, request->file_to_generate[i], model->n_files);
        if (!file) {
            model->error =
                pool_printf(pool, "%s: to be generated, but not in the request", request->file_to_generate[i]);
            return false;
        }
        model->wanted[i] = file;
        if (!check_syntax(model, file))
            return false;
        if (!services_build(model, file))
            return false;
    }
    return true;
}
