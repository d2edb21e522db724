/* A command of the store made blocking; for the thread of auth, and for the start. */
#include "auth/auth_priv.h"

struct waiter {
    struct tag tag;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
};

static void post(struct tag *tag, bool ok)
{
    struct waiter *w = (struct waiter *)tag;
    (void)ok;
    pthread_mutex_lock(&w->lock);
    w->done = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

int ask_store(struct store *store, struct store_cmd *cmd, struct err *ret_err)
{
    struct waiter w = {.tag = {.post = post}};
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.cond, NULL);
    cmd->done = &w.tag;
    int rc = store_submit(store, cmd, ret_err);
    if (rc == 0) {
        pthread_mutex_lock(&w.lock);
        while (!w.done)
            pthread_cond_wait(&w.cond, &w.lock);
        pthread_mutex_unlock(&w.lock);
        if (cmd->err.code != ERR_OK) {
            *ret_err = cmd->err;
            rc = -(int)cmd->err.code;
        }
    }
    pthread_cond_destroy(&w.cond);
    pthread_mutex_destroy(&w.lock);
    return rc;
}
