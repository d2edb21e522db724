/* The room that chunks of downloads share. No input or output. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "export/room.h"

static void room_has_a_bound(void **state)
{
    (void)state;
    struct export_room *room = export_room_new(100);
    assert_true(export_room_take(room, 40, true));
    assert_false(export_room_take(room, 11, true)); /* ahead: a half only */
    assert_true(export_room_take(room, 60, false));
    assert_false(export_room_take(room, 1, false));
    export_room_give(room, 60);
    export_room_give(room, 40);
    assert_true(export_room_take(room, 1000, false)); /* larger than all of it: one at a time */
    assert_false(export_room_take(room, 1, false));
    export_room_give(room, 1000);
    assert_true(export_room_take(room, 50, true));
    export_room_give(room, 50);
    export_room_free(room);
    export_room_free(NULL);
}

static int released;

static void release(void *owner)
{
    released++;
    mem_free(owner);
}

static void a_chunk_gives_its_room_back(void **state)
{
    (void)state;
    struct export_room *room = export_room_new(10);
    char *text = mem_strdup("chunk");
    struct chunk_data chunk = {.data = span_str(text), .crc32c = 7, .release = release, .owner = text}, late;
    assert_true(export_room_take(room, 10, false));
    assert_true(export_room_hang(room, 10, &chunk));
    assert_int_equal(chunk.crc32c, 7);
    assert_false(export_room_take(room, 1, false));
    chunk_data_done(&chunk);
    assert_int_equal(released, 1);
    chunk_data_done(&chunk); /* nothing any more */
    assert_true(export_room_take(room, 4, false));
    /* One that has no memory of its own, and goes after the room's owner. */
    late = (struct chunk_data){.data = SPAN_LIT("x")};
    assert_true(export_room_hang(room, 4, &late));
    export_room_free(room);
    chunk_data_done(&late);
    assert_int_equal(released, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(room_has_a_bound),
                                       cmocka_unit_test(a_chunk_gives_its_room_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
