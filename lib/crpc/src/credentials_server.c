/* TLS of servers. Core asks before every handshake whether there is something newer (fetch, on a thread of core's); the
 * files are then looked at, at most once a second, and read when they have changed. What does not fit together, as
 * between the writing of a certificate and that of its key, leaves the old in force.
 *
 * Core remembers the newest for each listening port, so each has its own note of what it was given. */
#include "credentials.h"

#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "pem.h"

enum { CERT, KEY, CA, FILES };
enum { LOOK_EVERY_MS = 1000 };

/* How a file looked when it was read. */
struct mark {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec changed, modified;
};

struct tls_port {
    struct crpc_server_credentials *credentials;
    unsigned generation; /* what core has been given; 0: nothing */
    struct tls_port *next;
};

struct crpc_server_credentials {
    struct pem_file files[FILES]; /* path NULL: none */
    enum crpc_client_certificate client_certificate;
    pthread_mutex_t mu; /* the rest */
    char *pem[FILES];
    unsigned generation; /* of pem; from 1 */
    struct mark marks[FILES], tried[FILES];
    int64_t looked_ms;
    struct tls_port *ports;
};

static void mark(const struct crpc_server_credentials *c, struct mark *ret)
{
    memset(ret, 0, FILES * sizeof *ret);
    for (int i = 0; i < FILES; i++) {
        struct stat st;
        if (!c->files[i].path || stat(c->files[i].path, &st) < 0)
            continue;
        ret[i].dev = st.st_dev;
        ret[i].ino = st.st_ino;
        ret[i].size = st.st_size;
        ret[i].changed = st.st_ctim;
        ret[i].modified = st.st_mtim;
    }
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_marks(const struct mark *a, const struct mark *b)
{
    for (int i = 0; i < FILES; i++)
        if (a[i].dev != b[i].dev || a[i].ino != b[i].ino || a[i].size != b[i].size ||
            !same_time(a[i].changed, b[i].changed) || !same_time(a[i].modified, b[i].modified))
            return false;
    return true;
}

static int read_files(const struct crpc_server_credentials *c, char **pem, struct err *ret_err)
{
    for (int i = 0; i < FILES; i++) {
        int rc = c->files[i].path ? pem_read(c->files[i], &pem[i], ret_err) : 0;
        if (rc < 0)
            return rc;
    }
    int rc = pem_check_pair(c->files[CERT], pem[CERT], c->files[KEY], pem[KEY], ret_err);
    if (rc == 0 && pem[CA])
        rc = pem_check_ca(c->files[CA], pem[CA], ret_err);
    return rc;
}

static bool same_pem(char *const *a, char *const *b)
{
    for (int i = 0; i < FILES; i++)
        if (!a[i] != !b[i] || (a[i] && strcmp(a[i], b[i]) != 0))
            return false;
    return true;
}

/* Reads anew; what fits is in force from here on. Under mu. */
static int load(struct crpc_server_credentials *c, struct err *ret_err)
{
    char *pem[FILES] = {NULL};
    mark(c, c->tried); /* before the reading, so that a change while it goes on shows the next time */
    int rc = read_files(c, pem, ret_err);
    bool news = rc == 0 && (c->generation == 0 || !same_pem(pem, c->pem));
    if (rc == 0)
        memcpy(c->marks, c->tried, sizeof c->marks);
    for (int i = 0; i < FILES; i++) {
        char *old = news ? c->pem[i] : pem[i];
        if (news)
            c->pem[i] = pem[i];
        pem_free(old);
    }
    c->generation += news;
    return rc;
}

static char *copy_path(const char *path, bool *io_ok)
{
    char *copy = path ? mem_strdup(path) : NULL;
    if (path && !copy)
        *io_ok = false;
    return copy;
}

static int check_options(const struct crpc_tls_server_options *o, struct err *ret_err)
{
    if (!o->cert_file)
        return err_field(ret_err, "cert_file", "a server needs a certificate");
    if (!o->key_file)
        return err_field(ret_err, "key_file", "a server needs the key of its certificate");
    if (!o->client_ca_file && o->client_certificate != CRPC_CLIENT_CERTIFICATE_NONE)
        return err_field(ret_err, "client_ca_file", "to check certificates of clients takes that of who signs them");
    return 0;
}

struct crpc_server_credentials *crpc_server_credentials_tls(const struct crpc_tls_server_options *options,
                                                            struct err *ret_err)
{
    if (check_options(options, ret_err) < 0)
        return NULL;
    struct crpc_server_credentials *c = mem_zalloc(sizeof *c);
    if (!c) {
        err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
        return NULL;
    }
    bool asked = options->client_certificate != CRPC_CLIENT_CERTIFICATE_NONE, ok = true;
    pthread_mutex_init(&c->mu, NULL);
    c->client_certificate = options->client_certificate;
    c->files[CERT] = (struct pem_file){"cert_file", copy_path(options->cert_file, &ok)};
    c->files[KEY] = (struct pem_file){"key_file", copy_path(options->key_file, &ok)};
    c->files[CA] = (struct pem_file){"client_ca_file", copy_path(asked ? options->client_ca_file : NULL, &ok)};
    if (!ok)
        err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    if (!ok || load(c, ret_err) < 0) {
        crpc_server_credentials_free(c);
        return NULL;
    }
    c->looked_ms = clock_mono_ms();
    return c;
}

int crpc_server_credentials_reload(struct crpc_server_credentials *credentials, struct err *ret_err)
{
    pthread_mutex_lock(&credentials->mu);
    int rc = load(credentials, ret_err);
    credentials->looked_ms = clock_mono_ms();
    pthread_mutex_unlock(&credentials->mu);
    return rc;
}

void crpc_server_credentials_free(struct crpc_server_credentials *credentials)
{
    if (!credentials)
        return;
    for (struct tls_port *p = credentials->ports, *next; p; p = next) {
        next = p->next;
        mem_free(p);
    }
    for (int i = 0; i < FILES; i++) {
        pem_free(credentials->pem[i]);
        mem_free((char *)credentials->files[i].path);
    }
    pthread_mutex_destroy(&credentials->mu);
    mem_free(credentials);
}

/* Under mu. */
static void look(struct crpc_server_credentials *c)
{
    int64_t now = clock_mono_ms();
    if (now - c->looked_ms < LOOK_EVERY_MS)
        return;
    c->looked_ms = now;
    struct mark marks[FILES];
    mark(c, marks);
    if (same_marks(marks, c->marks))
        return;
    bool known = same_marks(marks, c->tried); /* failed before: tried again, but told once */
    struct err err = ERR_NONE;
    if (load(c, &err) < 0 && !known)
        log_warning("tls files not taken, the old ones stay in force reason=\"%s\"", err.msg);
}

static grpc_ssl_certificate_config_reload_status fetch(void *user, grpc_ssl_server_certificate_config **ret_config)
{
    struct tls_port *port = user;
    struct crpc_server_credentials *c = port->credentials;
    grpc_ssl_certificate_config_reload_status status = GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    pthread_mutex_lock(&c->mu);
    look(c);
    if (port->generation != c->generation) {
        grpc_ssl_pem_key_cert_pair pair = {.private_key = c->pem[KEY], .cert_chain = c->pem[CERT]};
        /* Core aborts without authorities, even when no client is asked for a certificate; they count for nothing then.
         */
        const char *ca = c->pem[CA] ? c->pem[CA] : c->pem[CERT];
        *ret_config = grpc_ssl_server_certificate_config_create(ca, &pair, 1);
        port->generation = c->generation;
        status = GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
    }
    pthread_mutex_unlock(&c->mu);
    return status;
}

grpc_server_credentials *server_credentials_core(struct crpc_server_credentials *credentials)
{
    static const grpc_ssl_client_certificate_request_type requests[] = {
        [CRPC_CLIENT_CERTIFICATE_NONE] = GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
        [CRPC_CLIENT_CERTIFICATE_OPTIONAL] = GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY,
        [CRPC_CLIENT_CERTIFICATE_REQUIRED] = GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY,
    };
    struct tls_port *port = mem_zalloc(sizeof *port);
    if (!port)
        return NULL;
    port->credentials = credentials;
    pthread_mutex_lock(&credentials->mu);
    port->next = credentials->ports;
    credentials->ports = port;
    pthread_mutex_unlock(&credentials->mu);
    return grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(requests[credentials->client_certificate],
                                                                        fetch, port));
}
