/* The set of export types: names of things, finding, counting references, and where the texts come from. Any thread. */
#include "export/types.h"

#include <assert.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "export/types_priv.h"

static const char *const op_names[EXPORT_OP_COUNT] = {
    [EXPORT_OP_EQUALS] = "equals",     [EXPORT_OP_IN] = "in",           [EXPORT_OP_CONTAINS] = "contains",
    [EXPORT_OP_AT_LEAST] = "at_least", [EXPORT_OP_AT_MOST] = "at_most", [EXPORT_OP_SEARCH] = "search",
    [EXPORT_OP_BETWEEN] = "between",   [EXPORT_OP_PREFIX] = "prefix",   [EXPORT_OP_GREATER] = "greater",
    [EXPORT_OP_LESS] = "less"};

static const char *const value_names[EXPORT_VALUE_COUNT] = {
    [EXPORT_VALUE_UNKNOWN] = "unknown", [EXPORT_VALUE_TEXT] = "text",          [EXPORT_VALUE_INTEGER] = "integer",
    [EXPORT_VALUE_NUMBER] = "number",   [EXPORT_VALUE_BOOLEAN] = "boolean",    [EXPORT_VALUE_DATE] = "date",
    [EXPORT_VALUE_JSON] = "json",       [EXPORT_VALUE_TIMESTAMP] = "timestamp"};

/* The history of the jobs. A type of the same name in the operator's file takes its place. */
static const char builtin_text[] =
    "{\"export_types\": [{\"name\": \"jobs\", \"title\": \"Jobs\", \"relation\": \"joblog.job_history\","
    " \"owner_column\": \"owner\", \"order\": {\"column\": \"id\"}, \"columns\": ["
    "{\"name\": \"id\", \"title\": \"Id\", \"type\": \"text\"}, {\"name\": \"job_name\", \"title\": \"Job\"},"
    "{\"name\": \"queue\", \"title\": \"Queue\"}, {\"name\": \"status\", \"title\": \"Status\"},"
    "{\"name\": \"priority\", \"title\": \"Priority\"}, {\"name\": \"source_type\", \"title\": \"Source type\"},"
    "{\"name\": \"source_id\", \"title\": \"Source id\"}, {\"name\": \"owner\", \"title\": \"Owner\"},"
    "{\"name\": \"creator\", \"title\": \"Creator\"}, {\"name\": \"batch\", \"title\": \"Batch\"},"
    "{\"name\": \"attempt\", \"title\": \"Attempt\"}, {\"name\": \"max_attempts\", \"title\": \"Most attempts\"},"
    "{\"name\": \"worker\", \"title\": \"Worker\"}, {\"name\": \"create_time\", \"title\": \"Dispatched\"},"
    "{\"name\": \"start_time\", \"title\": \"Started\"}, {\"name\": \"end_time\", \"title\": \"Ended\"},"
    "{\"name\": \"seconds\", \"title\": \"Seconds\"}, {\"name\": \"percent\", \"title\": \"Percent\"},"
    "{\"name\": \"step\", \"title\": \"Step\"}, {\"name\": \"error_type\", \"title\": \"Error type\"},"
    "{\"name\": \"error_message\", \"title\": \"Error\"}], \"filters\": ["
    "{\"field\": \"search\", \"title\": \"Search\", \"operators\": [\"search\"],"
    " \"columns\": [\"job_name\", \"source_id\", \"error_message\"]},"
    "{\"field\": \"id\", \"type\": \"integer\", \"operators\": [\"equals\", \"in\", \"between\"]},"
    "{\"field\": \"job_name\", \"title\": \"Job\", \"operators\": [\"equals\", \"in\", \"prefix\", \"contains\"]},"
    "{\"field\": \"queue\", \"title\": \"Queue\", \"operators\": [\"equals\", \"in\", \"prefix\"]},"
    "{\"field\": \"status\", \"title\": \"Status\", \"operators\": [\"equals\", \"in\"]},"
    "{\"field\": \"source_type\", \"operators\": [\"equals\", \"in\"]},"
    "{\"field\": \"source_id\", \"operators\": [\"equals\", \"in\", \"prefix\"]},"
    "{\"field\": \"created\", \"title\": \"Dispatched\", \"column\": \"create_time\", \"type\": \"date\","
    " \"operators\": [\"at_least\", \"at_most\", \"between\", \"equals\"]},"
    "{\"field\": \"ended\", \"title\": \"Ended\", \"column\": \"end_time\", \"type\": \"timestamp\","
    " \"operators\": [\"at_least\", \"at_most\", \"between\", \"greater\", \"less\"]},"
    "{\"field\": \"error_type\", \"operators\": [\"equals\", \"in\", \"contains\"]}]}]}";

