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
    assert_true(export_room_take(room, 40, ROOM_AHEAD, 0));
    assert_false(export_room_take(room, 11, ROOM_AHEAD, 0)); /* ahead: a half only */
    assert_true(export_room_take(room, 60, ROOM_AGAIN, 0));
    assert_false(export_room_take(room, 1, ROOM_AGAIN, 0));
    export_room_give(room, 60);
    export_room_give(room, 40);
    assert_true(export_room_take(room, 1000, ROOM_AGAIN, 0)); /* larger than all of it: one at a time */
    assert_false(export_room_take(room, 1, ROOM_AGAIN, 0));
    export_room_give(room, 1000);
    assert_true(export_room_take(room, 50, ROOM_AHEAD, 1000));
    export_room_give(room, 50);
    export_room_free(room);
    export_room_free(NULL);
}

/* Only who needs a chunk now and finds no room for it wants some. */
static void room_is_wanted(void **state)
{
    (void)state;
    struct export_room *room = export_room_new(100);
    assert_true(export_room_take(room, 100, ROOM_NEXT, 1000));
    assert_false(export_room_take(room, 1, ROOM_AHEAD, 1000));
    assert_false(export_room_is_wanted(room, 1000));
    assert_false(export_room_take(room, 1, ROOM_NEXT, 1000));
    assert_true(export_room_is_wanted(room, 1000 + ROOM_WANTED_MS - 1));
    assert_false(export_room_is_wanted(room, 1000 + ROOM_WANTED_MS));
    assert_false(export_room_take(room, 1, ROOM_AGAIN, 9000));
    assert_true(export_room_is_wanted(room, 9000));
    export_room_give(room, 100);
    export_room_free(room);
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
    assert_true(export_room_take(room, 10, ROOM_AGAIN, 0));
    assert_true(export_room_hang(room, 10, &chunk));
    assert_int_equal(chunk.crc32c, 7);
    assert_false(export_room_take(room, 1, ROOM_AGAIN, 0));
    chunk_data_done(&chunk);
    assert_int_equal(released, 1);
    chunk_data_done(&chunk); /* nothing any more */
    assert_true(export_room_take(room, 4, ROOM_AGAIN, 0));
    /* One that has no memory of its own, and goes after the room's owner. */
    late = (struct chunk_data){.data = SPAN_LIT("x")};
    assert_true(export_room_hang(room, 4, &late));
    export_room_free(room);
    chunk_data_done(&late);
    assert_int_equal(released, 1);
}

/* A download that goes on by itself leaves room to one that was refused. */
static void who_waits_goes_first(void **state)
{
    enum { SOON = 1000 + ROOM_COURTESY_MS - 1, LATER = SOON + 1 };
    struct export_room *room = export_room_new(20);
    (void)state;
    assert_true(export_room_take(room, 10, ROOM_NEXT, 1000));
    assert_true(export_room_take(room, 10, ROOM_NEXT, 1000));
    assert_false(export_room_take(room, 10, ROOM_NEXT, 1000));
    export_room_give(room, 10);
    assert_false(export_room_take(room, 10, ROOM_NEXT, SOON));
    export_room_give(room, 10);
    assert_false(export_room_take(room, 10, ROOM_AHEAD, SOON));
    assert_true(export_room_take(room, 10, ROOM_AGAIN, SOON));
    /* Nobody was refused for want of room since: as before, although one that waits may have gone away. */
    assert_true(export_room_take(room, 10, ROOM_NEXT, LATER));
    assert_false(export_room_take(room, 10, ROOM_AHEAD, LATER)); /* which makes nobody wait */
    export_room_give(room, 20);
    assert_true(export_room_take(room, 10, ROOM_NEXT, LATER));
    export_room_give(room, 10);
    export_room_free(room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(room_has_a_bound), cmocka_unit_test(room_is_wanted),
                                       cmocka_unit_test(a_chunk_gives_its_room_back),
                                       cmocka_unit_test(who_waits_goes_first)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
