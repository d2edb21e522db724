/* What the handlers of ExportService share: who calls, loading an export of the caller's, and its message. An export of
 * somebody else's does not exist for the caller, unless it is an administrator: NOT_FOUND, the same as for an id that
 * is none. */
#ifndef RPC_EXPORT_COMMON_H
#define RPC_EXPORT_COMMON_H

#include "crpc/server.h"
#include "export/ask.h"
#include "export/export.h"
#include "export/request.h"
#include "joblog/v1/export.pb-c.h"
#include "rpc/service.h"

extern const struct crpc_handler start_export_handler;
extern const struct crpc_handler get_export_handler;
extern const struct crpc_handler list_exports_handler;
extern const struct crpc_handler watch_export_handler;
extern const struct crpc_handler cancel_export_handler;
extern const struct crpc_handler delete_export_handler;
extern const struct crpc_handler download_export_handler;
extern const struct crpc_handler list_export_types_handler;

/* Who calls, as far as exports care. */
struct export_caller {
    struct span owner; /* whose exports are its own, and whose rows where a type has an owner column */
    unsigned roles;    /* mask of enum role */
    bool all_rows;     /* an administrator, in its own name */
};
struct export_caller export_caller_of(const struct crpc_call *call);

/* An export being loaded; lies in the state of a call. */
struct export_load {
    struct crpc_event stored;
    struct store_get get;
    struct export_ask_files files;
    const struct caller *caller;
    int64_t id;
};

/* Hands ask to the export engine and goes on with next when it is answered; ask->err tells how it went. As
 * service_submit. */
enum crpc_next export_submit(struct crpc_call *call, struct export_ask *ask, struct crpc_event *event,
                             const struct crpc_step *next);

/* Checks the id, notes who calls. 0 or INVALID_ARGUMENT. */
int export_load_check(struct crpc_call *call, struct export_load *load, int64_t id, struct err *ret_err);
/* Asks the store for the job, then next. Texts go into the call's arena. */
enum crpc_next export_load_job(struct crpc_call *call, struct export_load *load, const struct crpc_step *next);
/* After it: 0 when it is an export of the caller's; NOT_FOUND; or what the store said. */
int export_load_owned(const struct export_load *load, struct err *ret_err);
/* May the caller have what is in this export, or run it again? By the rights of now: 0, or PERMISSION_DENIED when it
 * has none of the roles of the type (any more), or when the rows are those of all owners and it is no administrator
 * (any more), or when its payload is none that this version writes, and it is no administrator. A type that is not
 * declared any more denies nothing. job: with its payload. */
int export_job_granted(struct crpc_call *call, const struct job *job, struct err *ret_err);
/* Asks for the file, if the job is completed, then next; load->files.ask.err tells how it went. */
enum crpc_next export_load_file(struct crpc_call *call, struct export_load *load, const struct crpc_step *next);
/* After it: the file, also one that is gone; NULL when nothing is known of one. */
const struct export_file *export_load_found(const struct export_load *load);
/* May it be downloaded? */
bool export_file_is_there(const struct export_file *file);

/* The messages, in the arena; NULL when out of memory. request: decoded from the payload. file: NULL for none. */
Joblog__V1__Export *convert_export(struct arena *arena, struct exports *exports, const struct job *job,
                                   const struct export_request *request, const struct export_file *file);
Joblog__V1__ExportFile *convert_export_file(struct arena *arena, const struct export_file *file);
/* Texts are copied: the type may be replaced. all_rows: the caller gets those of all owners. */
Joblog__V1__ExportType *convert_export_type(struct arena *arena, const struct export_type *type, bool all_rows);
/* Orders of a request or of a type; *ret_n of them. */
Joblog__V1__ExportOrder **convert_export_orders(struct arena *arena, const struct export_order *orders, size_t n);
/* What was asked for, from a job with its payload. A payload that is no export's gives an empty request. */
struct export_request export_request_of(struct arena *arena, const struct job *job);
/* The export that was loaded. */
Joblog__V1__Export *export_load_message(struct crpc_call *call, const struct export_load *load);

#endif
