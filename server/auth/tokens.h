/* Inside server/auth: the tokens that live, in memory. Many threads look, one at a time changes. */
#ifndef AUTH_TOKENS_H
#define AUTH_TOKENS_H

#include <pthread.h>

#include "auth/auth.h"
#include "auth/seal.h"

struct token_entry;

struct tokens {
    pthread_rwlock_t lock;
    struct token_entry *by_id; /* uthash */
    uint64_t changes;          /* by tokens_add and tokens_remove */
    struct seal_key seal_key;
    bool can_seal;
};

void tokens_init(struct tokens *tokens);
void tokens_done(struct tokens *tokens);

enum token_verdict { TOKEN_GOOD, TOKEN_EXPIRED, TOKEN_WRONG, TOKEN_UNKNOWN };
/* Gives *ret when it is good. Notes the use. A text that is no token's is TOKEN_WRONG. */
enum token_verdict tokens_find(struct tokens *tokens, struct span text, int64_t now_us, struct identity **ret);
/* To be asked for before the list is read from the database. */
uint64_t tokens_changes(struct tokens *tokens);
/* Makes the tokens of list all that there are; identities of the others become revoked. False: load once more, since
 * memory was short and some are missing, or since the list may be older than an add or a remove after `changes`. */
bool tokens_replace(struct tokens *tokens, const struct token_info *list, size_t n, uint64_t changes);
/* False: out of memory. */
bool tokens_add(struct tokens *tokens, const struct token_info *token);
void tokens_remove(struct tokens *tokens, struct span id);
/* Up to max tokens that were used since they were told last; texts in arena. How many. */
size_t tokens_take_used(struct tokens *tokens, struct arena *arena, struct span *ids, int64_t *times_us, size_t max);

#endif
