/* See listen.h. */
#include "listen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"

static int at_fault(const char *setting, int rc, struct err *ret_err)
{
    if (rc != 0)
        snprintf(ret_err->field, sizeof ret_err->field, "%s", setting);
    return rc;
}

int listen_credentials(const struct config *cfg, struct crpc_server_credentials **ret, struct err *ret_err)
{
    struct crpc_tls_server_options options = {
        .cert_file = cfg->tls_cert, .key_file = cfg->tls_key, .client_ca_file = cfg->tls_client_ca};
    if (!cfg->tls_cert)
        return 0;
    if (strcmp(cfg->tls_client_certificate, "optional") == 0)
        options.client_certificate = CRPC_CLIENT_CERTIFICATE_OPTIONAL;
    else if (strcmp(cfg->tls_client_certificate, "required") == 0)
        options.client_certificate = CRPC_CLIENT_CERTIFICATE_REQUIRED;
    *ret = crpc_server_credentials_tls(&options, ret_err);
    if (*ret)
        return 0;
    ret_err->code = ERR_INVALID_ARGUMENT; /* a setting is at fault, whatever is wrong with the file */
    return at_fault("tls-cert", -ERR_INVALID_ARGUMENT, ret_err);
}

/* The socket is made with the permissions it shall have: none but the owner's until it is known that all are wanted. */
static int listen_unix(const struct config *cfg, struct crpc_server *server, const char *address, struct err *ret_err)
{
    mode_t mode = (mode_t)strtoul(cfg->unix_socket_mode, NULL, 8), before = umask(0177);
    int rc = crpc_server_listen(server, address, NULL, ret_err);
    umask(before);
    if (rc == 0 && chmod(address + strlen("unix:"), mode) != 0)
        rc = err_set(ret_err, ERR_FAILED_PRECONDITION, NULL, "could not set the permissions of %.100s: %s", address,
                     strerror(errno));
    return rc;
}

static int listen_one(const struct config *cfg, struct crpc_server *server, struct crpc_server_credentials *credentials,
                      const char *address, int *ret_port, struct err *ret_err)
{
    if (strncmp(address, "unix:", 5) == 0)
        return listen_unix(cfg, server, address, ret_err);
    return credentials ? crpc_server_listen_tls(server, address, credentials, ret_port, ret_err)
                       : crpc_server_listen(server, address, ret_port, ret_err);
}

int listen_all(const struct config *cfg, struct crpc_server *server, struct crpc_server_credentials *credentials,
               struct buf *addresses, struct err *ret_err)
{
    for (size_t i = 0; i < cfg->listen.count; i++) {
        const char *address = cfg->listen.items[i], *colon = strrchr(address, ':');
        int port = 0;
        int rc = listen_one(cfg, server, credentials, address, &port, ret_err);
        if (rc != 0)
            return at_fault("listen", rc, ret_err);
        if (!credentials && !config_address_is_local(address))
            log_warning("calls cross the network unencrypted listen=%s", address);
        if (addresses->len > 0)
            buf_add_char(addresses, ',');
        if (port > 0 && colon)
            buf_printf(addresses, "%.*s:%d", (int)(colon - address), address, port);
        else
            buf_add_str(addresses, address);
    }
    return addresses->failed ? err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory") : 0;
}
