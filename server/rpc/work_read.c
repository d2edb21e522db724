/* WorkerService.Work: the chain that takes in what the worker sends. On the call's worker.
 *
 *   message: check, touch the session, add credit --> writes: hand each to the store
 *      ^                                                | all handed: recv       | no room: wait for answers
 *      |                                                v                        v
 *      '------------------------------------------ received <--recv--     writes <--signal--
 *                                                       | end of the stream, or an error of the worker's
 *                                                       '--> wake the writer, end this chain
 *
 * A write that is wrong in itself (such as malformed JSON) is answered as refused; only what breaks the protocol ends
 * the stream. The reader stops reading while too many writes wait for their commit: gRPC's flow control then holds the
 * worker back. */
#include "rpc/work.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "rpc/check.h"
#include "rpc/service.h"

static enum crpc_next work_message(struct crpc_call *call);
static enum crpc_next work_writes(struct crpc_call *call);
static enum crpc_next work_received(struct crpc_call *call);

const struct crpc_step WORK_MESSAGE = {"message", work_message};
static const struct crpc_step WRITES = {"writes", work_writes};
static const struct crpc_step RECEIVED = {"received", work_received};

/* ---- credit ---- */

static void credit_done(struct crpc_event *event, bool ok)
{
    struct work_call *w = event->user;
    (void)ok;
    w->credit_busy = false;
    /* What came meanwhile, or a store that was full: the writer hands it over. */
    crpc_signal_raise(&w->wake);
}

bool work_hand_credit(struct work_call *w)
{
    bool drain = (w->worker_draining || w->server_draining) && !w->drain_handed;
    if (w->credit_busy || !w->session || (w->credit_waiting == 0 && !drain))
        return true;
    w->credit = (struct store_session_credit){.cmd = {.op = STORE_SESSION_CREDIT, .done = &w->credited.tag},
                                              .session = w->session,
                                              .add = w->credit_waiting,
                                              .draining = drain || w->drain_handed};
    w->credited.on_done = credit_done;
    w->credited.user = w;
    crpc_event_arm(w->call, &w->credited);
    if (store_submit(w->service->store, &w->credit.cmd, NULL) != 0) {
        crpc_event_disarm(&w->credited);
        return false;
    }
    w->credit_busy = true;
    w->credit_waiting = 0;
    w->drain_handed = w->drain_handed || drain;
    return true;
}

static int work_take_credit(struct work_call *w, struct err *ret_err)
{
    int32_t add = w->message->add_credit;
    if (add < 0)
        return err_field(ret_err, "add_credit", "add_credit must not be negative, is %d", add);
    if (w->credit_left + add > CREDIT_MAX)
        return err_field(ret_err, "add_credit", "add_credit would make more than %d outstanding", CREDIT_MAX);
    if (w->message->draining)
        w->worker_draining = true;
    if (w->worker_draining) {
        w->credit_waiting = 0;
        w->credit_left = 0;
    } else {
        w->credit_left += add;
        w->credit_waiting += add;
    }
    if (!work_hand_credit(w))
        crpc_signal_raise(&w->wake);
    return 0;
}

/* ---- writes ---- */

static void answer(struct work_write *write)
{
    struct work_call *w = write->work;
    write->next = NULL;
    *w->answers_end = write;
    w->answers_end = &write->next;
    crpc_signal_raise(&w->wake);
}

static void write_done(struct crpc_event *event, bool ok)
{
    struct work_write *write = event->user;
    struct work_call *w = write->work;
    (void)ok;
    w->n_under_way--;
    if (write->cmd.err.code == ERR_OK && write->write_id == 0)
        work_write_free(write);
    else
        answer(write);
    /* The writer looks also at whether the last lease has ended. */
    crpc_signal_raise(&w->wake);
    crpc_signal_raise(&w->room);
}

/* Moves a text into the write. */
static void keep_text(char **at, struct span *text)
{
    if (text->len > 0)
        memcpy(*at, text->data, text->len);
    text->data = *at;
    *at += text->len;
}

