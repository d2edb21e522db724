/* ExportService.ListExportTypes. On the call's worker; answers at once, from memory. */
#include "joblog/v1/export.crpc.h"
#include "rpc/export_common.h"

static int list_export_types(struct crpc_call *call, const ProtobufCMessage *request, ProtobufCMessage *ret_response,
                             struct err *ret_err)
{
    Joblog__V1__ListExportTypesResponse *response = (Joblog__V1__ListExportTypesResponse *)ret_response;
    const struct export_types *types = export_types_of(service_of(call)->exports);
    struct arena *arena = crpc_call_arena(call);
    size_t n = types ? export_types_count(types) : 0;
    (void)request;
    response->export_types = arena_alloc(arena, n * sizeof *response->export_types);
    if (!response->export_types)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    for (size_t i = 0; i < n; i++) {
        Joblog__V1__ExportType *type = convert_export_type(arena, export_types_at(types, i));
        if (!type)
            return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
        response->export_types[response->n_export_types++] = type;
    }
    return 0;
}

const struct crpc_handler list_export_types_handler = {.simple = list_export_types};
