/* Names of fields as C's members. protobuf-c makes a member of each field, in small letters, with an underscore behind
 * C++'s keywords; and members of its own: base, n_FIELD for a list, has_FIELD for what proto2 calls optional,
 * ONEOF_case. What it does not look at: keywords that only C has, macros that are always there, and its own members.
 *
 * Descriptors are those of protoc, but the plugin can be fed by hand: nothing of them is taken on trust. */
#include "members.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef Google__Protobuf__DescriptorProto message_t;
typedef Google__Protobuf__FieldDescriptorProto field_t;

#define LABEL(what) GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_##what
#define TYPE(what)  GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_##what

/* Keywords of C and GNU C that C++ lacks; macros of the compiler (linux, unix, i386) and of headers that everybody
 * includes; protobuf-c's first member. Sorted by nothing: the list is short. */
static const char *const reserved[] = {"base", "errno", "i386", "linux", "restrict", "static_assert", "typeof", "unix"};

/* Where names must not meet. */
struct scope {
    struct pool *pool;
    bool proto3;
    const message_t *message;
};

static bool is_reserved(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (strcmp(name, reserved[i]) == 0)
            return true;
    /* __typeof__ and so on are the compiler's; with a third underscore at the end it is nobody's. */
    return len > 4 && memcmp(name, "__", 2) == 0 && memcmp(name + len - 2, "__", 2) == 0 && name[len - 3] != '_';
}

static char *lower(struct pool *pool, const char *name)
{
    char *copy = pool_strdup(pool, name);
    for (char *c = copy; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return copy;
}

/* What protobuf-c puts in front of a field's name to make a member that belongs to it; NULL: nothing. */
static const char *companion(const struct scope *scope, const field_t *field)
{
    if (field->label == LABEL(REPEATED))
        return "n_";
    if (!scope->proto3 && !field->has_oneof_index && field->label == LABEL(OPTIONAL) && field->type != TYPE(STRING) &&
        field->type != TYPE(MESSAGE))
        return "has_";
    return NULL;
}

static bool meets(const struct scope *scope, const field_t *field, const char *member)
{
    const char *name = lower(scope->pool, field->name), *prefix = companion(scope, field);
    return strcmp(name, member) == 0 || (prefix && strcmp(pool_printf(scope->pool, "%s%s", prefix, name), member) == 0);
}

/* Whether a member of this name is there already, when field is the n-th. Of two fields that meet the first keeps its
 * name; but a field gives way to what belongs to another, wherever that stands. */
static bool is_taken(const struct scope *scope, size_t n, const char *member)
{
    const message_t *message = scope->message;
    if (is_reserved(member))
        return true;
    for (size_t i = 0; i < message->n_field; i++) {
        const field_t *other = message->field[i];
        if (i == n || !other->name || !meets(scope, other, member))
            continue;
        if (i < n || strcmp(lower(scope->pool, other->name), member) != 0)
            return true;
    }
    for (size_t i = 0; i < message->n_oneof_decl; i++)
        if (message->oneof_decl[i]->name &&
            strcmp(pool_printf(scope->pool, "%s_case", lower(scope->pool, message->oneof_decl[i]->name)), member) == 0)
            return true;
    return false;
}

static void field_name(const struct scope *scope, size_t n)
{
    field_t *field = scope->message->field[n];
    if (!field->name)
        return;
    const char *name = field->name;
    while (is_taken(scope, n, lower(scope->pool, name)))
        name = pool_printf(scope->pool, "%s_", name);
    if (name == field->name)
        return;
    char *copy = strdup(name);
    if (!copy)
        scope->pool->no_memory();
    free(field->name);
    field->name = copy;
}

/* No deeper than the unpacking that has gone before. */
static void message_names(struct pool *pool, bool proto3, const message_t *message)
{
    const struct scope scope = {pool, proto3, message};
    for (size_t i = 0; i < message->n_field; i++)
        field_name(&scope, i);
    for (size_t i = 0; i < message->n_nested_type; i++)
        message_names(pool, proto3, message->nested_type[i]);
}

void members_file(struct pool *pool, Google__Protobuf__FileDescriptorProto *file)
{
    bool proto3 = file->syntax && strcmp(file->syntax, "proto3") == 0;
    for (size_t i = 0; i < file->n_message_type; i++)
        message_names(pool, proto3, file->message_type[i]);
}

static const char *group_of(field_t *const *fields, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fields[i]->has_type && fields[i]->type == TYPE(GROUP))
            return fields[i]->name ? fields[i]->name : "(a field)";
    return NULL;
}

static const char *group_within(struct pool *pool, const message_t *message)
{
    const char *name = message->name ? message->name : "(a message)",
               *found = group_of(message->field, message->n_field);
    if (!found)
        found = group_of(message->extension, message->n_extension);
    for (size_t i = 0; !found && i < message->n_nested_type; i++)
        found = group_within(pool, message->nested_type[i]);
    return found ? pool_printf(pool, "%s.%s", name, found) : NULL;
}

const char *members_find_group(struct pool *pool, const Google__Protobuf__FileDescriptorProto *file)
{
    const char *found = group_of(file->extension, file->n_extension);
    for (size_t i = 0; !found && i < file->n_message_type; i++)
        found = group_within(pool, file->message_type[i]);
    return found;
}
