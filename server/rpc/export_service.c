/* The table of ExportService's handlers, and its mount. Main thread, before the server starts. */
#include "joblog/v1/export.crpc.h"
#include "rpc/export_common.h"

int export_service_mount(struct crpc_server *server, struct service *service, struct err *ret_err)
{
    /* Filled here since the value of another file's object is no constant to C. */
    static struct joblog_v1_export_service_handlers handlers;
    handlers = (struct joblog_v1_export_service_handlers){.start_export = start_export_handler,
                                                          .get_export = get_export_handler,
                                                          .list_exports = list_exports_handler,
                                                          .watch_export = watch_export_handler,
                                                          .cancel_export = cancel_export_handler,
                                                          .delete_export = delete_export_handler,
                                                          .download_export = download_export_handler,
                                                          .list_export_types = list_export_types_handler};
    return joblog_v1_export_service_mount(server, &handlers, service, ret_err);
}
