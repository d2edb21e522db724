/* The one table from SQLSTATE to code. The first row that fits counts. Pure. */
#include "pg/sqlstate.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *state; /* the whole, or its class of two characters */
    enum err_code code;
    const char *msg;
    int32_t retry_after_ms;
} rows[] = {
    {"08", ERR_UNAVAILABLE, "the database cannot be reached", 1000},
    {"22", ERR_INVALID_ARGUMENT, "a value that the database does not take", 0},
    {"23505", ERR_ALREADY_EXISTS, "it exists already", 0},
    {"23", ERR_INVALID_ARGUMENT, "a value that the database does not take", 0},
    {"25006", ERR_UNAVAILABLE, "the database is read-only at present", 1000},
    {"40001", ERR_ABORTED, "it collided with another change, try again", 100},
    {"40P01", ERR_ABORTED, "it collided with another change, try again", 100},
    {"40", ERR_ABORTED, "the database gave it up, try again", 100},
    {"53", ERR_RESOURCE_EXHAUSTED, "the database has no room or memory left", 1000},
    {"54", ERR_INVALID_ARGUMENT, "larger than the database takes", 0},
    {"55P03", ERR_ABORTED, "it waited too long for another change, try again", 100},
    {"57014", ERR_DEADLINE_EXCEEDED, "the database took too long", 0},
    {"57P", ERR_UNAVAILABLE, "the database is shutting down or starting", 1000},
    {"JL001", ERR_ABORTED, "it collided with another change, try again", 100},
    {"JL002", ERR_FAILED_PRECONDITION, "the job's status does not allow it", 0},
};

int sqlstate_err(const char *sqlstate, struct err *ret_err)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strncmp(sqlstate, rows[i].state, strlen(rows[i].state)) != 0)
            continue;
        int rc = err_set(ret_err, rows[i].code, NULL, "%s", rows[i].msg);
        if (ret_err)
            ret_err->retry_after_ms = rows[i].retry_after_ms;
        return rc;
    }
    return err_set(ret_err, ERR_INTERNAL, NULL, "the database refused it");
}

bool sqlstate_is_routine(const char *sqlstate)
{
    return strcmp(sqlstate, "23505") == 0 || strcmp(sqlstate, "22012") == 0 || strcmp(sqlstate, "JL001") == 0;
}
