/* The standard service grpc.reflection.v1.ServerReflection, ready to mount (link crpc_reflection). It tells clients
 * such as grpcurl and `buf curl` what a server serves, with the descriptors that generated code carries. */
#ifndef CRPC_REFLECTION_H
#define CRPC_REFLECTION_H

#include "base/err.h"
#include "crpc/method.h"

struct crpc_server;
struct crpc_reflection;

/* Knows nothing to begin with. NULL: out of memory. */
struct crpc_reflection *crpc_reflection_new(void);
/* Makes a service known, with its file and all that the file imports. Keeps service (it is constant data). A service
 * that is known already changes nothing. Before crpc_reflection_mount; one thread. 0, or: -ERR_RESOURCE_EXHAUSTED when
 * memory is short, -ERR_ALREADY_EXISTS when two different files go by one name, -ERR_INVALID_ARGUMENT for a descriptor
 * that is none, -ERR_FAILED_PRECONDITION after the mount. After an error only crpc_reflection_free. */
int crpc_reflection_add(struct crpc_reflection *reflection, const struct crpc_service *service, struct err *ret_err);
/* The same for a file that no service imports: one with extensions, or with messages that travel as
 * google.protobuf.Any. */
int crpc_reflection_add_file(struct crpc_reflection *reflection, const struct crpc_file *file, struct err *ret_err);
/* Serves v1 and v1alpha, which it also makes known. Before crpc_server_start. The server keeps reflection. 0, or -code
 * as crpc_reflection_add and crpc_server_mount. */
int crpc_reflection_mount(struct crpc_reflection *reflection, struct crpc_server *server, struct err *ret_err);
/* Before crpc_server_drain: streams that are open, and those that come, end with UNAVAILABLE; else they would last
 * until the grace is over. Any thread. */
void crpc_reflection_stop(struct crpc_reflection *reflection);
/* After crpc_server_drain. Takes NULL. */
void crpc_reflection_free(struct crpc_reflection *reflection);

#endif
