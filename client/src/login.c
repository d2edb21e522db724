/* A login is kept, or forgotten. The caller's thread. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client_priv.h"
#include "joblog/access.h"
#include "logins.h"

const char *joblog_address(const struct joblog_client *client)
{
    return client->credentials.address;
}

static bool set_text(json_t *server, const char *name, const char *text)
{
    return !text || json_object_set_new(server, name, json_string(text)) == 0;
}

/* 0, or -code: a path that leads nowhere would only be noticed by the next program. */
static int set_path(json_t *server, const char *name, const char *path, struct err *ret_err)
{
    char *absolute = path ? realpath(path, NULL) : NULL;
    int rc = 0;
    if (path && !absolute)
        rc = err_field(ret_err, name, "%.150s: %s", path, strerror(errno));
    else if (!set_text(server, name, absolute))
        rc = error_no_memory(ret_err);
    free(absolute);
    return rc;
}

static int fill(json_t *server, const struct credentials *c, struct err *ret_err)
{
    static const size_t scheme = sizeof "Bearer " - 1;
    int rc = set_path(server, "ca_file", c->ca_file, ret_err);
    if (rc == 0)
        rc = set_path(server, "cert_file", c->cert_file, ret_err);
    if (rc == 0)
        rc = set_path(server, "key_file", c->key_file, ret_err);
    if (rc == 0 && (!set_text(server, "token", c->bearer ? c->bearer->text + scheme : NULL) ||
                    !set_text(server, "server_name", c->server_name) ||
                    json_object_set_new(server, "tls", json_boolean(c->tls)) != 0))
        rc = error_no_memory(ret_err);
    return rc;
}

/* The member "servers", made when there is none. Borrowed. */
static json_t *servers_of(json_t *logins)
{
    json_t *servers = json_object_get(logins, "servers");
    if (!json_is_object(servers) && json_object_set_new(logins, "servers", json_object()) != 0)
        return NULL;
    return json_object_get(logins, "servers");
}

int joblog_login(const struct joblog_client *client, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    const struct credentials *c = &client->credentials;
    json_t *logins = NULL, *server = json_object(), *servers;
    int rc = server ? logins_read(&logins, &e) : error_no_memory(&e);
    if (rc == 0 && (rc = fill(server, c, &e)) == 0) {
        servers = servers_of(logins);
        if (!servers || json_object_set(servers, c->address, server) != 0 ||
            json_object_set_new(logins, "current", json_string(c->address)) != 0)
            rc = error_no_memory(&e);
        else
            rc = logins_write(logins, &e);
    }
    json_decref(server);
    json_decref(logins);
    (void)rc;
    return error_give(error, &e);
}

int joblog_logout(const char *address, char ret_address[256], struct joblog_error *error)
{
    struct err e = ERR_NONE;
    json_t *logins = NULL;
    bool found = false;
    if (logins_read(&logins, &e) == 0) {
        const char *current = json_string_value(json_object_get(logins, "current"));
        char which[256];
        snprintf(which, sizeof which, "%s", address && *address ? address : current ? current : "");
        bool is_current = current && strcmp(which, current) == 0;
        found = json_object_del(servers_of(logins), which) == 0;
        if (found && is_current)
            json_object_del(logins, "current");
        if (found && logins_write(logins, &e) == 0 && ret_address)
            memcpy(ret_address, which, sizeof which);
    }
    json_decref(logins);
    int rc = error_give(error, &e);
    return rc < 0 ? rc : found;
}
