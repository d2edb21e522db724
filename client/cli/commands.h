/* The commands, one file each. main.c has them in the order of the overview. */
#ifndef JOBLOG_CLI_COMMANDS_H
#define JOBLOG_CLI_COMMANDS_H

#include "cli.h"

extern const struct command command_dispatch;
extern const struct command command_dispatch_many;
extern const struct command command_list;
extern const struct command command_show;
extern const struct command command_watch;
extern const struct command command_logs;
extern const struct command command_cancel;
extern const struct command command_retry;
extern const struct command command_cleanup;
extern const struct command command_queue_list;
extern const struct command command_queue_pause;
extern const struct command command_queue_resume;
extern const struct command command_stats;
extern const struct command command_statuses;
extern const struct command command_worker;
extern const struct command command_workers;
extern const struct command command_workers_drain;
extern const struct command command_workers_pause;
extern const struct command command_workers_resume;
extern const struct command command_export_start;
extern const struct command command_export_list;
extern const struct command command_export_show;
extern const struct command command_export_watch;
extern const struct command command_export_download;
extern const struct command command_export_cancel;
extern const struct command command_export_delete;
extern const struct command command_export_types;
extern const struct command command_login;
extern const struct command command_logout;
extern const struct command command_whoami;
extern const struct command command_token_create;
extern const struct command command_token_list;
extern const struct command command_token_revoke;
extern const struct command command_help;
extern const struct command command_version;

#endif
