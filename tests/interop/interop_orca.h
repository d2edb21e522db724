/* Load reports (ORCA) of the interop server: one with each call that wants it, and a service that tells the last one
 * that was set. Any worker. */
#ifndef TESTS_INTEROP_ORCA_H
#define TESTS_INTEROP_ORCA_H

#include "base/err.h"
#include "crpc/server.h"
#include "grpc/testing/messages.pb-c.h"

/* xds.service.orca.v3.OpenRcaService. Before crpc_server_start. 0, or -code and *ret_err. */
int interop_orca_mount(struct crpc_server *server, struct err *ret_err);
/* What the service says from now on; copies. report NULL: nothing changes. 0, or -code and *ret_err. */
int interop_orca_set(const Grpc__Testing__TestOrcaReport *report, struct err *ret_err);
/* The report goes out with the status of this call. report NULL: none does. 0, or -code and *ret_err. */
int interop_orca_attach(struct crpc_call *call, const Grpc__Testing__TestOrcaReport *report, struct err *ret_err);

#endif
