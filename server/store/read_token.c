/* Tokens: made, revoked, listed, loaded. A reader's thread. */
#include "store/access.h"
#include "store/reader.h"

static bool keep(struct arena *a, struct span s, struct span *ret)
{
    *ret = arena_span(a, s);
    return ret->data != NULL;
}

static void put_texts(struct pg_params *p, const struct span *texts, size_t n)
{
    struct pg_param *array = pg_add_array(p, PG_TEXT);

    for (size_t i = 0; i < n; i++)
        pg_put_text(array, texts[i]);
}

static void add_time_or_null(struct pg_params *p, int64_t us)
{
    if (us)
        pg_add_time(p, us);
    else
        pg_add_null(p);
}

int read_token_create(struct reader *r, struct store_token_create *cmd, struct err *ret_err)
{
    const struct token_info *t = &cmd->token;
    struct pg_params *p = &r->params;
    struct pg_result *rows;
    bool made;

    pg_params_clear(p);
    pg_add_text(p, t->id);
    pg_add_text(p, t->hash);
    pg_add_text(p, t->name);
    pg_add_int4(p, (int32_t)t->roles);
    put_texts(p, t->queues, t->n_queues);
    put_texts(p, t->job_names, t->n_job_names);
    put_texts(p, t->owners, t->n_owners);
    pg_add_text(p, t->owner);
    pg_add_int4(p, t->own_only);
    pg_add_int4(p, t->may_delegate);
    pg_add_text(p, t->creator);
    pg_add_time(p, t->create_us);
    add_time_or_null(p, t->expire_us);
    pg_add_int4(p, TOKENS_MAX);
    rows = read_rows(r, SQL_TOKEN_INSERT, ret_err);
    if (!rows && ret_err->code == ERR_ALREADY_EXISTS)
        return err_set(ret_err, ERR_ALREADY_EXISTS, "TOKEN_NAME_TAKEN",
                       "there is a token \"%.*s\"; revoke it, or take another name", (int)t->name.len, t->name.data);
    if (!rows)
        return -(int)ret_err->code;
    made = pg_rows(rows) > 0;
    pg_free(rows);
    return made ? 0
                : err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "TOO_MANY_TOKENS", "there are %d tokens; revoke some first",
                          TOKENS_MAX);
}

int read_token_revoke(struct reader *r, struct store_token_revoke *cmd, struct err *ret_err)
{
    struct pg_result *rows;
    bool found;

    pg_params_clear(&r->params);
    pg_add_text(&r->params, cmd->id);
    pg_add_text(&r->params, cmd->actor);
    pg_add_time(&r->params, cmd->now_us);
    rows = read_rows(r, SQL_TOKEN_REVOKE, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    found = pg_rows(rows) > 0;
    pg_free(rows);
    return found ? 0 : err_set(ret_err, ERR_NOT_FOUND, "TOKEN_NOT_FOUND", "there is no such token");
}

/* The lines of text, which lives in the arena. */
static bool split(struct arena *a, struct span text, const struct span **ret, size_t *ret_n)
{
    size_t n = text.len > 0, at = 0;
    struct span copy = arena_span(a, text), *lines;

    for (size_t i = 0; i < text.len; i++)
        n += text.data[i] == '\n';
    lines = arena_alloc(a, n * sizeof *lines);
    if (!lines || !copy.data)
        return false;
    for (size_t i = 0; i < n; i++) {
        const char *end = memchr(copy.data + at, '\n', copy.len - at);
        size_t len = end ? (size_t)(end - copy.data) - at : copy.len - at;
        lines[i] = span_of(copy.data + at, len);
        at += len + 1;
    }
    *ret = lines;
    *ret_n = n;
    return true;
}

static bool read_row(struct arena *a, const struct pg_result *rows, int i, struct token_info *t)
{
    t->roles = (unsigned)pg_int(rows, i, 3);
    t->own_only = pg_int(rows, i, 8) != 0;
    t->may_delegate = pg_int(rows, i, 9) != 0;
    t->create_us = pg_time(rows, i, 11);
    t->expire_us = pg_time(rows, i, 12);
    t->last_use_us = pg_time(rows, i, 13);
    t->revoke_us = pg_time(rows, i, 15);
    return keep(a, pg_text(rows, i, 0), &t->id) && keep(a, pg_text(rows, i, 1), &t->hash) &&
           keep(a, pg_text(rows, i, 2), &t->name) && split(a, pg_text(rows, i, 4), &t->queues, &t->n_queues) &&
           split(a, pg_text(rows, i, 5), &t->job_names, &t->n_job_names) &&
           split(a, pg_text(rows, i, 6), &t->owners, &t->n_owners) && keep(a, pg_text(rows, i, 7), &t->owner) &&
           keep(a, pg_text(rows, i, 10), &t->creator) && keep(a, pg_text(rows, i, 14), &t->revoker);
}

/* The first n rows at most. Frees rows. */
static int read_tokens(struct arena *a, struct pg_result *rows, int n, struct token_info **ret, size_t *ret_n,
                       struct err *ret_err)
{
    int count = pg_rows(rows) < n ? pg_rows(rows) : n;
    struct token_info *list = arena_zalloc(a, (size_t)count * sizeof *list);
    bool good = list != NULL;

    for (int i = 0; good && i < count; i++)
        good = read_row(a, rows, i, &list[i]);
    pg_free(rows);
    if (!good)
        return read_out_of_memory(ret_err);
    *ret = list;
    *ret_n = (size_t)count;
    return 0;
}

int read_token_list(struct reader *r, struct store_token_list *cmd, struct err *ret_err)
{
    struct pg_result *rows;

    pg_params_clear(&r->params);
    pg_add_text(&r->params, cmd->after_id);
    pg_add_int4(&r->params, cmd->limit + 1);
    pg_add_int4(&r->params, cmd->revoked);
    rows = read_rows(r, SQL_TOKEN_LIST, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    cmd->more = pg_rows(rows) > cmd->limit;
    return read_tokens(cmd->arena, rows, cmd->limit, &cmd->tokens, &cmd->n_tokens, ret_err);
}

/* The version first: what is loaded after it is at least as new. */
int read_token_load(struct reader *r, struct store_token_load *cmd, struct err *ret_err)
{
    struct pg_result *rows;
    int64_t version;

    pg_params_clear(&r->params);
    rows = read_rows(r, SQL_TOKEN_VERSION, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    version = pg_rows(rows) > 0 ? pg_int(rows, 0, 0) : 0;
    pg_free(rows);
    cmd->changed = version != cmd->version;
    if (!cmd->changed)
        return 0;
    pg_add_time(&r->params, cmd->now_us);
    rows = read_rows(r, SQL_TOKEN_LOAD, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    int rc = read_tokens(cmd->arena, rows, TOKENS_MAX, &cmd->tokens, &cmd->n_tokens, ret_err);
    if (rc == 0)
        cmd->version = version;
    return rc;
}

int read_token_used(struct reader *r, struct store_token_used *cmd, struct err *ret_err)
{
    struct pg_params *p = &r->params;
    struct pg_param *times;
    struct pg_result *rows;

    pg_params_clear(p);
    put_texts(p, cmd->ids, cmd->n);
    times = pg_add_array(p, PG_TIMESTAMPTZ);
    for (size_t i = 0; i < cmd->n; i++)
        pg_put_time(times, cmd->times_us[i]);
    rows = read_rows(r, SQL_TOKEN_USED, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    pg_free(rows);
    pg_params_clear(p);
    pg_add_time(p, cmd->purge_us);
    rows = read_rows(r, SQL_TOKEN_PURGE, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    pg_free(rows);
    return 0;
}
