/* What StartExport is asked, held against the types. */
#ifndef RPC_EXPORT_START_H
#define RPC_EXPORT_START_H

#include "rpc/export_common.h"

/* Every part of the message, so that what is refused is refused before there is a job, with the name of the field.
 * Texts of *ret borrow from message and caller, arrays lie in arena; *ret_type is of types. 0, or -INVALID_ARGUMENT. */
int export_check_start(const Joblog__V1__StartExportRequest *message, struct arena *arena,
                       const struct export_types *types, const struct export_caller *caller, struct export_request *ret,
                       const struct export_type **ret_type, struct err *ret_err);

#endif
