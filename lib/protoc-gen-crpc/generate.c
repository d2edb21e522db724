/* The plugin's work between request and response: options, model, and the text of each file. Reads and writes nothing
 * but memory. */
#include "generate.h"

#include <string.h>

#include "emit.h"

/* "only=client,..." Unknown words are errors: a mistyped option must not be silently without effect. */
static const char *parse_options(struct pool *pool, const char *parameter, struct options *ret_options)
{
    struct options options = {.client = true, .server = true};
    for (const char *s = parameter ? parameter : ""; *s;) {
        size_t len = strcspn(s, ",");
        const char *word = pool_strndup(pool, s, len);
        if (strcmp(word, "only=client") == 0)
            options.server = false;
        else if (strcmp(word, "only=server") == 0)
            options.client = false;
        else if (len)
            return pool_printf(pool, "unknown option \"%s\"; there are only=client and only=server", word);
        s += len + (s[len] == ',');
    }
    if (!options.client && !options.server)
        return "only=client and only=server exclude each other";
    *ret_options = options;
    return NULL;
}

static Google__Protobuf__Compiler__CodeGeneratorResponse__File *new_output(struct pool *pool, const struct file *file,
                                                                           const char *suffix, const struct text *text)
{
    Google__Protobuf__Compiler__CodeGeneratorResponse__File *output = pool_alloc(pool, sizeof *output);
    google__protobuf__compiler__code_generator_response__file__init(output);
    output->name = pool_printf(pool, "%s%s", file->stem, suffix);
    output->content = text->data;
    return output;
}

void generate(struct pool *pool, const Google__Protobuf__Compiler__CodeGeneratorRequest *request,
              Google__Protobuf__Compiler__CodeGeneratorResponse *response)
{
    struct model model = {0};
    const char *error = parse_options(pool, request->parameter, &model.options);
    if (!error && !model_build(&model, pool, request))
        error = model.error;
    if (error) {
        response->error = pool_strdup(pool, error);
        return;
    }
    response->file = pool_array(pool, model.n_wanted * 2, sizeof *response->file);
    for (size_t i = 0; i < model.n_wanted; i++) {
        struct text header = text_new(pool), source = text_new(pool);
        emit_header(&header, &model, model.wanted[i]);
        emit_source(&source, &model, model.wanted[i]);
        response->file[response->n_file++] = new_output(pool, model.wanted[i], ".crpc.h", &header);
        response->file[response->n_file++] = new_output(pool, model.wanted[i], ".crpc.c", &source);
    }
}
