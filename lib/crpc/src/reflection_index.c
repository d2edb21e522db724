/* The index of reflection; see reflection_index.h. A file's descriptor is unpacked once, walked for the names that it
 * declares, and forgotten: what clients get are the bytes that the generator embedded. The descriptors are part of the
 * program, so depth and cycles are as protoc lets them be. */
#include "reflection_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "google/protobuf/descriptor.pb-c.h"

typedef Google__Protobuf__FileDescriptorProto file_t;
typedef Google__Protobuf__DescriptorProto message_t;
typedef Google__Protobuf__EnumDescriptorProto enum_t;
typedef Google__Protobuf__FieldDescriptorProto field_t;
typedef Google__Protobuf__ServiceDescriptorProto service_t;

static int no_memory(struct err *ret_err)
{
    return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

void index_init(struct reflection_index *index)
{
    memset(index, 0, sizeof *index);
    arena_init(&index->arena, NULL, 0, 0);
}

void index_done(struct reflection_index *index)
{
    mem_free(index->files);
    mem_free(index->symbols);
    mem_free(index->extensions);
    arena_done(&index->arena);
}

/* Room for one more element; the array, perhaps moved, or NULL with the old one as it was. */
static void *grow(void *array, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return array;
    size_t wanted = *cap ? *cap * 2 : 32;
    void *grown = mem_realloc(array, wanted * size);
    if (grown)
        *cap = wanted;
    return grown;
}

/* ---- names of a file ---- */

/* Gives the full name, or NULL when memory is short. */
static const char *add_symbol(struct reflection_index *index, const char *scope, const char *name, bool is_message)
{
    const char *full_name = arena_printf(&index->arena, "%s%s%s", scope, *scope ? "." : "", name);
    struct index_symbol *symbols = grow(index->symbols, index->n_symbols, &index->cap_symbols, sizeof *symbols);
    if (!symbols)
        return NULL;
    index->symbols = symbols;
    if (!full_name)
        return NULL;
    symbols[index->n_symbols++] =
        (struct index_symbol){.name = full_name, .file = index->n_files - 1, .is_message = is_message};
    return full_name;
}

static bool add_extensions(struct reflection_index *index, const char *scope, field_t *const *fields, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *extendee = fields[i]->extendee;
        if (*extendee == '.')
            extendee++;
        extendee = arena_str(&index->arena, span_str(extendee));
        struct index_extension *list =
            grow(index->extensions, index->n_extensions, &index->cap_extensions, sizeof *list);
        if (!list)
            return false;
        index->extensions = list;
        if (!extendee || !add_symbol(index, scope, fields[i]->name, false))
            return false;
        list[index->n_extensions++] = (struct index_extension){
            .extendee = extendee,
            .number = fields[i]->number,
            .file = index->n_files - 1,
        };
    }
    return true;
}

/* The values of an enum are its neighbours, as in C. */
static bool add_enums(struct reflection_index *index, const char *scope, enum_t *const *enums, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!add_symbol(index, scope, enums[i]->name, false))
            return false;
        for (size_t j = 0; j < enums[i]->n_value; j++)
            if (!add_symbol(index, scope, enums[i]->value[j]->name, false))
                return false;
    }
    return true;
}

static bool add_messages(struct reflection_index *index, const char *scope, message_t *const *messages, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const message_t *message = messages[i];
        const char *name = add_symbol(index, scope, message->name, true);
        if (!name)
            return false;
        for (size_t j = 0; j < message->n_field; j++)
            if (!add_symbol(index, name, message->field[j]->name, false))
                return false;
        for (size_t j = 0; j < message->n_oneof_decl; j++)
            if (!add_symbol(index, name, message->oneof_decl[j]->name, false))
                return false;
        if (!add_enums(index, name, message->enum_type, message->n_enum_type) ||
            !add_extensions(index, name, message->extension, message->n_extension) ||
            !add_messages(index, name, message->nested_type, message->n_nested_type))
            return false;
    }
    return true;
}

static bool add_services(struct reflection_index *index, const char *scope, service_t *const *services, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *name = add_symbol(index, scope, services[i]->name, false);
        if (!name)
            return false;
        for (size_t j = 0; j < services[i]->n_method; j++)
            if (!add_symbol(index, name, services[i]->method[j]->name, false))
                return false;
    }
    return true;
}

/* ---- files ---- */

/* Where a descriptor is unpacked to. */
struct scratch {
    struct arena arena;
    bool failed; /* memory was short, which protobuf-c does not tell from malformed bytes */
};

static void *scratch_alloc(void *scratch, size_t size)
{
    struct scratch *s = scratch;
    void *p = arena_alloc(&s->arena, size);
    s->failed = s->failed || !p;
    return p;
}

static void scratch_free(void *scratch, void *p)
{
    (void)scratch, (void)p; /* all at once */
}

/* The names that the newest file declares. */
static int add_names(struct reflection_index *index, const struct crpc_file *file, struct err *ret_err)
{
    struct scratch scratch = {.failed = false};
    arena_init(&scratch.arena, NULL, 0, 0);
    ProtobufCAllocator allocator = {.alloc = scratch_alloc, .free = scratch_free, .allocator_data = &scratch};
    const file_t *proto =
        google__protobuf__file_descriptor_proto__unpack(&allocator, file->descriptor_len, file->descriptor);
    int rc = 0;
    if (scratch.failed) {
        rc = no_memory(ret_err);
    } else if (!proto) {
        rc = err_set(ret_err, ERR_INVALID_ARGUMENT, "BAD_DESCRIPTOR", "the descriptor of %s is none", file->name);
    } else {
        const char *package = proto->package ? proto->package : "";
        if (!add_messages(index, package, proto->message_type, proto->n_message_type) ||
            !add_enums(index, package, proto->enum_type, proto->n_enum_type) ||
            !add_services(index, package, proto->service, proto->n_service) ||
            !add_extensions(index, package, proto->extension, proto->n_extension))
            rc = no_memory(ret_err);
    }
    arena_done(&scratch.arena);
    return rc;
}

