/* What the files about exports share. */
#ifndef CLIENT_EXPORT_PRIV_H
#define CLIENT_EXPORT_PRIV_H

#include <openssl/evp.h>
#include <stdbool.h>

#include "base/arena.h"
#include "client_priv.h"
#include "export_place.h"
#include "joblog/export.h"

/* Names of the numbers on the wire. */
enum { EXPORT_OPERATORS = 11, EXPORT_FORMATS = 4, EXPORT_COMPRESSIONS = 4 };
extern const char *const export_operators[EXPORT_OPERATORS];
extern const char *const export_formats[EXPORT_FORMATS];
extern const char *const export_compressions[EXPORT_COMPRESSIONS];

/* False when out of memory. */
bool convert_export(struct arena *a, const Joblog__V1__Export *message, struct joblog_export *ret_export);
struct joblog_export *convert_export_box(ProtobufCMessage *message, const Joblog__V1__Export *m, struct err *ret_err);
struct joblog_export *export_get(struct joblog_client *client, int64_t id, struct err *ret_err);
/* Downloads into the place and gives the file its name. follow: it may still be written. 0, or -code and *ret_err. */
int export_save(struct joblog_client *client, int64_t id, struct export_place *place, bool follow,
                struct joblog_export **ret_export, struct err *ret_err);

enum { SHA256_HEX_SIZE = 65 };
/* Ends the digest and writes it as hex. False when OpenSSL refuses. */
bool sha256_hex(EVP_MD_CTX *digest, char hex[SHA256_HEX_SIZE]);

struct download {
    struct joblog_client *client;
    int64_t id, offset;
    joblog_download_sink *sink;
    void *user;
    EVP_MD_CTX *digest; /* of all before offset; NULL: unknown, the sum is not checked */
    bool follow;        /* it may not be finished yet */
    int64_t attempt;    /* that the bytes before offset are of; 0: not known */
};
/* Downloads from download->offset to the end. 0, or -code and *ret_err: DATA_LOSS with reason WRONG_SUM when the whole
 * is not what the server has; ABORTED with reason EXPORT_RESTARTED: what came is of an attempt that has failed. */
int download_run(struct download *download, struct err *ret_err);

#endif
