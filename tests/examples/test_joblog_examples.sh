#!/usr/bin/env bash
# test_joblog_examples.sh BIN: the programs of client/examples at work against a real joblogd, and what they print.
set -euo pipefail
bin=$1
work=$(mktemp -d)
server= worker= observer= loop=
finish() {
    status=$?
    for process in $worker $observer $loop $server; do kill "$process" 2>/dev/null || true; done
    wait
    [ $status -eq 0 ] || tail -n 20 "$work"/*.log >&2
    rm -rf "$work"
}
trap finish EXIT
die() { echo "$*" >&2; exit 1; }
# has WORDS FILE: a line of the file holds them
has() { grep -qF -- "$1" "$2" || { cat "$2" >&2; die "no line says: $1"; }; }
# ready PROGRAM...: runs it in the background, waits for its first line; sets $line and $pid; the rest goes to $work/NAME.out,
# and is all there once $reader has ended
ready() {
    local name=${1##*/}
    mkfifo "$work/$name.fifo"
    "$@" >"$work/$name.fifo" 2>"$work/$name.log" &
    pid=$!
    exec 5<"$work/$name.fifo"
    read -r -t 60 -u 5 line || die "$name is not ready"
    cat <&5 >"$work/$name.out" &
    reader=$!
    exec 5<&-
}

chmod 755 "$work"
export XDG_CONFIG_HOME=$work/config XDG_STATE_HOME=$work/state
unset JOBLOG_TOKEN JOBLOG_TOKEN_FILE
ready "$bin/joblogd" --embedded "$work/data" --listen 127.0.0.1:0
server=$pid
JOBLOG_SERVER=$(sed 's/.*listen=\([^ ,]*\).*/\1/' <<<"$line")
export JOBLOG_SERVER
ready "$bin/example-worker" --concurrency 2
worker=$pid
[ "$line" = "worker ready" ] || die "the worker says: $line"

echo "-- first"
"$bin/example-first" >"$work/out"
has 'completed: {"sent": 20}' "$work/out"

echo "-- file processing"
seq -f 'line %g of it' 200 >"$work/lines"
job=$("$bin/joblog" dispatch process_file --payload "{\"file\": \"$work/lines\"}" --json | "$bin/json_get" id)
"$bin/joblog" watch "$job" >"$work/out"
"$bin/joblog" show "$job" >"$work/out"
has '"words": 800' "$work/out"
has '"lines": 200' "$work/out"
job=$("$bin/joblog" dispatch process_file --payload "{\"file\": \"$work/none\"}" --json | "$bin/json_get" id)
if "$bin/joblog" watch "$job" >"$work/out"; then die "there is no such file"; fi
"$bin/joblog" show "$job" >"$work/out"
has 'stack trace:' "$work/out"
has ' in process_file ' "$work/out"

echo "-- mass notification"
"$bin/example-notify" spring 1050 >"$work/out"
has '11 jobs for 1050 recipients' "$work/out"
has '1050 of 1050 notified: 11 jobs completed, 0 failed, 0 cancelled' "$work/out"
# By mistake again: nobody is notified twice.
"$bin/example-notify" spring 1050 >"$work/out"
has '1050 of 1050 notified: 11 jobs completed' "$work/out"
n=$("$bin/joblog" list --batch spring --limit 100 --json | grep -c '"send_notification"')
[ "$n" -eq 11 ] || die "$n jobs of the campaign"
if "$bin/example-notify" spring none 2>"$work/out"; then die "\"none\" is no number"; fi
has 'usage:' "$work/out"

echo "-- run logged"
"$bin/example-run-logged" >"$work/out"
has ' completed after ' "$work/out"
status=0
"$bin/example-run-logged" fail >"$work/out" || status=$?
[ $status -eq 2 ] || die "exit code $status"
has 'DiskFull: no room for segment 20 of 40' "$work/out"
has 'rebuild_index' "$work/out"

echo "-- export and its observer"
ready "$bin/example-export-observer" 1
observer=$pid
"$bin/example-export" jobs "$work/jobs.csv.gz" status=completed >"$work/out"
has 'ha comenzado' "$work/out"
has ', 1 filters, jobs-' "$work/out"
has 'completed 100.0 %' "$work/out"
has 'SHA-256' "$work/out"
gzip -dc "$work/jobs.csv.gz" >"$work/jobs.csv"
[ "$(wc -l <"$work/jobs.csv")" -gt 12 ] || die "the file has too few rows"
grep -q failed "$work/jobs.csv" && die "the filter was not heeded"
status=0
"$bin/example-export" jobs "$work/none.csv.gz" colour=red >"$work/out" 2>&1 || status=$?
[ $status -eq 1 ] || die "exit code $status"
has 'INVALID_ARGUMENT: ' "$work/out"
has 'no filter "colour"' "$work/out"
[ ! -e "$work/none.csv.gz" ] || die "a file although nothing was exported"
wait "$observer" || die "the observer ended with $?"
observer=
wait "$reader"
has ' completed: jobs' "$work/example-export-observer.out"
rm "$work/example-export-observer.fifo"
ready "$bin/example-export-observer"
kill -TERM "$pid"
wait "$pid" || die "the observer ended with $? on SIGTERM"

echo "-- a loop of its own"
ready "$bin/example-event-loop" 8
loop=$pid
[ "$line" = "worker ready" ] || die "the worker says: $line"
for i in 1 2 3 4 5 6 7 8; do cooked=$("$bin/joblog" dispatch cook --json | "$bin/json_get" id); done
"$bin/joblog" watch "$cooked" >"$work/out"
has Completed "$work/out"
kill -TERM "$loop"
wait "$loop" || die "the worker ended with $? on SIGTERM"
wait "$reader"
loop=
has "no more jobs" "$work/example-event-loop.out"
[ "$(grep -c completed "$work/example-event-loop.out")" -eq 8 ] || die "not all jobs were told of"

kill -TERM "$worker"
wait "$worker" || die "the worker ended with $?"
worker=
kill -TERM "$server"
wait "$server" || die "the server ended with $?"
server=
echo "all passed"
