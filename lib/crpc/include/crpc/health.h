/* The standard service grpc.health.v1.Health, ready to mount (link crpc_health). */
#ifndef CRPC_HEALTH_H
#define CRPC_HEALTH_H

#include <stdbool.h>

#include "base/err.h"

struct crpc_server;
struct crpc_service;
struct crpc_health;

/* The generated service, for crpc_reflection_add. */
extern const struct crpc_service grpc_health_v1_health;

/* Knows the whole server (the empty name), NOT_SERVING to begin with. NULL: out of memory. */
struct crpc_health *crpc_health_new(void);
/* Before crpc_server_start. The server keeps health. 0, or -code and *ret_err as crpc_server_mount. */
int crpc_health_mount(struct crpc_health *health, struct crpc_server *server, struct err *ret_err);
/* Says whether a service takes calls; "" is the whole server; copies the name. Watchers hear of it at once. Any thread.
 * 0, or -ERR_RESOURCE_EXHAUSTED when memory is short. */
int crpc_health_set(struct crpc_health *health, const char *service, bool serving, struct err *ret_err);
/* Before crpc_server_drain: every service is NOT_SERVING for good, and Watch streams end with UNAVAILABLE once they
 * have said so. Any thread. */
void crpc_health_stop(struct crpc_health *health);
/* After crpc_server_drain. Takes NULL. */
void crpc_health_free(struct crpc_health *health);

#endif
