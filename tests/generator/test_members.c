/* Fields whose names C cannot have: the members that they became, and that the bytes on the wire are as ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <errno.h>

#include <cmocka.h>

#include "google/protobuf/descriptor.pb-c.h"
#include "odd/members.crpc.h"

/* Like every other protobuf's: numbers count, names do not. */
static const uint8_t words_wire[] = "\x0a\x01t\x10\x02\x18\x03\x18\x04\x20\x05\x28\x06\x30\x07\x38\x08";

static void test_words(void **state)
{
    (void)state;
    Odd__Members__Words words = ODD__MEMBERS__WORDS__INIT;
    int32_t numbers[] = {3, 4};
    uint8_t bytes[64];
    words.typeof_ = (char[]){"t"};
    words.has_restrict_ = words.has_base_ = words.has_errno_ = words.has___asm___ = words.has_int_ = 1;
    words.restrict_ = 2;
    words.linux_ = numbers;
    words.n_linux_ = 2;
    words.base_ = 5;
    words.errno_ = 6;
    words.__asm___ = 7;
    words.int_ = 8;
    assert_int_equal(odd__members__words__get_packed_size(&words), sizeof words_wire - 1);
    odd__members__words__pack(&words, bytes);
    assert_memory_equal(bytes, words_wire, sizeof words_wire - 1);
    Odd__Members__Words *back = odd__members__words__unpack(NULL, sizeof words_wire - 1, words_wire);
    assert_non_null(back);
    assert_int_equal(back->base.n_unknown_fields, 0);
    assert_string_equal(back->typeof_, "t");
    assert_int_equal(back->base_, 5);
    odd__members__words__free_unpacked(back, NULL);
}

static void test_companions(void **state)
{
    (void)state;
    static const uint8_t wire[] = "\x08\x01\x10\x02\x18\x03\x20\x04\x28\x05\x30\x06\x38\x07";
    Odd__Members__Companions *c = odd__members__companions__unpack(NULL, sizeof wire - 1, wire);
    assert_non_null(c);
    assert_int_equal(c->n_y, 1);
    assert_int_equal(c->y[0], 1);
    assert_int_equal(c->n_y_, 2);
    assert_int_equal(c->has_z_, 3);
    assert_int_equal(c->z, 4);
    assert_int_equal(c->abc, 5);
    assert_int_equal(c->abc_, 6);
    assert_int_equal(c->o_case, ODD__MEMBERS__COMPANIONS__O_O_CASE_);
    assert_int_equal(c->o_case_, 7);
    odd__members__companions__free_unpacked(c, NULL);
}

/* What reflection serves is the file as it was written. */
static void test_descriptor(void **state)
{
    (void)state;
    const struct crpc_file *file = &odd_members_members_file;
    Google__Protobuf__FileDescriptorProto *proto =
        google__protobuf__file_descriptor_proto__unpack(NULL, file->descriptor_len, file->descriptor);
    assert_non_null(proto);
    assert_string_equal(proto->message_type[0]->field[0]->name, "typeof");
    assert_string_equal(proto->message_type[0]->field[5]->name, "__asm__");
    assert_string_equal(proto->message_type[1]->field[1]->name, "n_y");
    google__protobuf__file_descriptor_proto__free_unpacked(proto, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_words), cmocka_unit_test(test_companions),
                                       cmocka_unit_test(test_descriptor)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
