/* The one table of who may call what: X(path, roles). RIGHT_ANY: every caller that is known. RIGHT_OPEN: also one that
 * is not. ROLE_ADMIN may call everything and is not named. docs/security.md has the same table; a test holds the two,
 * and the services' descriptors, against each other: an RPC without a line is refused to everybody. */
#ifndef CORE_RIGHTS_TABLE_H
#define CORE_RIGHTS_TABLE_H

#define RIGHTS_LOG    "/joblog.v1.JobLogService/"
#define RIGHTS_WORKER "/joblog.v1.WorkerService/"
#define RIGHTS_EXPORT "/joblog.v1.ExportService/"
#define RIGHTS_ACCESS "/joblog.v1.AccessService/"

#define RIGHTS_TABLE(X)                                                                                                \
    X(RIGHTS_LOG "DispatchJob", ROLE_DISPATCHER)                                                                       \
    X(RIGHTS_LOG "DispatchJobs", ROLE_DISPATCHER)                                                                      \
    X(RIGHTS_LOG "GetJob", ROLE_DISPATCHER | ROLE_VIEWER)                                                              \
    X(RIGHTS_LOG "ListJobs", ROLE_DISPATCHER | ROLE_VIEWER)                                                            \
    X(RIGHTS_LOG "WatchJob", ROLE_DISPATCHER | ROLE_VIEWER)                                                            \
    X(RIGHTS_LOG "WatchJobs", ROLE_DISPATCHER | ROLE_VIEWER)                                                           \
    X(RIGHTS_LOG "WaitJob", ROLE_DISPATCHER | ROLE_VIEWER)                                                             \
    X(RIGHTS_LOG "CancelJob", ROLE_DISPATCHER)                                                                         \
    X(RIGHTS_LOG "RetryJob", ROLE_DISPATCHER)                                                                          \
    X(RIGHTS_LOG "CancelJobs", ROLE_DISPATCHER)                                                                        \
    X(RIGHTS_LOG "RetryJobs", ROLE_DISPATCHER)                                                                         \
    X(RIGHTS_LOG "PauseQueue", ROLE_ADMIN)                                                                             \
    X(RIGHTS_LOG "ResumeQueue", ROLE_ADMIN)                                                                            \
    X(RIGHTS_LOG "ListQueues", ROLE_DISPATCHER | ROLE_VIEWER)                                                          \
    X(RIGHTS_LOG "GetJobStats", ROLE_DISPATCHER | ROLE_VIEWER)                                                         \
    X(RIGHTS_LOG "GetJobLog", ROLE_DISPATCHER | ROLE_VIEWER)                                                           \
    X(RIGHTS_LOG "CleanupJobs", ROLE_ADMIN)                                                                            \
    X(RIGHTS_LOG "ListJobStatuses", RIGHT_ANY)                                                                         \
    X(RIGHTS_WORKER "Work", ROLE_WORKER)                                                                               \
    X(RIGHTS_WORKER "StartJob", ROLE_WORKER)                                                                           \
    X(RIGHTS_WORKER "ReportProgress", ROLE_WORKER)                                                                     \
    X(RIGHTS_WORKER "CompleteJob", ROLE_WORKER)                                                                        \
    X(RIGHTS_WORKER "FailJob", ROLE_WORKER)                                                                            \
    X(RIGHTS_WORKER "WriteJobLog", ROLE_WORKER)                                                                        \
    X(RIGHTS_WORKER "ListWorkers", ROLE_ADMIN)                                                                         \
    X(RIGHTS_WORKER "DrainWorkers", ROLE_ADMIN)                                                                        \
    X(RIGHTS_WORKER "PauseWorkers", ROLE_ADMIN)                                                                        \
    X(RIGHTS_WORKER "ResumeWorkers", ROLE_ADMIN)                                                                       \
    X(RIGHTS_EXPORT "StartExport", ROLE_EXPORTER)                                                                      \
    X(RIGHTS_EXPORT "GetExport", ROLE_EXPORTER)                                                                        \
    X(RIGHTS_EXPORT "ListExports", ROLE_EXPORTER)                                                                      \
    X(RIGHTS_EXPORT "WatchExport", ROLE_EXPORTER)                                                                      \
    X(RIGHTS_EXPORT "CancelExport", ROLE_EXPORTER)                                                                     \
    X(RIGHTS_EXPORT "DeleteExport", ROLE_EXPORTER)                                                                     \
    X(RIGHTS_EXPORT "DownloadExport", ROLE_EXPORTER)                                                                   \
    X(RIGHTS_EXPORT "ListExportTypes", ROLE_EXPORTER)                                                                  \
    X(RIGHTS_ACCESS "CreateToken", ROLE_ADMIN)                                                                         \
    X(RIGHTS_ACCESS "ListTokens", ROLE_ADMIN)                                                                          \
    X(RIGHTS_ACCESS "RevokeToken", ROLE_ADMIN)                                                                         \
    X(RIGHTS_ACCESS "WhoAmI", RIGHT_ANY)                                                                               \
    X("/grpc.health.v1.Health/Check", RIGHT_OPEN)                                                                      \
    X("/grpc.health.v1.Health/Watch", RIGHT_OPEN)                                                                      \
    X("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", RIGHT_ANY)                                          \
    X("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", RIGHT_ANY)

#endif
