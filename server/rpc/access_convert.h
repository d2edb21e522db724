/* Tokens and grants between messages and the store. Pure, any thread. */
#ifndef RPC_ACCESS_CONVERT_H
#define RPC_ACCESS_CONVERT_H

#include "base/arena.h"
#include "base/err.h"
#include "joblog/v1/access.pb-c.h"
#include "store/access.h"

enum { TOKEN_NAME_MAX_BYTES = 100, GRANT_PATTERNS_MAX = 64 };

/* Field "grant"; texts of the result point into the message, arrays are made in the arena. 0, or INVALID_ARGUMENT
 * naming the field, or RESOURCE_EXHAUSTED. */
int check_grant(const Joblog__V1__Grant *grant, struct arena *arena, struct token_info *ret, struct err *ret_err);
/* Field "name": also a part of log lines and of the audit trail, where a blank would end it. */
int check_token_name(const char *name, struct span *ret, struct err *ret_err);
int check_token_id(const char *id, const char *field, struct span *ret, struct err *ret_err);

/* In the arena; NULL when out of memory. */
Joblog__V1__Grant *convert_grant(struct arena *arena, const struct token_info *token);
Joblog__V1__Token *convert_token(struct arena *arena, const struct token_info *token);

#endif
