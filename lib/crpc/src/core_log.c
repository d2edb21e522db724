/* gRPC core's own log. It writes to stderr in a format of its own; what matters of it has come back as an error as
 * well. Strangers can make it write, each failed handshake and each bad header a line, so a second has only so many
 * lines, and the next one tells how many were left out. Any thread of core's. */
#include "core_log.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <grpc/support/log.h>

#include "base/clock.h"
#include "base/log.h"

enum { LINES_A_SECOND = 20 };

static atomic_llong second;
static atomic_uint n_lines, n_left_out;

/* Two threads at the turn of a second may count a line for the wrong one: no harm. */
static bool may_write(void)
{
    long long now = clock_mono_ms() / 1000;
    if (atomic_exchange_explicit(&second, now, memory_order_relaxed) != now)
        atomic_store_explicit(&n_lines, 0, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&n_lines, 1, memory_order_relaxed) < LINES_A_SECOND)
        return true;
    atomic_fetch_add_explicit(&n_left_out, 1, memory_order_relaxed);
    return false;
}

static void core_log(gpr_log_func_args *args)
{
    if (!may_write())
        return;
    unsigned left_out = atomic_exchange_explicit(&n_left_out, 0, memory_order_relaxed);
    if (left_out)
        log_warning("grpc core said too much left_out=%u", left_out);
    const char *file = strrchr(args->file, '/');
    log_warning("grpc core said file=%s:%d text=\"%s\"", file ? file + 1 : args->file, args->line, args->message);
}

void core_log_take(void)
{
    gpr_set_log_function(core_log);
}
