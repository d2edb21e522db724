/* For programs that read or write large messages: malloc keeps what was freed. By itself it gives a message's memory
 * back to the kernel, or not, as its heap happens to lie, and to fault it in again costs more than to receive it: a raw
 * stream went at 300 MB/s in one run and at 3000 in the next. */
#ifndef BENCH_KEEP_MEMORY_H
#define BENCH_KEEP_MEMORY_H

#include <malloc.h>

/* Before any thread. */
static inline void keep_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, 16 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    mallopt(M_TOP_PAD, 1 << 20);
}

#endif
