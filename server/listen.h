/* Where joblogd accepts calls: TLS for all TCP addresses when a certificate is set, unix sockets with their
 * permissions. Main thread, at the start. */
#ifndef SERVER_LISTEN_H
#define SERVER_LISTEN_H

#include "base/buf.h"
#include "config.h"
#include "crpc/credentials.h"
#include "crpc/server.h"

/* Gives *ret (crpc_server_credentials_free); NULL without tls-cert. 0, or -code with the setting as field. */
int listen_credentials(const struct config *cfg, struct crpc_server_credentials **ret, struct err *ret_err);
/* credentials NULL: plaintext. Adds the addresses, with real ports, to ret_addresses. 0, or -code as above. */
int listen_all(const struct config *cfg, struct crpc_server *server, struct crpc_server_credentials *credentials,
               struct buf *ret_addresses, struct err *ret_err);

#endif
