/* The part of the model that is about services. */
#ifndef PROTOC_GEN_CRPC_SERVICES_H
#define PROTOC_GEN_CRPC_SERVICES_H

#include "model.h"

/* Fills file->services. All types of the request are in the model. False and model->error on failure. */
bool services_build(struct model *model, struct file *file);

#endif
