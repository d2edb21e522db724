/* The settings of joblogd, one a line; everything else about them follows: struct config, flags, environment, file,
 * --help, docs/configuration.md. Constant data.
 *
 * X(member, TYPE, name, default, min, max, RELOAD, argument, help)
 *
 * name is the key in the file and --name on the command line; JOBLOG_NAME in the environment, upper case with
 * underscores. TYPE: TEXT (default "" is NULL), LIST (comma-separated), INT (min to max), LEVEL (of the log),
 * BOOL (false or true; the flag alone means true).
 * RELOAD: LIVE takes effect on SIGHUP, START needs a restart. A cap's reason stands above its line. */
#ifndef SERVER_CONFIG_TABLE_H
#define SERVER_CONFIG_TABLE_H

/* max-message-bytes: gRPC's own default. max-calls: an idle watcher costs some tens of KiB. readers and export-workers:
 * together below the 50 connections of the embedded PostgreSQL. batch-max: past it a commit gains nothing and the first
 * call of the batch waits longer. max-metadata-bytes: a token and what a proxy adds. max-cancels: a gateway may close
 * all its watches at once. max-wait-ms: several commits of full batches. The caller-… are off, as one gateway may be
 * all there is. */
#define CONFIG_SETTINGS(X)                                                                                             \
    X(listen, LIST, "listen", "127.0.0.1:7420", 0, 0, START, "ADDRESS,...",                                            \
      "Where to accept calls: HOST:PORT or unix:PATH. Port 0 takes a free one.")                                       \
    X(tls_cert, TEXT, "tls-cert", "", 0, 0, START, "FILE",                                                             \
      "Certificate chain (PEM): all TCP addresses then use TLS. Read again when it changes and on SIGHUP.")            \
    X(tls_key, TEXT, "tls-key", "", 0, 0, START, "FILE", "The key of tls-cert (PEM).")                                 \
    X(tls_client_ca, TEXT, "tls-client-ca", "", 0, 0, START, "FILE", "Who signs client certificates (PEM).")           \
    X(tls_client_certificate, TEXT, "tls-client-certificate", "none", 0, 0, START, "KIND",                             \
      "none: not asked for; optional: checked when there is one; required: no connection without one.")                \
    X(dangerously_allow_plaintext, BOOL, "dangerously-allow-plaintext", "false", 0, 0, START, "BOOL",                  \
      "Accept calls without TLS from other machines: whoever is on the way can read the tokens.")                      \
    X(unix_socket_mode, TEXT, "unix-socket-mode", "0600", 0, 0, START, "MODE",                                         \
      "Permissions of unix sockets, in octal: who may connect.")                                                       \
    X(probe_listen, TEXT, "probe-listen", "", 0, 0, START, "ADDRESS",                                                  \
      "HOST:PORT for the probes of Kubernetes: plain HTTP, /livez and /readyz. Port 0 takes a free one.")              \
    X(embedded, TEXT, "embedded", "", 0, 0, START, "DIR",                                                              \
      "Run a private PostgreSQL in DIR. Either this or database must be set.")                                         \
    X(database, TEXT, "database", "", 0, 0, START, "URI",                                                              \
      "Use this PostgreSQL database: a libpq connection URI or key=value string.")                                     \
    X(export_types, TEXT, "export-types", "", 0, 0, START, "FILE",                                                     \
      "Declarations of what can be exported, besides jobs; read again on SIGHUP and when it changes.")                 \
    X(admin_token_file, TEXT, "admin-token-file", "", 0, 0, START, "FILE",                                             \
      "An administrator's token: made at the start when there is no such file, valid from then on. With embedded it "  \
      "is DIR/admin-token.")                                                                                           \
    X(jwt_jwks_file, TEXT, "jwt-jwks-file", "", 0, 0, START, "FILE",                                                   \
      "Take JWTs signed by a key of this JWK set, which is read again when it changes.")                               \
    X(jwt_issuer, TEXT, "jwt-issuer", "", 0, 0, START, "TEXT", "The iss that a JWT must have. Needed for JWTs.")       \
    X(jwt_audience, TEXT, "jwt-audience", "", 0, 0, START, "TEXT",                                                     \
      "What must be among the aud of a JWT. Needed for JWTs.")                                                         \
    X(jwt_roles_claim, TEXT, "jwt-roles-claim", "joblog_roles", 0, 0, START, "CLAIM",                                  \
      "Which claim holds the roles: a name, or a JSON pointer that begins with /.")                                    \
    X(jwt_scope_claim, TEXT, "jwt-scope-claim", "joblog_scope", 0, 0, START, "CLAIM",                                  \
      "Which claim holds the patterns that narrow the roles.")                                                         \
    X(jwt_owner_claim, TEXT, "jwt-owner-claim", "sub", 0, 0, START, "CLAIM",                                           \
      "Which claim names the owner whose jobs and exports are the caller's own.")                                      \
    X(certificate_rules, TEXT, "certificate-rules", "", 0, 0, START, "FILE",                                           \
      "Who a client certificate is, by its SPIFFE id or DNS name. Read again when it changes.")                        \
    X(dangerously_disable_authentication, BOOL, "dangerously-disable-authentication", "false", 0, 0, START, "BOOL",    \
      "Whoever reaches the server may do everything. For tests and sealed-off machines.")                              \
    X(log_level, LEVEL, "log-level", "info", 0, 0, LIVE, "LEVEL",                                                      \
      "Least severe line that is logged: debug, info, warning or error.")                                              \
    X(lease_timeout_ms, INT, "lease-timeout-ms", "30000", 1000, 86400000, START, "MS",                                 \
      "How long a job stays with a worker that shows no sign of life.")                                                \
    X(max_message_bytes, INT, "max-message-bytes", "4194304", 1024, 268435456, START, "BYTES",                         \
      "Longest message accepted; a longer one is refused with RESOURCE_EXHAUSTED. Below 1 MiB it bounds payloads, "    \
      "results and lines of logs, too.")                                                                               \
    X(max_calls, INT, "max-calls", "20000", 1, 1000000, START, "N",                                                    \
      "Most calls at a time, watchers included; further ones get RESOURCE_EXHAUSTED.")                                 \
    X(memory_mb, INT, "memory-mb", "1024", 64, 1048576, START, "MIB",                                                  \
      "Memory that the process may have in all; from two thirds on, those who send most are cut off. A quarter of "    \
      "it is for unpacked requests, an eighth for gRPC's buffers, which take up to four times that when attacked.")    \
    X(max_connections, INT, "max-connections", "10000", 1, 1000000, START, "N",                                        \
      "Most connections at a time; further ones are closed as they come.")                                             \
    X(max_streams, INT, "max-streams", "4000", 1, 1000000, START, "N", "Most calls at a time on one connection.")      \
    X(max_metadata_bytes, INT, "max-metadata-bytes", "16384", 1024, 1048576, START, "BYTES",                           \
      "Most metadata of a call.")                                                                                      \
    X(max_cancels, INT, "max-cancels", "5000", 1, 100000000, START, "N",                                               \
      "Calls that an address may cancel within a second of their beginning, at once and in ten seconds, before it is " \
      "locked out for ten seconds.")                                                                                   \
    X(connection_age_s, INT, "connection-age-s", "0", 0, 864000, START, "SECONDS",                                     \
      "Age at which a connection is told to go and come back, so that load spreads; 0: none.")                         \
    X(connection_age_grace_s, INT, "connection-age-grace-s", "60", 1, 864000, START, "SECONDS",                        \
      "How long the calls of such a connection may then go on.")                                                       \
    X(handshake_timeout_ms, INT, "handshake-timeout-ms", "20000", 100, 600000, START, "MS",                            \
      "How long a new connection may take for its greetings.")                                                         \
    X(max_wait_ms, INT, "max-wait-ms", "500", 0, 600000, START, "MS",                                                  \
      "How long calls may wait for the database before further ones are refused; 0: never refused for that.")          \
    X(caller_calls_per_second, INT, "caller-calls-per-second", "0", 0, 10000000, START, "N",                           \
      "Calls a second that one caller may make in the long run; 0: any number. A caller is an identity or an "         \
      "address.")                                                                                                      \
    X(caller_burst, INT, "caller-burst", "0", 0, 10000000, START, "N",                                                 \
      "Calls that one caller may make at once within that rate; 0: those of a second.")                                \
    X(caller_calls, INT, "caller-calls", "0", 0, 1000000, START, "N", "Unary calls at a time of one caller; 0: any.")  \
    X(caller_streams, INT, "caller-streams", "0", 0, 1000000, START, "N",                                              \
      "Watches, downloads and other streams at a time of one caller; 0: any number.")                                  \
    X(caller_sessions, INT, "caller-sessions", "0", 0, 1000000, START, "N",                                            \
      "Streams of workers at a time of one caller; 0: any number.")                                                    \
    X(workers, INT, "workers", "1", 1, 64, START, "N", "Threads that serve calls. One does for two cores.")            \
    X(readers, INT, "readers", "2", 1, 16, START, "N", "Threads, each with a connection, that read for Get and List.") \
    X(change_hints, INT, "change-hints", "1", 0, 1, START, "0|1",                                                      \
      "Tell other replicas of changes by NOTIFY. 0 behind a pooler: they are found by polling.")                       \
    X(batch_max, INT, "batch-max", "1000", 1, 10000, START, "N", "Most commands that share one commit.")               \
    X(request_id_ttl_hours, INT, "request-id-ttl-hours", "24", 1, 8760, START, "HOURS",                                \
      "How long a request id protects against a second execution.")                                                    \
    X(job_log_kilobytes, INT, "job-log-kilobytes", "1024", 0, 1048576, START, "KIB",                                   \
      "Log text kept of a job, over all its attempts; what comes after is counted, not kept. 0: none.")                \
    X(minute_counter_days, INT, "minute-counter-days", "14", 2, 3650, START, "DAYS",                                   \
      "How long counters are kept by the minute; by the hour and by the day they are for ever.")                       \
    X(export_ttl_hours, INT, "export-ttl-hours", "168", 1, 87600, START, "HOURS",                                      \
      "How long a finished export can be downloaded.")                                                                 \
    X(export_workers, INT, "export-workers", "2", 1, 16, START, "N", "Exports that are written at a time.")            \
    X(export_attempts, INT, "export-attempts", "7", 1, 100, START, "N",                                                \
      "How often an export is tried, 1, 2, 4 and so on, up to 60 seconds apart; 7 outlast a minute's outage.")         \
    X(export_directory, TEXT, "export-directory", "", 0, 0, START, "DIR",                                              \
      "Put files of exports there rather than into the database. All replicas need the same one.")                     \
    X(export_owner_running, INT, "export-owner-running", "20", 0, 1000000, START, "N",                                 \
      "Most exports of one owner that have not ended; 0: no limit.")                                                   \
    X(export_owner_per_day, INT, "export-owner-per-day", "1000", 0, 100000000, START, "N",                             \
      "Most exports that one owner may start within 24 hours; 0: no limit.")                                           \
    X(export_owner_megabytes, INT, "export-owner-megabytes", "10240", 0, 1000000000, START, "MIB",                     \
      "Most room that the files of one owner may take; 0: no limit.")                                                  \
    X(export_silence_ms, INT, "export-silence-ms", "30000", 0, 86400000, START, "MS",                                  \
      "When the source of an export has sent nothing for so long it is asked by another connection whether it is "     \
      "there; if it does not answer, the attempt fails and is tried again. 0: it is never asked.")                     \
    X(download_stall_ms, INT, "download-stall-ms", "30000", 100, 86400000, START, "MS",                                \
      "How long a download may stand still, as its client does not read, while others wait for the memory of chunks; " \
      "then it is ended.")                                                                                             \
    X(shutdown_grace_ms, INT, "shutdown-grace-ms", "10000", 0, 600000, START, "MS",                                    \
      "How long running calls may finish after SIGTERM before they are cancelled.")                                    \
    X(ready_fd, INT, "ready-fd", "-1", -1, 1023, START, "FD",                                                          \
      "Where to write the ready line, besides standard output; -1: nowhere else.")

#endif
