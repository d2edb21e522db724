/* Answers of reflection, apart from the stream on which they travel. No allocation; any thread. */
#ifndef CRPC_SRC_REFLECTION_ANSWER_H
#define CRPC_SRC_REFLECTION_ANSWER_H

#include "grpc/reflection/v1/reflection.pb-c.h"
#include "reflection_index.h"

/* What answers are made of. */
struct answer_source {
    const struct reflection_index *index;             /* finished */
    Grpc__Reflection__V1__ServiceResponse **services; /* sorted by name */
    size_t n_services;
};

/* An answer and what may be in it. */
struct answer {
    Grpc__Reflection__V1__ServerReflectionResponse response;
    Grpc__Reflection__V1__FileDescriptorResponse files;
    Grpc__Reflection__V1__ExtensionNumberResponse numbers;
    Grpc__Reflection__V1__ListServiceResponse list;
    Grpc__Reflection__V1__ErrorResponse error;
};

/* Fills *answer, whose response is then ready to be packed. It points to source's memory and to request. */
void answer_to(struct answer *answer, const struct answer_source *source,
               Grpc__Reflection__V1__ServerReflectionRequest *request);

#endif