const struct index_file *index_find_file(const struct reflection_index *index, const char *name)
{
    for (size_t i = 0; i < index->n_files; i++)
        if (strcmp(index->files[i].file->name, name) == 0)
            return &index->files[i];
    return NULL;
}

static bool same_file(const struct crpc_file *a, const struct crpc_file *b)
{
    return a == b ||
           (a->descriptor_len == b->descriptor_len && memcmp(a->descriptor, b->descriptor, a->descriptor_len) == 0);
}

int index_add(struct reflection_index *index, const struct crpc_file *file, struct err *ret_err)
{
    const struct index_file *known = index_find_file(index, file->name);
    if (known && same_file(known->file, file))
        return 0;
    if (known)
        return err_set(ret_err, ERR_ALREADY_EXISTS, "FILE_CONFLICT", "two different files are called %s", file->name);
    struct index_file *files = grow(index->files, index->n_files, &index->cap_files, sizeof *files);
    if (!files)
        return no_memory(ret_err);
    index->files = files;
    files[index->n_files++] = (struct index_file){.file = file};
    int rc = add_names(index, file, ret_err);
    for (size_t i = 0; rc == 0 && file->imports[i]; i++)
        rc = index_add(index, file->imports[i], ret_err);
    return rc;
}

/* ---- finishing ---- */

/* Marks what a file imports, and what that imports, with the number of the round. */
static size_t mark(const struct reflection_index *index, size_t at, size_t *marks, size_t round)
{
    if (marks[at] == round)
        return 0;
    marks[at] = round;
    size_t n = 1;
    const struct crpc_file *const *imports = index->files[at].file->imports;
    for (size_t i = 0; imports[i]; i++)
        n += mark(index, (size_t)(index_find_file(index, imports[i]->name) - index->files), marks, round);
    return n;
}

static ProtobufCBinaryData bytes_of(const struct crpc_file *file)
{
    /* protobuf-c knows no constant bytes; an answer is only ever packed. */
    return (ProtobufCBinaryData){.len = file->descriptor_len, .data = (uint8_t *)(uintptr_t)file->descriptor};
}

/* The file itself comes first: that is where clients look for what they asked for. */
static bool close_file(struct reflection_index *index, size_t at, size_t *marks)
{
    struct index_file *file = &index->files[at];
    size_t n = mark(index, at, marks, at + 1);
    file->all = arena_alloc(&index->arena, n * sizeof *file->all);
    if (!file->all)
        return false;
    file->all[file->n_all++] = bytes_of(file->file);
    for (size_t i = 0; i < index->n_files; i++)
        if (marks[i] == at + 1 && i != at)
            file->all[file->n_all++] = bytes_of(index->files[i].file);
    return true;
}

static int compare_symbols(const void *a, const void *b)
{
    return strcmp(((const struct index_symbol *)a)->name, ((const struct index_symbol *)b)->name);
}

static int compare_extensions(const void *a, const void *b)
{
    const struct index_extension *x = a, *y = b;
    int order = strcmp(x->extendee, y->extendee);
    return order ? order : (x->number > y->number) - (x->number < y->number);
}

int index_finish(struct reflection_index *index, struct err *ret_err)
{
    size_t *marks = arena_zalloc(&index->arena, index->n_files * sizeof *marks);
    index->numbers = arena_alloc(&index->arena, index->n_extensions * sizeof *index->numbers);
    if (!marks || !index->numbers)
        return no_memory(ret_err);
    for (size_t i = 0; i < index->n_files; i++)
        if (!close_file(index, i, marks))
            return no_memory(ret_err);
    if (index->n_symbols)
        qsort(index->symbols, index->n_symbols, sizeof *index->symbols, compare_symbols);
    if (index->n_extensions)
        qsort(index->extensions, index->n_extensions, sizeof *index->extensions, compare_extensions);
    for (size_t i = 0; i < index->n_extensions; i++)
        index->numbers[i] = index->extensions[i].number;
    return 0;
}

/* ---- looking up ---- */

static const struct index_symbol *find_symbol(const struct reflection_index *index, const char *full_name)
{
    const struct index_symbol key = {.name = full_name};
    if (!index->n_symbols)
        return NULL;
    return bsearch(&key, index->symbols, index->n_symbols, sizeof key, compare_symbols);
}

const struct index_file *index_find_symbol(const struct reflection_index *index, const char *full_name)
{
    const struct index_symbol *symbol = find_symbol(index, full_name);
    return symbol ? &index->files[symbol->file] : NULL;
}

const struct index_file *index_find_extension(const struct reflection_index *index, const char *extendee,
                                              int32_t number)
{
    const struct index_extension key = {.extendee = extendee, .number = number}, *found = NULL;
    if (index->n_extensions)
        found = bsearch(&key, index->extensions, index->n_extensions, sizeof key, compare_extensions);
    return found ? &index->files[found->file] : NULL;
}

bool index_extensions_of(const struct reflection_index *index, const char *extendee, const int32_t **ret_numbers,
                         size_t *ret_n)
{
    const struct index_symbol *symbol = find_symbol(index, extendee);
    if (!symbol || !symbol->is_message)
        return false;
    size_t first = 0, n = 0;
    while (first < index->n_extensions && strcmp(index->extensions[first].extendee, extendee) != 0)
        first++;
    while (first + n < index->n_extensions && strcmp(index->extensions[first + n].extendee, extendee) == 0)
        n++;
    *ret_numbers = index->numbers + first;
    *ret_n = n;
    return true;
}
