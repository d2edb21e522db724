/* grpc.testing.TestService as the gRPC project's interop-test-descriptions want a server to be. Runs on the workers. */
#ifndef TESTS_INTEROP_SERVICE_H
#define TESTS_INTEROP_SERVICE_H

#include "base/err.h"
#include "crpc/server.h"

/* Before crpc_server_start. 0, or -code and *ret_err. */
int interop_service_mount(struct crpc_server *server, struct err *ret_err);

#endif
