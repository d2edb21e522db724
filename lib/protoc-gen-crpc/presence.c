/* Proto3's optional as a oneof. protoc itself describes `optional int32 age = 1;` as field age with the flag
 * proto3_optional, alone in a oneof called _age. Without the flag that is what a generator of older days expects of any
 * oneof, so it makes a union of one member, and an enum that tells whether it is set. Only the name is bad for C: it
 * becomes has_age, so that the enum's member is has_age_case.
 *
 * Descriptors are those of protoc, but the plugin can be fed by hand: nothing of them is taken on trust. */
#include "presence.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef Google__Protobuf__DescriptorProto message_t;
typedef Google__Protobuf__FieldDescriptorProto field_t;
typedef Google__Protobuf__EnumDescriptorProto enum_t;

/* Equal but for case and underscores, which is how protobuf-c makes the name of a type from that of a oneof. */
static bool alike(const char *a, const char *b)
{
    for (;; a++, b++) {
        while (*a == '_')
            a++;
        while (*b == '_')
            b++;
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
            return false;
        if (!*a)
            return true;
    }
}

/* name is NULL in a descriptor that is not protoc's. */
static bool meets(const char *name, const char *oneof, const char *oneof_case)
{
    return name && (alike(name, oneof) || alike(name, oneof_case));
}

static bool meets_enum(const enum_t *e, const char *oneof, const char *oneof_case)
{
    if (meets(e->name, oneof, oneof_case))
        return true;
    for (size_t i = 0; i < e->n_value; i++)
        if (meets(e->value[i]->name, oneof, oneof_case))
            return true;
    return false;
}

/* Whether the message has something else that a oneof of this name would meet in C or in the .proto. */
static bool is_taken(struct pool *pool, const message_t *message, const char *oneof)
{
    const char *oneof_case = pool_printf(pool, "%s_case", oneof);
    for (size_t i = 0; i < message->n_field; i++)
        if (meets(message->field[i]->name, oneof, oneof_case))
            return true;
    for (size_t i = 0; i < message->n_extension; i++)
        if (meets(message->extension[i]->name, oneof, oneof_case))
            return true;
    for (size_t i = 0; i < message->n_oneof_decl; i++)
        if (meets(message->oneof_decl[i]->name, oneof, oneof_case))
            return true;
    for (size_t i = 0; i < message->n_nested_type; i++)
        if (meets(message->nested_type[i]->name, oneof, oneof_case))
            return true;
    for (size_t i = 0; i < message->n_enum_type; i++)
        if (meets_enum(message->enum_type[i], oneof, oneof_case))
            return true;
    return false;
}

/* "has_age"; "has_age_2" and so on when that is taken. */
static const char *oneof_name(struct pool *pool, const message_t *message, const char *field)
{
    const char *name = pool_printf(pool, "has_%s", field);
    for (unsigned n = 2; is_taken(pool, message, name); n++)
        name = pool_printf(pool, "has_%s_%u", field, n);
    return name;
}

static void presence_field(struct pool *pool, message_t *message, field_t *field)
{
    field->has_proto3_optional = 0;
    field->proto3_optional = 0;
    if (!field->name || !field->has_oneof_index || field->oneof_index < 0 ||
        (size_t)field->oneof_index >= message->n_oneof_decl)
        return;
    char *copy = strdup(oneof_name(pool, message, field->name));
    if (!copy)
        pool->no_memory();
    free(message->oneof_decl[field->oneof_index]->name);
    message->oneof_decl[field->oneof_index]->name = copy;
}

/* No deeper than the unpacking that has gone before. */
static void presence_message(struct pool *pool, message_t *message)
{
    for (size_t i = 0; i < message->n_field; i++)
        if (message->field[i]->has_proto3_optional && message->field[i]->proto3_optional)
            presence_field(pool, message, message->field[i]);
    for (size_t i = 0; i < message->n_nested_type; i++)
        presence_message(pool, message->nested_type[i]);
}

void presence_file(struct pool *pool, Google__Protobuf__FileDescriptorProto *file)
{
    for (size_t i = 0; i < file->n_message_type; i++)
        presence_message(pool, file->message_type[i]);
}
