/* WorkerService.Work: what a sign of life is worth. On the call's worker.
 *
 * A worker whose reader is stuck may go on sending heartbeats, and would keep leases that it has never seen. So a sign
 * of life counts only as of the moment since which it takes nothing: the oldest lease that it has not confirmed, or the
 * message that it does not let through. After the lease time-out from there its leases are over, as with any silence;
 * and when it reads again it is alive again. */
#include "rpc/work.h"

#include "base/clock.h"
#include "rpc/check.h"
#include "rpc/service.h"

static struct work_mark *mark_at(struct work_call *w, size_t i)
{
    return &w->marks[(w->first_mark + i) % WORK_MARKS_MAX];
}

void work_note_sent(struct work_call *w, size_t n_leases)
{
    int64_t now = clock_mono_ms(), apart = store_lease_timeout_ms(w->service->store) / (WORK_MARKS_MAX / 2);
    w->sending_since_ms = now;
    w->n_leases_sent += (int64_t)n_leases;
    if (!w->confirms || n_leases == 0)
        return;
    struct work_mark *last = w->n_marks ? mark_at(w, w->n_marks - 1) : NULL;
    /* When there is no more room its time is over anyway. */
    if (last && (now - last->sent_ms < apart || w->n_marks == WORK_MARKS_MAX))
        last->n_leases = w->n_leases_sent;
    else
        *mark_at(w, w->n_marks++) = (struct work_mark){.n_leases = w->n_leases_sent, .sent_ms = now};
}

int work_take_confirmed(struct work_call *w, int64_t received, struct err *ret_err)
{
    if (received == 0)
        return 0;
    if (!w->confirms)
        return err_field(ret_err, "leases_received", "leases_received is for workers that confirm leases in hello");
    if (received < w->n_leases_confirmed || received > w->n_leases_sent)
        return err_field(ret_err, "leases_received", "leases_received must be from %lld to %lld, is %lld",
                         (long long)w->n_leases_confirmed, (long long)w->n_leases_sent, (long long)received);
    w->n_leases_confirmed = received;
    while (w->n_marks > 0 && mark_at(w, 0)->n_leases <= received) {
        w->first_mark = (w->first_mark + 1) % WORK_MARKS_MAX;
        w->n_marks--;
    }
    return 0;
}

void work_touch(struct work_call *w)
{
    int64_t alive = clock_mono_ms();
    if (w->n_marks > 0 && mark_at(w, 0)->sent_ms < alive)
        alive = mark_at(w, 0)->sent_ms;
    if (w->sending_since_ms && w->sending_since_ms < alive)
        alive = w->sending_since_ms;
    store_session_touch_at(w->session, alive);
}
