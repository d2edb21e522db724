/* The logins of a user: a JSON file that only the user can read. One thread at a time. */
#ifndef LOGINS_H
#define LOGINS_H

#include <jansson.h>

#include "base/err.h"

/* {"current": ADDRESS, "servers": {ADDRESS: {"token": …, "tls": true, "ca_file": …, …}}} of
 * $XDG_CONFIG_HOME/joblog/logins.json; an empty one when there is no such file. Gives *ret (json_decref). 0 or -code.
 */
int logins_read(json_t **ret, struct err *ret_err);
/* Replaces the file as a whole. 0 or -code. */
int logins_write(json_t *logins, struct err *ret_err);

#endif
