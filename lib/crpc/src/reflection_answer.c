/* What reflection answers to a request. Everything comes from the index, which does not change, and from the request:
 * an answer needs no memory of its own. Any thread. */
#include "reflection_answer.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest request_t;

#define ASKED(what)    GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##what
#define ANSWERED(what) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##what

static void answer_error(struct answer *a, enum err_code code, const char *message)
{
    grpc__reflection__v1__error_response__init(&a->error);
    a->error.error_code = (int32_t)code;
    a->error.error_message = (char *)(uintptr_t)message;
    a->response.message_response_case = ANSWERED(ERROR_RESPONSE);
    a->response.error_response = &a->error;
}

static void answer_file(struct answer *a, const struct index_file *file, const char *otherwise)
{
    if (!file) {
        answer_error(a, ERR_NOT_FOUND, otherwise);
        return;
    }
    grpc__reflection__v1__file_descriptor_response__init(&a->files);
    a->files.file_descriptor_proto = file->all;
    a->files.n_file_descriptor_proto = file->n_all;
    a->response.message_response_case = ANSWERED(FILE_DESCRIPTOR_RESPONSE);
    a->response.file_descriptor_response = &a->files;
}

static void answer_numbers(struct answer *a, const struct reflection_index *index, char *extendee)
{
    const int32_t *numbers;
    size_t n;
    if (!index_extensions_of(index, extendee, &numbers, &n)) {
        answer_error(a, ERR_NOT_FOUND, "no such message");
        return;
    }
    grpc__reflection__v1__extension_number_response__init(&a->numbers);
    a->numbers.base_type_name = extendee;
    a->numbers.extension_number = (int32_t *)(uintptr_t)numbers;
    a->numbers.n_extension_number = n;
    a->response.message_response_case = ANSWERED(ALL_EXTENSION_NUMBERS_RESPONSE);
    a->response.all_extension_numbers_response = &a->numbers;
}

static void answer_list(struct answer *a, const struct answer_source *source)
{
    grpc__reflection__v1__list_service_response__init(&a->list);
    a->list.service = source->services;
    a->list.n_service = source->n_services;
    a->response.message_response_case = ANSWERED(LIST_SERVICES_RESPONSE);
    a->response.list_services_response = &a->list;
}

void answer_to(struct answer *a, const struct answer_source *source, request_t *request)
{
    const struct reflection_index *index = source->index;
    grpc__reflection__v1__server_reflection_response__init(&a->response);
    a->response.valid_host = request->host;
    a->response.original_request = request;
    switch (request->message_request_case) {
    case ASKED(FILE_BY_FILENAME):
        answer_file(a, index_find_file(index, request->file_by_filename), "no such file");
        return;
    case ASKED(FILE_CONTAINING_SYMBOL):
        answer_file(a, index_find_symbol(index, request->file_containing_symbol), "no such symbol");
        return;
    case ASKED(FILE_CONTAINING_EXTENSION):
        answer_file(a,
                    index_find_extension(index, request->file_containing_extension->containing_type,
                                         request->file_containing_extension->extension_number),
                    "no such extension");
        return;
    case ASKED(ALL_EXTENSION_NUMBERS_OF_TYPE):
        answer_numbers(a, index, request->all_extension_numbers_of_type);
        return;
    case ASKED(LIST_SERVICES):
        answer_list(a, source);
        return;
    default:
        answer_error(a, ERR_INVALID_ARGUMENT, "the request asks nothing that is known here");
        return;
    }
}
