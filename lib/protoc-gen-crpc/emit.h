/* Printing a file of the model. Nothing here can fail, and nothing looks at the clock, the environment or an address:
 * equal input gives equal output. */
#ifndef PROTOC_GEN_CRPC_EMIT_H
#define PROTOC_GEN_CRPC_EMIT_H

#include "model.h"
#include "text.h"

void emit_header(struct text *out, const struct model *model, const struct file *file);
void emit_source(struct text *out, const struct model *model, const struct file *file);

/* Parts of the header. */
void emit_server_half(struct text *out, const struct service *service);
void emit_client_half(struct text *out, const struct service *service);

#endif
