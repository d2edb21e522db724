/* Reading and checking PEM files; see pem.h. Any thread. The error queue of OpenSSL, which is the thread's and which
 * core's TLS reads too, is left empty. */
#include "pem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "base/alloc.h"

/* A bundle of all the world's authorities takes a quarter of a megabyte. */
enum { PEM_MAX = 4 << 20 };

static int cannot_read(struct pem_file file, int why, struct err *ret_err)
{
    enum err_code code = ERR_INVALID_ARGUMENT;
    if (why == ENOENT || why == ENOTDIR)
        code = ERR_NOT_FOUND;
    else if (why == EACCES || why == EPERM)
        code = ERR_PERMISSION_DENIED;
    int rc = err_set(ret_err, code, "TLS_FILE", "%s %.120s: %s", file.option, file.path, strerror(why));
    if (ret_err)
        memcpy(ret_err->field, file.option, strlen(file.option) + 1);
    return rc;
}

static int bad_content(struct pem_file file, const char *what, struct err *ret_err)
{
    unsigned long e = ERR_peek_last_error();
    const char *why = e ? ERR_reason_error_string(e) : NULL;
    int rc = err_field(ret_err, file.option, "%s %.120s: %s%s%s", file.option, file.path, what, why ? ": " : "",
                       why ? why : "");
    ERR_clear_error();
    return rc;
}

/* The whole of fd into text, which has room for max bytes; -1 and errno. */
static ssize_t read_all(int fd, char *text, size_t max)
{
    size_t len = 0;
    while (len < max) {
        ssize_t n = read(fd, text + len, max - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

static int read_fd(struct pem_file file, int fd, char **ret_text, struct err *ret_err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return cannot_read(file, errno, ret_err);
    if (!S_ISREG(st.st_mode))
        return bad_content(file, "no regular file", ret_err);
    if (st.st_size > PEM_MAX)
        return bad_content(file, "too large for certificates or a key", ret_err);
    size_t max = (size_t)st.st_size + 1; /* one more shows that it has grown meanwhile: then it is read again later */
    char *text = mem_alloc(max + 1);
    if (!text)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    ssize_t len = read_all(fd, text, max);
    if (len < 0) {
        int why = errno;
        mem_free(text);
        return cannot_read(file, why, ret_err);
    }
    text[len] = '\0';
    if (memchr(text, '\0', (size_t)len)) {
        pem_free(text);
        return bad_content(file, "no PEM: it holds bytes of value zero", ret_err);
    }
    *ret_text = text;
    return 0;
}

int pem_read(struct pem_file file, char **ret_text, struct err *ret_err)
{
    /* Not to hang on a pipe. */
    int fd = open(file.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return cannot_read(file, errno, ret_err);
    int rc = read_fd(file, fd, ret_text, ret_err);
    close(fd);
    return rc;
}

void pem_free(char *text)
{
    if (text)
        OPENSSL_cleanse(text, strlen(text));
    mem_free(text);
}

/* Else OpenSSL asks on the terminal. */
static int no_password(char *buf, int size, int writing, void *user)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)user;
    return -1;
}

static BIO *bio_of(const char *text)
{
    return BIO_new_mem_buf(text, -1);
}

/* After PEM_read_bio_X509 gave NULL: was that just the end? */
static bool at_end(void)
{
    unsigned long e = ERR_peek_last_error();
    if (ERR_GET_LIB(e) != ERR_LIB_PEM || ERR_GET_REASON(e) != PEM_R_NO_START_LINE)
        return false;
    ERR_clear_error();
    return true;
}

static int use_chain(SSL_CTX *ctx, struct pem_file file, BIO *bio, struct err *ret_err)
{
    X509 *leaf = PEM_read_bio_X509_AUX(bio, NULL, no_password, NULL);
    if (!leaf)
        return bad_content(file, "no certificate in PEM", ret_err);
    int ok = SSL_CTX_use_certificate(ctx, leaf);
    X509_free(leaf);
    if (ok != 1)
        return bad_content(file, "the certificate cannot be used", ret_err);
    X509 *issuer;
    while ((issuer = PEM_read_bio_X509(bio, NULL, no_password, NULL))) {
        if (SSL_CTX_add_extra_chain_cert(ctx, issuer) != 1) { /* takes issuer when it succeeds */
            X509_free(issuer);
            return bad_content(file, "a certificate of the chain cannot be used", ret_err);
        }
    }
    return at_end() ? 0 : bad_content(file, "a certificate of the chain does not parse", ret_err);
}

static int use_key(SSL_CTX *ctx, struct pem_file file, BIO *bio, struct err *ret_err)
{
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    if (!key)
        return bad_content(file, "no private key in PEM without a password", ret_err);
    int ok = SSL_CTX_use_PrivateKey(ctx, key);
    EVP_PKEY_free(key);
    if (ok != 1 || SSL_CTX_check_private_key(ctx) != 1)
        return bad_content(file, "the key does not belong to the certificate", ret_err);
    return 0;
}

int pem_check_pair(struct pem_file cert_file, const char *cert, struct pem_file key_file, const char *key,
                   struct err *ret_err)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    BIO *certs = bio_of(cert), *keys = bio_of(key);
    int rc = 0;
    if (!ctx || !certs || !keys)
        rc = err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    if (rc == 0)
        rc = use_chain(ctx, cert_file, certs, ret_err);
    if (rc == 0)
        rc = use_key(ctx, key_file, keys, ret_err);
    BIO_free(certs);
    BIO_free(keys);
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return rc;
}

int pem_check_ca(struct pem_file file, const char *text, struct err *ret_err)
{
    ERR_clear_error();
    BIO *bio = bio_of(text);
    if (!bio)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    unsigned n = 0;
    X509 *cert;
    while ((cert = PEM_read_bio_X509(bio, NULL, no_password, NULL))) {
        X509_free(cert);
        n++;
    }
    int rc = 0;
    if (!at_end())
        rc = bad_content(file, "a certificate does not parse", ret_err);
    else if (n == 0)
        rc = bad_content(file, "no certificate in PEM", ret_err);
    BIO_free(bio);
    return rc;
}