const char *export_op_name(enum export_op op)
{
    return (int)op > 0 && (int)op < EXPORT_OP_COUNT ? op_names[op] : "default";
}

const char *export_value_name(enum export_value value)
{
    return (int)value >= 0 && (int)value < EXPORT_VALUE_COUNT ? value_names[value] : "unknown";
}

enum export_op export_op_parse(struct span name)
{
    for (int op = 1; op < EXPORT_OP_COUNT; op++)
        if (span_eq(name, span_str(op_names[op])))
            return (enum export_op)op;
    return EXPORT_OP_DEFAULT;
}

/* root is taken; NULL: it could not be parsed, as fault says. */
static int types_from_json(json_t *root, const json_error_t *fault, const char *name, struct export_types **ret,
                           struct err *ret_err)
{
    if (!root)
        return err_set(ret_err, ERR_FAILED_PRECONDITION, "EXPORT_TYPES_INVALID", "%s:%d:%d: %s", name, fault->line,
                       fault->column, fault->text);
    struct export_types *types = mem_zalloc(sizeof *types);
    json_t *builtin = json_loads(builtin_text, 0, NULL);
    int rc = -ERR_RESOURCE_EXHAUSTED;
    if (types && builtin) {
        arena_init(&types->arena, NULL, 0, 0);
        atomic_init(&types->refs, 1);
        rc = export_types_read(types, root, builtin, name, ret_err);
        if (rc != 0)
            export_types_free(types);
        else
            *ret = types;
    } else {
        mem_free(types);
        err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    }
    json_decref(builtin);
    json_decref(root);
    return rc;
}

int export_types_parse(struct span text, const char *name, struct export_types **ret, struct err *ret_err)
{
    json_error_t fault = {0};
    json_t *root = json_loadb(text.data ? text.data : "", text.len, JSON_REJECT_DUPLICATES, &fault);
    return types_from_json(root, &fault, name, ret, ret_err);
}

bool export_stamp_of(const char *path, struct export_stamp *ret)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return false;
    *ret = (struct export_stamp){(int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec, st.st_size, st.st_ino};
    return true;
}

bool export_stamp_eq(const struct export_stamp *a, const struct export_stamp *b)
{
    return a->mtime_ns == b->mtime_ns && a->size == b->size && a->inode == b->inode;
}

struct export_stamp export_types_stamp(const struct export_types *types)
{
    return types->stamp;
}

int export_types_load(const char *path, struct export_types **ret, struct err *ret_err)
{
    json_error_t fault = {0};
    struct export_stamp stamp = {0};
    if (!path || !path[0])
        return export_types_parse(SPAN_LIT("{\"export_types\": []}"), "builtin", ret, ret_err);
    export_stamp_of(path, &stamp);
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &fault);
    if (!root && fault.line < 0) /* not a fault of the text: the file cannot be read */
        return err_set(ret_err, ERR_FAILED_PRECONDITION, "EXPORT_TYPES_INVALID", "cannot read the export types: %s",
                       fault.text);
    int rc = types_from_json(root, &fault, path, ret, ret_err);
    if (rc == 0)
        (*ret)->stamp = stamp;
    return rc;
}

struct export_types *export_types_ref(struct export_types *types)
{
    atomic_fetch_add_explicit(&types->refs, 1, memory_order_relaxed);
    return types;
}

void export_types_free(struct export_types *types)
{
    if (!types || atomic_fetch_sub_explicit(&types->refs, 1, memory_order_acq_rel) != 1)
        return;
    arena_done(&types->arena);
    mem_free(types);
}

bool export_type_allows(const struct export_type *type, unsigned roles)
{
    return type->roles == 0 || ((type->roles | ROLE_ADMIN) & roles) != 0;
}

const struct export_column *export_type_column(const struct export_type *type, struct span name)
{
    for (size_t i = 0; i < type->n_columns; i++)
        if (span_eq(name, span_str(type->columns[i].name)))
            return &type->columns[i];
    return NULL;
}

size_t export_types_count(const struct export_types *types)
{
    return types->n_types;
}

const struct export_type *export_types_at(const struct export_types *types, size_t i)
{
    return &types->types[i];
}

struct export_type *export_types_unshared(struct export_types *types, size_t i)
{
    assert(atomic_load(&types->refs) == 1);
    return &types->types[i];
}

const struct export_type *export_types_find(const struct export_types *types, struct span name)
{
    for (size_t i = 0; i < types->n_types; i++)
        if (span_eq(name, span_str(types->types[i].name)))
            return &types->types[i];
    return NULL;
}