/* Checks what the worker wrote; fills proto with the command, the texts still in the message. */
static int read_write(const struct work_call *w, const Joblog__V1__WorkerWrite *m, struct work_write *proto,
                      struct err *ret_err)
{
    struct progress_write progress;
    int rc = 0;
    memset(&proto->finish, 0, sizeof proto->finish); /* the largest of the union */
    switch (m->write_case) {
    case JOBLOG__V1__WORKER_WRITE__WRITE_PROGRESS:
        if ((rc = check_progress(m->progress, "progress.", &progress, ret_err)) != 0)
            return rc;
        proto->progress = (struct store_progress){.cmd = {.op = STORE_PROGRESS},
                                                  .job_id = m->job_id,
                                                  .token = m->lease_token,
                                                  .scope = &caller_of(w->call)->scope,
                                                  .session_id = w->open.session_id,
                                                  .has_progress = progress.has_progress,
                                                  .progress = progress.progress,
                                                  .payload_patch = progress.payload_patch};
        return 0;
    case JOBLOG__V1__WORKER_WRITE__WRITE_COMPLETE:
        proto->finish.outcome = ATTEMPT_COMPLETED;
        rc = check_complete(m->complete, "complete.", &proto->finish.result, ret_err);
        break;
    case JOBLOG__V1__WORKER_WRITE__WRITE_FAIL:
        proto->finish.outcome = m->fail->cancelled ? ATTEMPT_CANCELLED : ATTEMPT_FAILED;
        proto->finish.no_retry = m->fail->no_retry;
        rc = check_fail(m->fail, "fail.", &proto->finish.error, ret_err);
        break;
    case JOBLOG__V1__WORKER_WRITE__WRITE_SNOOZE:
        proto->finish.outcome = ATTEMPT_RELEASED;
        proto->finish.reason = SPAN_LIT("snoozed");
        if ((rc = check_duration(m->snooze->delay, 0, SNOOZE_MAX_US, "snooze.", "delay", &proto->finish.delay_us,
                                 ret_err)) != 0)
            return rc;
        if (*m->snooze->reason)
            rc = check_text(m->snooze->reason, REASON_MAX_BYTES, "snooze.", "reason", &proto->finish.reason, ret_err);
        break;
    case JOBLOG__V1__WORKER_WRITE__WRITE_LOG:
        if ((rc = check_log(m->log, "log.", ret_err)) != 0)
            return rc;
        proto->log = (struct store_log_write){.cmd = {.op = STORE_LOG_WRITE},
                                              .job_id = m->job_id,
                                              .token = m->lease_token,
                                              .scope = &caller_of(w->call)->scope};
        return 0;
    default:
        proto->finish.outcome = ATTEMPT_RELEASED;
        break;
    }
    proto->finish.cmd.op = STORE_FINISH;
    proto->finish.job_id = m->job_id;
    proto->finish.token = m->lease_token;
    proto->finish.scope = &caller_of(w->call)->scope;
    return rc;
}

static struct work_write *keep(struct work_call *w, struct work_write *write, const struct work_write *head,
                               size_t bytes)
{
    *write = *head;
    write->work = w;
    write->bytes = bytes;
    w->n_writes++;
    w->write_bytes += bytes;
    return write;
}

/* Its own copy of a write of log lines: the lines, then their texts. NULL: out of memory. */
static struct work_write *keep_log(struct work_call *w, const struct work_write *proto, const Joblog__V1__LogWrite *m)
{
    size_t bytes = sizeof *proto + m->n_lines * sizeof(struct log_line);
    for (size_t i = 0; i < m->n_lines; i++)
        bytes += strlen(m->lines[i]->text);
    struct work_write *write = mem_alloc(bytes);
    if (!write)
        return NULL;
    struct log_line *lines = (struct log_line *)(void *)write->texts;
    char *at = write->texts + m->n_lines * sizeof *lines;
    for (size_t i = 0; i < m->n_lines; i++) {
        lines[i] = check_log_line(m->lines[i]);
        keep_text(&at, &lines[i].text);
    }
    keep(w, write, proto, bytes);
    write->log.lines = lines;
    write->log.n_lines = m->n_lines;
    return write;
}

/* Its own copy of the write, with the texts. NULL: out of memory. */
static struct work_write *keep_write(struct work_call *w, const struct work_write *proto)
{
    struct span *texts[5] = {NULL};
    size_t n = 0, bytes = 0;
    struct work_write head = *proto;
    if (head.cmd.op == STORE_PROGRESS) {
        texts[n++] = &head.progress.progress.unit;
        texts[n++] = &head.progress.progress.step;
        texts[n++] = &head.progress.payload_patch;
    } else {
        texts[n++] = &head.finish.result;
        texts[n++] = &head.finish.reason;
        texts[n++] = &head.finish.error.type;
        texts[n++] = &head.finish.error.message;
        texts[n++] = &head.finish.error.stack_trace;
    }
    for (size_t i = 0; i < n; i++)
        bytes += texts[i]->len;
    struct work_write *write = mem_alloc(sizeof *write + bytes);
    if (!write)
        return NULL;
    char *at = write->texts;
    for (size_t i = 0; i < n; i++)
        keep_text(&at, texts[i]);
    return keep(w, write, &head, sizeof *write + bytes);
}

