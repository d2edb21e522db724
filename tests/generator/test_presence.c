/* Optional fields of proto3: presence in C, the bytes on the wire, and what reflection would serve. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "google/protobuf/descriptor.pb-c.h"
#include "presence/v1/presence.crpc.h"

typedef Presence__V1__Person person_t;

/* No test here calls anything; the stubs of the file want these. */
int crpc_server_mount(struct crpc_server *server, const struct crpc_service *service,
                      const struct crpc_handler *const *handlers, void *user, struct err *ret_err)
{
    (void)server, (void)service, (void)handlers, (void)user, (void)ret_err;
    return 0;
}

static person_t *round_trip(const person_t *person, const void *wire, size_t len)
{
    uint8_t bytes[256];
    assert_true(presence__v1__person__get_packed_size(person) <= sizeof bytes);
    assert_int_equal(presence__v1__person__pack(person, bytes), len);
    assert_memory_equal(bytes, wire, len);
    person_t *back = presence__v1__person__unpack(NULL, len, bytes);
    assert_non_null(back);
    assert_int_equal(back->base.n_unknown_fields, 0);
    return back;
}

#define ROUND_TRIP(person, wire) round_trip(person, wire, sizeof(wire) - 1)

static void test_nothing_set(void **state)
{
    (void)state;
    person_t person = PRESENCE__V1__PERSON__INIT;
    person.age = 7; /* without the case it counts as not set */
    person_t *back = ROUND_TRIP(&person, "");
    assert_int_equal(back->has_age_case, 0);
    assert_int_equal(back->has_nickname_case, 0);
    assert_int_equal(back->has_photo_case, 0);
    assert_int_equal(back->has_mood_case, 0);
    assert_int_equal(back->has_home_case, 0);
    assert_int_equal(back->has_active_case, 0);
    assert_string_equal(back->name, "");
    presence__v1__person__free_unpacked(back, NULL);
}

/* What a field without presence could not say: that it is zero. */
static void test_zero_is_set(void **state)
{
    (void)state;
    person_t person = PRESENCE__V1__PERSON__INIT;
    Presence__V1__Point point = PRESENCE__V1__POINT__INIT;
    person.has_age_case = PRESENCE__V1__PERSON__HAS_AGE_AGE;
    person.has_nickname_case = PRESENCE__V1__PERSON__HAS_NICKNAME_NICKNAME;
    person.nickname = "";
    person.has_photo_case = PRESENCE__V1__PERSON__HAS_PHOTO_PHOTO;
    person.has_mood_case = PRESENCE__V1__PERSON__HAS_MOOD_MOOD;
    person.has_home_case = PRESENCE__V1__PERSON__HAS_HOME_HOME;
    person.home = &point;
    person.has_active_case = PRESENCE__V1__PERSON__HAS_ACTIVE_ACTIVE;
    person.has_height_case = PRESENCE__V1__PERSON__HAS_HEIGHT_HEIGHT;
    person.has_balance_case = PRESENCE__V1__PERSON__HAS_BALANCE_BALANCE;
    person.has_code_case = PRESENCE__V1__PERSON__HAS_CODE_CODE;
    person_t *back = ROUND_TRIP(&person, "\x08\x00"                             /* age */
                                         "\x12\x00"                             /* nickname */
                                         "\x1a\x00"                             /* photo */
                                         "\x20\x00"                             /* mood */
                                         "\x2a\x00"                             /* home */
                                         "\x30\x00"                             /* active */
                                         "\x39\x00\x00\x00\x00\x00\x00\x00\x00" /* height */
                                         "\x40\x00"                             /* balance */
                                         "\x4d\x00\x00\x00\x00" /* code */);
    assert_int_equal(back->has_age_case, PRESENCE__V1__PERSON__HAS_AGE_AGE);
    assert_int_equal(back->age, 0);
    assert_int_equal(back->has_nickname_case, PRESENCE__V1__PERSON__HAS_NICKNAME_NICKNAME);
    assert_string_equal(back->nickname, "");
    assert_int_equal(back->has_photo_case, PRESENCE__V1__PERSON__HAS_PHOTO_PHOTO);
    assert_int_equal(back->photo.len, 0);
    assert_int_equal(back->has_mood_case, PRESENCE__V1__PERSON__HAS_MOOD_MOOD);
    assert_int_equal(back->mood, PRESENCE__V1__MOOD__MOOD_UNSPECIFIED);
    assert_int_equal(back->has_home_case, PRESENCE__V1__PERSON__HAS_HOME_HOME);
    assert_int_equal(back->home->has_x_case, 0);
    assert_int_equal(back->has_active_case, PRESENCE__V1__PERSON__HAS_ACTIVE_ACTIVE);
    assert_false(back->active);
    assert_int_equal(back->has_height_case, PRESENCE__V1__PERSON__HAS_HEIGHT_HEIGHT);
    assert_int_equal(back->has_balance_case, PRESENCE__V1__PERSON__HAS_BALANCE_BALANCE);
    assert_int_equal(back->has_code_case, PRESENCE__V1__PERSON__HAS_CODE_CODE);
    presence__v1__person__free_unpacked(back, NULL);
}

