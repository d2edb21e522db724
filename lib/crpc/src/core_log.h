/* Where gRPC core's own log goes: see core_log.c. */
#ifndef CRPC_SRC_CORE_LOG_H
#define CRPC_SRC_CORE_LOG_H

/* From here on, for the whole process. */
void core_log_take(void);

#endif
