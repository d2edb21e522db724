/* Settings that depend on each other, and those whose text has a form. Main thread. */
#include <arpa/inet.h>
#include <string.h>

#include "config.h"
#include "config_internal.h"

bool config_address_is_local(const char *address)
{
    char host[64];
    struct in_addr v4;
    size_t len = strcspn(address, ":");
    if (strncmp(address, "unix:", 5) == 0 || strncmp(address, "localhost:", 10) == 0 ||
        strncmp(address, "[::1]:", 6) == 0)
        return true;
    if (len >= sizeof host)
        return false;
    memcpy(host, address, len);
    host[len] = '\0';
    return inet_pton(AF_INET, host, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

static int check_database(const struct config *cfg, struct err *err)
{
    if (!cfg->embedded && !cfg->database)
        return err_field(err, "embedded", "no database: give --embedded DIR or --database URI");
    if (cfg->embedded && cfg->database)
        return err_field(err, "database", "both embedded and database are set; one must go");
    return 0;
}

static int check_tls(const struct config *cfg, struct err *err)
{
    static const char *const kinds[] = {"none", "optional", "required"};
    bool known = false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        known = known || (cfg->tls_client_certificate && strcmp(cfg->tls_client_certificate, kinds[i]) == 0);
    if (!known)
        return err_field(err, "tls-client-certificate", "tls-client-certificate must be none, optional or required");
    bool wants_certificate = strcmp(cfg->tls_client_certificate, "none") != 0;
    if (!cfg->tls_cert != !cfg->tls_key)
        return err_field(err, cfg->tls_cert ? "tls-key" : "tls-cert", "tls-cert and tls-key belong together");
    if (wants_certificate && !cfg->tls_cert)
        return err_field(err, "tls-client-certificate", "client certificates need TLS: set tls-cert and tls-key");
    if (wants_certificate != (cfg->tls_client_ca != NULL))
        return err_field(err, wants_certificate ? "tls-client-ca" : "tls-client-certificate",
                         "tls-client-ca is for client certificates: set tls-client-certificate to optional or required "
                         "with it");
    if (cfg->certificate_rules && !wants_certificate)
        return err_field(err, "certificate-rules",
                         "certificate-rules need client certificates: set tls-client-certificate");
    return 0;
}

/* Who reads along on the way can take a token, and then everything that it allows. */
static int check_plaintext(const struct config *cfg, struct err *err)
{
    for (size_t i = 0; i < cfg->listen.count; i++) {
        if (!cfg->tls_cert && !cfg->dangerously_allow_plaintext && !config_address_is_local(cfg->listen.items[i]))
            return err_field(err, "listen",
                             "%.60s can be reached over the network, where others can read and change what is sent: "
                             "set tls-cert and tls-key, or dangerously-allow-plaintext",
                             cfg->listen.items[i]);
    }
    return 0;
}

static int check_access(const struct config *cfg, struct err *err)
{
    size_t digits = cfg->unix_socket_mode ? strspn(cfg->unix_socket_mode, "01234567") : 0;
    if (digits < 3 || digits > 4 || cfg->unix_socket_mode[digits] || (digits == 4 && *cfg->unix_socket_mode != '0'))
        return err_field(err, "unix-socket-mode", "unix-socket-mode must be three octal digits, such as 0660");
    if (cfg->jwt_jwks_file && (!cfg->jwt_issuer || !cfg->jwt_audience))
        return err_field(err, cfg->jwt_issuer ? "jwt-audience" : "jwt-issuer",
                         "with jwt-jwks-file, jwt-issuer and jwt-audience must be set");
    return 0;
}

int config_check(const struct config *cfg, struct err *err)
{
    int rc = check_database(cfg, err);
    if (rc == 0)
        rc = check_tls(cfg, err);
    if (rc == 0)
        rc = check_plaintext(cfg, err);
    return rc == 0 ? check_access(cfg, err) : rc;
}