static void test_values(void **state)
{
    (void)state;
    person_t person = PRESENCE__V1__PERSON__INIT;
    Presence__V1__Person__Pet pet = PRESENCE__V1__PERSON__PET__INIT, *pets[] = {&pet};
    Presence__V1__Person__Pet__Collar collar = PRESENCE__V1__PERSON__PET__COLLAR__INIT;
    person.has_age_case = PRESENCE__V1__PERSON__HAS_AGE_AGE;
    person.age = 42;
    person.has_nickname_case = PRESENCE__V1__PERSON__HAS_NICKNAME_NICKNAME;
    person.nickname = "Bo";
    person.has_mood_case = PRESENCE__V1__PERSON__HAS_MOOD_MOOD;
    person.mood = PRESENCE__V1__MOOD__MOOD_GOOD;
    person.name = "B";
    person.contact_case = PRESENCE__V1__PERSON__CONTACT_PHONE;
    person.phone = "1";
    person.n_pets = 1;
    person.pets = pets;
    pet.has_collar_case = PRESENCE__V1__PERSON__PET__HAS_COLLAR_COLLAR;
    pet.collar = &collar;
    collar.has_number_case = PRESENCE__V1__PERSON__PET__COLLAR__HAS_NUMBER_NUMBER;
    person_t *back = ROUND_TRIP(&person, "\x08\x2a"
                                         "\x12\x02"
                                         "Bo"
                                         "\x20\x01"
                                         "\x52\x01"
                                         "B"
                                         "\x62\x01"
                                         "1"
                                         "\x6a\x04\x12\x02\x08\x00");
    assert_int_equal(back->age, 42);
    assert_string_equal(back->nickname, "Bo");
    assert_int_equal(back->mood, PRESENCE__V1__MOOD__MOOD_GOOD);
    assert_int_equal(back->contact_case, PRESENCE__V1__PERSON__CONTACT_PHONE);
    assert_int_equal(back->pets[0]->has_name_case, 0);
    assert_int_equal(back->pets[0]->collar->has_number_case, PRESENCE__V1__PERSON__PET__COLLAR__HAS_NUMBER_NUMBER);
    assert_int_equal(back->has_favourite_case, 0);
    presence__v1__person__free_unpacked(back, NULL);
}

/* Names that were taken give way by a number; that this compiles is most of the test. */
static void test_clashes(void **state)
{
    (void)state;
    Presence__V1__Clashes m = PRESENCE__V1__CLASHES__INIT;
    m.has_size_2_case = PRESENCE__V1__CLASHES__HAS_SIZE_2_SIZE;
    m.has_size = 1;
    m.has_case_case = PRESENCE__V1__CLASHES__HAS_CASE_CASE;
    m.has_kind_2_case = PRESENCE__V1__CLASHES__HAS_KIND_2_KIND;
    m.has_owner_2_case = PRESENCE__V1__CLASHES__HAS_OWNER_2_OWNER;
    m.owner = "o";
    m.has_has_owner_case = PRESENCE__V1__CLASHES__HAS_HAS_OWNER__NOT_SET;
    m.has__under_2_case = PRESENCE__V1__CLASHES__HAS__UNDER_2__UNDER;
    m.has_camel_case_case = PRESENCE__V1__CLASHES__HAS_CAMEL_CASE_CAMEL_CASE;
    uint8_t bytes[64];
    assert_int_equal(presence__v1__clashes__pack(&m, bytes), 15);
    assert_memory_equal(bytes, "\x08\x00\x10\x01\x18\x00\x20\x00\x2a\x01o\x38\x00\x48\x00", 15);
}

/* Reflection serves the file as it was written. */
static void test_descriptor(void **state)
{
    (void)state;
    const struct crpc_file *file = presence_v1_presence_service.file;
    Google__Protobuf__FileDescriptorProto *proto =
        google__protobuf__file_descriptor_proto__unpack(NULL, file->descriptor_len, file->descriptor);
    assert_non_null(proto);
    const Google__Protobuf__DescriptorProto *point = proto->message_type[0];
    assert_string_equal(point->name, "Point");
    assert_true(point->field[0]->has_proto3_optional && point->field[0]->proto3_optional);
    assert_string_equal(point->oneof_decl[0]->name, "_x");
    google__protobuf__file_descriptor_proto__free_unpacked(proto, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_set), cmocka_unit_test(test_zero_is_set), cmocka_unit_test(test_values),
        cmocka_unit_test(test_clashes),     cmocka_unit_test(test_descriptor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