enum handed { HANDED, STORE_FULL, NO_MEMORY };

/* Hands one write to the store, or answers it at once. */
static enum handed work_hand_write(struct work_call *w, const Joblog__V1__WorkerWrite *m)
{
    struct work_write proto = {.write_id = m->write_id, .job_id = m->job_id};
    struct err err = ERR_NONE;
    bool good = read_write(w, m, &proto, &err) == 0;
    struct work_write *write =
        good && proto.cmd.op == STORE_LOG_WRITE ? keep_log(w, &proto, m->log) : keep_write(w, &proto);
    if (!write)
        return NO_MEMORY;
    if (!good) {
        write->cmd.err = err;
        answer(write);
        return HANDED;
    }
    write->cmd.done = &write->stored.tag;
    write->stored.on_done = write_done;
    write->stored.user = write;
    crpc_event_arm(w->call, &write->stored);
    if (store_submit(w->service->store, &write->cmd, &err) == 0) {
        w->n_under_way++;
        return HANDED;
    }
    crpc_event_disarm(&write->stored);
    if (err.code == ERR_RESOURCE_EXHAUSTED) {
        work_write_free(write);
        return STORE_FULL;
    }
    write->cmd.err = err;
    answer(write);
    return HANDED;
}

/* ---- steps ---- */

/* Leaves the rest to the writer. */
static enum crpc_next work_stop_reading(struct crpc_call *call)
{
    struct work_call *w = crpc_call_state(call);
    w->reader_done = true;
    crpc_signal_raise(&w->wake);
    return crpc_end(call);
}

static int work_check_message(const struct work_call *w, struct err *ret_err)
{
    const Joblog__V1__WorkRequest *m = w->message;
    if (m->n_writes > MESSAGE_WRITES_MAX)
        return err_field(ret_err, "writes", "writes must hold at most %d, holds %zu", MESSAGE_WRITES_MAX, m->n_writes);
    for (size_t i = 0; i < m->n_writes; i++)
        if (m->writes[i]->write_case == JOBLOG__V1__WORKER_WRITE__WRITE__NOT_SET) {
            char field[48];
            snprintf(field, sizeof field, "writes[%zu].write", i);
            return err_field(ret_err, field, "%s must be set", field);
        }
    return 0;
}

static enum crpc_next work_message(struct crpc_call *call)
{
    struct work_call *w = crpc_call_state(call);
    if (work_check_message(w, &w->error) != 0 || work_take_confirmed(w, w->message->leases_received, &w->error) != 0)
        return work_stop_reading(call);
    work_touch(w);
    if (work_take_credit(w, &w->error) != 0)
        return work_stop_reading(call);
    w->next_write = 0;
    return crpc_goto(call, &WRITES);
}

static enum crpc_next work_writes(struct crpc_call *call)
{
    struct work_call *w = crpc_call_state(call);
    if (crpc_call_ended(call) || !w->session)
        return work_stop_reading(call);
    for (; w->next_write < w->message->n_writes; w->next_write++) {
        if (w->n_writes >= WRITES_MAX || w->write_bytes >= WRITE_BYTES_MAX)
            return crpc_await_signal(call, &w->room, &WRITES);
        switch (work_hand_write(w, w->message->writes[w->next_write])) {
        case HANDED:
            break;
        case STORE_FULL:
            return crpc_await_signal_for(call, &w->room, RETRY_MS, &WRITES);
        case NO_MEMORY:
            err_set(&w->error, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
            return work_stop_reading(call);
        }
    }
    return crpc_recv(call, &RECEIVED);
}

static enum crpc_next work_received(struct crpc_call *call)
{
    struct work_call *w = crpc_call_state(call);
    w->message = joblog_v1_worker_service_work_received(call);
    if (!w->message || crpc_call_ended(call) || !w->session)
        return work_stop_reading(call);
    if (caller_check(call, &w->error) != 0)
        return work_stop_reading(call);
    if (w->message->hello) {
        err_field(&w->error, "hello", "hello must be in the first message only");
        return work_stop_reading(call);
    }
    return crpc_goto(call, &WORK_MESSAGE);
}
