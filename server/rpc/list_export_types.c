/* ExportService.ListExportTypes. On the call's worker; answers at once, from memory. */
#include "joblog/v1/export.crpc.h"
#include "rpc/export_common.h"

static int fill(struct arena *arena, const struct export_types *types, const struct export_caller *caller,
                Joblog__V1__ListExportTypesResponse *response, struct err *err)
{
    size_t n = export_types_count(types);
    response->export_types = arena_alloc(arena, n * sizeof *response->export_types);
    bool ok = response->export_types != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        if (!export_type_allows(export_types_at(types, i), caller->roles))
            continue;
        Joblog__V1__ExportType *type = convert_export_type(arena, export_types_at(types, i), caller->all_rows);
        ok = type != NULL;
        if (ok)
            response->export_types[response->n_export_types++] = type;
    }
    return ok ? 0 : err_set(err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

static int list_export_types(struct crpc_call *call, const ProtobufCMessage *request, ProtobufCMessage *ret_response,
                             struct err *ret_err)
{
    struct export_caller caller = export_caller_of(call);
    (void)request;
    struct export_types *types = export_types_of(service_of(call)->exports);
    int rc = fill(crpc_call_arena(call), types, &caller, (Joblog__V1__ListExportTypesResponse *)ret_response, ret_err);
    export_types_free(types);
    return rc;
}

const struct crpc_handler list_export_types_handler = {.simple = list_export_types};
