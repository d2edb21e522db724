#!/usr/bin/env bash
# The command line against a real joblogd: every command, its output for people and for programs, its exit codes, wrong
# usage. test_cli.sh DIRECTORY-OF-PROGRAMS. Reads like a transcript: "expect CODE joblog ..." runs a command; its output is
# then in $out and $err.
set -uo pipefail
bin=$1
docs=$(dirname "$(readlink -f "$0")")/../../docs/cli.md
dir=$(mktemp -d "${TMPDIR:-/tmp}/joblog-cli.XXXXXX")
server='' worker=''
export XDG_CONFIG_HOME=$dir/config XDG_STATE_HOME=$dir/state # no login of the user's own
unset http_proxy https_proxy grpc_proxy NO_COLOR
failures=0

finish() {
    trap - EXIT
    # Two signals: after a failure a command may still run that nobody will end.
    [ -z "$worker" ] || { kill -TERM "$worker" 2>/dev/null && kill -INT "$worker" && wait "$worker"; }
    [ -z "$server" ] || { kill -TERM "$server" 2>/dev/null && wait "$server"; }
    if [ "$failures" -ne 0 ]; then
        echo "---- joblogd.log" && tail -n 30 "$dir/joblogd.log"
        echo "---- worker.log" && tail -n 30 "$dir/worker.log"
    fi 2>/dev/null
    rm -rf "$dir"
    echo "$failures failures"
    [ "$failures" -eq 0 ] || exit 1
    exit "${1:-0}" # without a number it would be the status from before the trap
}
trap 'finish $?' EXIT

fail() {
    failures=$((failures + 1))
    printf 'FAILED, line %s: %s\n' "${BASH_LINENO[1]}" "$*"
    printf '  stdout: %s\n  stderr: %s\n' "${out:0:2000}" "${err:0:2000}"
}

# expect CODE COMMAND...
expect() {
    local code=$1 got
    shift
    "$@" >"$dir/out" 2>"$dir/err" </dev/null 3<&-
    got=$?
    out=$(<"$dir/out") err=$(<"$dir/err")
    [ "$got" -eq "$code" ] || fail "exit code $got, not $code: $*"
}
# says TEXT / complains TEXT: the output, or the errors, of the last command hold it.
says() { [[ $out == *"$1"* ]] || fail "does not say \"$1\""; }
complains() { [[ $err == *"$1"* ]] || fail "does not complain \"$1\""; }
silent() { [ -z "$out" ] || fail "should have printed nothing"; }
# json PATH VALUE: in the (last line of the) output; VALUE * for any.
json() {
    local value
    if ! value=$(tail -n 1 <<<"$out" | "$bin/json_get" "$1"); then
        fail "nothing at $1"
    elif [ "$2" != '*' ] && [ "$value" != "$2" ]; then
        fail "$1 is $value, not $2"
    fi
}
# Every line is JSON.
all_json() { "$bin/json_get" "" <<<"$out" >/dev/null || fail "not JSON line by line"; }
# value PATH: prints it.
value() { tail -n 1 <<<"$out" | "$bin/json_get" "$1"; }

joblog() { "$bin/joblog" "$@"; }

# ---- without a server

expect 0 joblog --help
says "Commands:"
says "Exit codes"
expect 0 joblog help
# The summaries stand in one column, whatever the length of a name.
says "  workers drain [NAME|SESSION...]  "
expect 0 joblog version
says "joblog "
expect 0 joblog version --json
json version '*'
expect 2 joblog
complains "Usage: joblog COMMAND"
silent
expect 2 joblog nonsense
complains 'there is no command "nonsense"'
expect 2 joblog export
complains "export start"
for command in dispatch dispatch-many list show watch logs cancel retry stats cleanup statuses worker "export start" "export list" "export show" \
    "export watch" "export download" "export cancel" "export types" workers "workers drain" "workers pause" "workers resume" "queue list" "queue pause" "queue resume" help version; do
    # shellcheck disable=SC2086
    expect 0 joblog $command --help
    says "Usage: joblog $command"
    says "Examples:"
    for option in $(grep -o -- '--[a-z][a-z-]*' <<<"${out%%Examples:*}" | sort -u); do
        grep -q -- "\`$option\b" "$docs" || fail "docs/cli.md says nothing of $option"
    done
    # shellcheck disable=SC2086
    expect 0 joblog help $command
    says "Examples:"
done
expect 2 joblog dispatch
complains "dispatch needs NAME"
complains "joblog dispatch --help"
expect 2 joblog dispatch a b
complains "one argument too many"
expect 2 joblog dispatch a --nonsense
complains "unknown option --nonsense"
expect 2 joblog dispatch a --priority high
complains "--priority takes a whole number"
expect 2 joblog dispatch a --priority 1001
expect 2 joblog dispatch a --label tenant
complains "KEY=VALUE"
expect 2 joblog dispatch a --delay 1h --at 2030-01-01T00:00:00Z
expect 2 joblog dispatch a --at tomorrow
expect 2 joblog dispatch a --backoff-kind steep
expect 2 joblog dispatch a --delays 1s,soon
expect 2 joblog dispatch a --delays 1s --backoff 1s
expect 2 joblog dispatch a --on-conflict use
expect 2 joblog dispatch a --unique k --on-conflict guess
complains "reject, use, replace or merge"
expect 2 joblog dispatch a --unique k --unique-for ever
expect 2 joblog show twelve
complains "is no id"
expect 2 joblog show -- -5
expect 2 joblog list --status finished
complains '"finished" is no status'
# An unset variable of a shell is no "all", in any command that chooses.
for command in list watch cancel retry stats cleanup; do
    for option in name queue; do
        expect 2 joblog $command "--$option" ''
        complains "--$option takes a text that is not empty"
    done
done
for command in list watch cancel retry; do
    for option in owner batch source error error-text label payload id after ended-before since; do
        expect 2 joblog $command --queue q "--$option" ''
        complains "--$option takes"
    done
    expect 2 joblog $command --queue q --since 0s
    complains "--since takes a duration of more than 0"
    expect 2 joblog $command --queue q --source User:
    complains "--source must be TYPE or TYPE:ID"
done
expect 2 joblog stats --since 0s
for command in "workers drain" "workers pause" "workers resume"; do
    # shellcheck disable=SC2086
    expect 2 joblog $command --host ''
    # shellcheck disable=SC2086
    expect 2 joblog $command --host here ''
    complains "the name of a worker must not be empty"
done
expect 2 joblog workers --version ''
expect 2 joblog dispatch a --delays 1s,,2s
complains "words with a comma between two"
expect 2 joblog list --status pending,,running
expect 2 joblog dispatch a --request-id ''
expect 2 joblog watch --until-final
expect 2 joblog watch 1 --queue a
expect 2 joblog worker
complains "--exec"
expect 2 joblog worker --exec ""
complains "--exec"
expect 2 joblog worker --queue mail=0 --exec true
complains "weight from 1 to 1000"
expect 2 joblog logs
expect 2 joblog logs 1 --level loud
expect 2 joblog export start users --filters '[1]'
complains "JSON object"
expect 2 joblog export start users --filter search
expect 4 joblog --server "unix:$dir/nobody" --timeout 300ms stats
complains "(UNAVAILABLE)"
silent
expect 5 joblog dispatch a --payload "@$dir/missing"
complains "No such file"

# ---- a server

mkfifo "$dir/ready"
cat >"$dir/types.json" <<'JSON'
{"export_types": [{"name": "functions", "title": "Functions", "relation": "pg_catalog.pg_proc",
  "columns": [{"name": "oid", "title": "Id"}, {"name": "proname", "title": "Name"}, {"name": "prosrc"}],
  "filters": [{"field": "search", "operators": ["search"], "columns": ["proname"]},
              {"field": "name", "operators": ["equals", "in", "contains"], "column": "proname"},
              {"field": "oid", "type": "integer", "operators": ["equals", "at_least", "less"]},
              {"field": "procost", "type": "number", "operators": ["equals"]}],
  "order": {"column": "oid"}}]}
JSON
"$bin/joblogd" --embedded "$dir/data" --listen 127.0.0.1:0 --export-types "$dir/types.json" >"$dir/ready" \
    2>"$dir/joblogd.log" &
server=$!
exec 3<"$dir/ready"
JOBLOG_SERVER=
while IFS= read -r -t 100 -u 3 line; do
    if [[ $line =~ ^joblogd\ ready\ listen=([^ ]+) ]]; then
        JOBLOG_SERVER=${BASH_REMATCH[1]}
        break
    fi
done
out='' err=''
if [ -z "$JOBLOG_SERVER" ]; then
    fail "joblogd is not ready"
    exit 1
fi
export JOBLOG_SERVER

# ---- access

expect 0 joblog whoami
says "token:admin-"
says "admin"
expect 0 joblog whoami --json
json actor '*'
[ "$(stat -c %a "$dir/data/admin-token")" = 600 ] || fail "the administrator's token has other permissions"
expect 0 env -u XDG_STATE_HOME JOBLOG_TOKEN_FILE="$dir/data/admin-token" "$bin/joblog" whoami
expect 5 env JOBLOG_TOKEN=nonsense "$bin/joblog" whoami
complains UNAUTHENTICATED
expect 5 env XDG_STATE_HOME="$dir/nowhere" "$bin/joblog" list
complains "a token is needed"
expect 5 joblog --token-file "$dir/nowhere" list
complains "cannot read the token"

expect 2 joblog token create nothing
complains "--role is needed"
expect 2 joblog token create nothing --role king
complains 'there is no role "king"'
expect 0 joblog token create looker --role viewer --queue 'mail*,idle' --ttl 1h -o "$dir/looker.token"
silent
complains "token looker ("
[ "$(stat -c %a "$dir/looker.token")" = 600 ] || fail "the token's file has other permissions"
expect 5 joblog token create looker2 --role viewer -o "$dir/looker.token"
complains "cannot make"
expect 5 joblog token create looker --role viewer
complains "ALREADY_EXISTS"
expect 0 joblog token create printed --role worker --own-only --may-delegate
says jlt_
expect 0 joblog token create gone --role dispatcher --json
json name gone
json secret '*'
json roles.0 dispatcher
gone=$(value id)
expect 0 joblog token list
says looker
says "viewer; queues mail*, idle"
says printed
expect 0 joblog token list --json
all_json
[[ $out != *jlt_* ]] || fail "a list holds secrets"
expect 0 joblog token revoke "$gone"
says "$gone revoked"
expect 3 joblog token revoke 0123456789abcdef
expect 5 joblog token revoke nonsense
complains "field id"
expect 0 joblog token list
[[ $out != *gone* ]] || fail "a revoked token is listed"
expect 0 joblog token list --all
says gone

expect 0 joblog --token-file "$dir/looker.token" whoami
says "token:looker"
expect 5 joblog --token-file "$dir/looker.token" dispatch hello
complains PERMISSION_DENIED
expect 5 joblog --token-file "$dir/looker.token" token list
expect 5 joblog --token-file "$dir/looker.token" --actor ann list
complains "on behalf"

# A login: the token from standard input, kept where only its user can read it, used from then on.
login_home=$dir/login
login() { env -u JOBLOG_SERVER XDG_STATE_HOME="$login_home" XDG_CONFIG_HOME="$login_home" "$bin/joblog" "$@"; }
expect 2 login login "$JOBLOG_SERVER"
complains "no token"
log_in() { login login "$JOBLOG_SERVER" <"$dir/looker.token"; }
log_in >"$dir/out" 2>"$dir/err" || fail "cannot log in: $(<"$dir/err")"
out=$(<"$dir/out") err=''
says "Logged in to $JOBLOG_SERVER as token:looker"
[ "$(stat -c %a "$login_home/joblog/logins.json")" = 600 ] || fail "logins can be read by others"
[ "$(stat -c %a "$login_home/joblog")" = 700 ] || fail "the directory of logins can be read by others"
expect 0 login whoami
says "token:looker at $JOBLOG_SERVER"
chmod 644 "$login_home/joblog/logins.json"
expect 5 login whoami
complains "chmod 600"
chmod 600 "$login_home/joblog/logins.json"
echo wrong >"$dir/wrong.token"
expect 5 login login "$JOBLOG_SERVER" --token-file "$dir/wrong.token"
expect 0 login whoami # the failed one changed nothing
expect 0 login logout
says "Logged out of $JOBLOG_SERVER"
expect 3 login logout
complains "no login"
expect 5 env JOBLOG_SERVER="$JOBLOG_SERVER" XDG_STATE_HOME="$login_home" XDG_CONFIG_HOME="$login_home" "$bin/joblog" list
# To another machine no token goes unencrypted; the address is one of the documentation (RFC 5737) and is not called.
expect 5 joblog --server 192.0.2.1:7420 --token-file "$dir/looker.token" list
complains "unencrypted"

# ---- dispatch, show, list

expect 0 joblog list
complains "no jobs"
expect 0 joblog dispatch hello --payload '{"to": "Zoë", "n": 9007199254740993}' --queue idle --priority 5 \
    --source User:42:7 --owner ana -l tenant=acme -l kind=x=y --max-attempts 3 --backoff 1s --batch b1
id=$out
[[ $id =~ ^[1-9][0-9]*$ ]] || fail "the id is no number"
expect 0 joblog show "$id" --json
all_json
json id "$id"
json job_name hello
json status pending
json queue idle
json priority 5
json source '{"id":"42:7","type":"User"}'
json owner ana
json labels '{"kind":"x=y","tenant":"acme"}'
json payload.to Zoë
json payload.n 9007199254740993
json max_attempts 3
json batch b1
json transitions.0.to_status pending
json transitions.0.actor '*'
expect 0 joblog show "$id"
says "hello"
says '"to": "Zoë"'
says "transitions"
expect 0 joblog dispatch hello --queue idle --json --request-id r-1 --payload '{"a": 1}'
json id '*'
second=$(value id)
expect 0 joblog dispatch hello --queue idle --json --request-id r-1 --payload '{"a": 1}'
json id "$second"
expect 5 joblog dispatch hello --queue idle --request-id r-1 --payload '{"a": 2}'
complains "(ALREADY_EXISTS"
silent
expect 5 joblog dispatch hello --payload '{"a": '
complains "(INVALID_ARGUMENT, field job.payload)"
expect 5 joblog dispatch "$(printf '%0300d' 0)"
complains "(INVALID_ARGUMENT, field job.job_name)"
expect 0 joblog dispatch single --queue single --unique k --payload '{"a": 1}' --json
single=$(value id)
expect 5 joblog dispatch single --queue single --unique k
complains "(ALREADY_EXISTS)"
expect 0 joblog dispatch single --queue single --unique k --on-conflict merge --payload '{"b": 2}' --json
json id "$single"
expect 1 joblog dispatch nobody --queue nobody --start-timeout 20ms --wait
expect 2 joblog dispatch nobody --run-timeout soon
expect 0 joblog dispatch single --queue single --unique short --unique-for 10m --json
expect 0 joblog show "$single" --json
json payload.b 2
json unique_key k
expect 0 joblog show "$single"
says "unique key   k"
printf '{"from": "a file"}' >"$dir/payload.json"
expect 0 joblog dispatch later --payload "@$dir/payload.json" --queue idle --delay 1h --json
third=$(value id)
expect 0 joblog show "$third" --json
json payload.from "a file"
json run_time '*'
printf '{"a":\0001}' >"$dir/nul.json"
expect 5 joblog dispatch later --payload "@$dir/nul.json"
complains "NUL"
out=$(printf '{"from": "a pipe"}' | joblog dispatch later --payload - --queue idle --json)
fourth=$(value id)
expect 0 joblog show "$fourth" --json
json payload.from "a pipe"

expect 0 joblog list --queue idle
says "hello"
[ "$(wc -l <<<"$out")" -eq 5 ] || fail "four jobs and a line of titles"
[[ $out != *$'\033'* ]] || fail "colours although this is no terminal"
expect 0 joblog list --json
all_json
[ "$("$bin/json_get" id <<<"$out" | head -n 1)" = "$fourth" ] || fail "the newest is not first"
expect 0 joblog list --json --limit 1
[ "$(wc -l <<<"$out")" -eq 1 ] || fail "--limit 1"
expect 0 joblog list --json --batch b1 --owner ana --source User:42:7 --label tenant=acme --name hello --queue idle
json id "$id"
expect 0 joblog list --json --source User
json id "$id"
expect 0 joblog list --json --status running,failed
silent
expect 0 joblog list --failed
complains "no jobs"
expect 0 joblog list --queue idle --since 1h --all --json
[ "$(wc -l <<<"$out")" -eq 4 ] || fail "--since 1h --all"

expect 3 joblog show 123
complains "(NOT_FOUND"
silent
expect 3 joblog watch 123
expect 3 joblog watch "$id" 123
expect 3 joblog cancel 123
expect 3 joblog retry 123

# ---- cancel, retry

expect 0 joblog cancel "$fourth" --reason "wrong list"
says "$fourth cancelled"
expect 5 joblog cancel "$fourth"
complains "(FAILED_PRECONDITION"
expect 1 joblog watch "$fourth"
complains "is cancelled"
expect 0 joblog show "$fourth"
says "wrong list"
expect 0 joblog retry "$fourth" --json
json status pending
expect 5 joblog retry "$fourth"
expect 2 joblog cancel
complains "needs ids, or a filter"
expect 2 joblog retry 7 --queue mail
complains "ids or a filter, not both"
expect 2 joblog cancel 7 --dry-run
complains "--dry-run and --limit need a filter"
expect 2 joblog retry 7 8 --request-id once
complains "--request-id stands for one id, or for a filter"
expect 5 joblog cancel --failed
complains "only pending and running jobs can be cancelled"
for n in 1 2 3; do expect 0 joblog dispatch bulk --queue bulk --label "n=$n"; done
expect 0 joblog cancel --queue bulk --dry-run
says "3 jobs would be cancelled"
expect 0 joblog cancel --queue bulk --limit 1 --json
json matched 1
json changed 1
json dry_run false
expect 0 joblog cancel --queue bulk --since 1h --reason "no more"
says "2 jobs cancelled"
expect 0 joblog retry --queue bulk --status cancelled --label n=2
says "1 job put back"
expect 0 joblog retry --queue bulk
says "0 jobs put back"
expect 0 joblog list --queue bulk --status pending --json
id=$(value id)
expect 0 joblog cancel --id "$id" --id 123 --status pending --dry-run
says "1 job would be cancelled"
expect 0 joblog cancel "$id" --request-id cancel-once --reason "no more" --json
revision=$(value revision)
expect 0 joblog cancel "$id" --request-id cancel-once --reason "no more" --json
json revision "$revision"
json cancel_reason "no more"
expect 5 joblog cancel "$id" --request-id cancel-once --reason "another"
complains "request"
expect 0 joblog list --id "$id"
says "no more"
expect 0 joblog show "$id"
says "no more  (request cancel-once)"
expect 0 joblog retry --id "$id" --status cancelled --request-id retry-once --json
json changed 1
expect 0 joblog cancel "$id" --request-id cancel-twice
expect 0 joblog retry --id "$id" --status cancelled --request-id retry-once --json
json matched 1
json changed 0
expect 0 joblog list --queue bulk --ended-after 2000-01-01 --ended-before 2100-01-01 --all --json
[ "$(wc -l <<<"$out")" -eq 3 ] || fail "all three have ended"
expect 0 joblog list --queue bulk --ended-before 2000-01-01
complains "no jobs"
expect 0 joblog list --queue bulk --started-after 2000-01-01
complains "no jobs"
expect 0 joblog cancel --queue bulk
expect 3 joblog cancel "$third" 123 "$fourth" --json
[ "$("$bin/json_get" status <<<"$out" | sort | uniq -c | tr -s ' ')" = " 2 cancelled" ] || fail "the others are cancelled"

# ---- many at once

printf '%s\n' '{"payload":{"n":1},"priority":5,"labels":{"k":"v"},"source":{"type":"User","id":"7"},"traceparent":"of-the-line"}' '' \
    '{"job_name":"other","payload":{"n":2},"request_id":"line-2","run_time":"2100-01-01T00:00:00Z"}' >"$dir/good.jsonl"
expect 0 joblog dispatch-many "$dir/good.jsonl" --name many --queue many --batch lines --traceparent of-all
[ "$(wc -l <<<"$out")" = 2 ] || fail "an id a line"
expect 0 joblog list --batch lines --oldest-first --json
[ "$("$bin/json_get" job_name <<<"$out" | tr '\n' ' ')" = "many other " ] || fail "both jobs"
expect 0 joblog list --batch lines --label k=v --source User:7 --payload n=1 --json
json priority 5
json traceparent of-the-line
expect 0 joblog list --batch lines --name other --json
json traceparent of-all
printf '%s\n' '{"payload":{"n":2},"job_name":"other","request_id":"line-2","run_time":"2100-01-01T00:00:00Z"}' 'no JSON' \
    '{"payload":7}' '{"nonsense":1}' '{"priority":2000}' '{"priority":"high"}' >"$dir/bad.jsonl"
expect 5 joblog dispatch-many "$dir/bad.jsonl" --name many --queue many --batch lines --traceparent of-all --json
all_json
says '"replayed":true'
[ "$("$bin/json_get" line <<<"$out" | tr '\n' ' ')" = "1 2 3 4 5 6 " ] || fail "an outcome a line, in order"
says '"field":"job.priority"'
! grep -q '"reason":""' <<<"$out" || fail "a line without a reason"
complains "line 2:"
complains 'line 3: "payload" must be an object'
complains 'line 4: "nonsense" is no member of a job'
complains 'line 6: "priority" must be a whole number'
printf '%s\n' '{"unique_key":"u","unique_for":"1h","payload":{"n":1}}' '{"unique_key":"u","on_conflict":"merge","payload":{"m":2}}' \
    '{"unique_key":"u","on_conflict":"reject"}' '{"max_attempts":4,"backoff":"exponential","initial_backoff_ms":5000,"max_backoff_ms":9000,"multiplier":1.5,"jitter":0.5}' \
    '{"max_attempts":3,"delays_ms":[1000,60000],"jitter":0.25}' '{"unique_for":"pending"}' '{"unique_key":"v","unique_for":"for ever"}' \
    '{"on_conflict":"use"}' '{"unique_key":"v","on_conflict":7}' '{"backoff":"random"}' '{"delays_ms":[]}' '{"delays_ms":["1s"]}' \
    '{"backoff":"fixed","delays_ms":[1]}' '{"jitter":"much"}' '{"max_attempts":2,"jitter":2}' '{"max_attempts":4,"backoff":"linear"}' >"$dir/policies.jsonl"
expect 5 joblog dispatch-many "$dir/policies.jsonl" --name many --queue policies --json
[ "$("$bin/json_get" id <<<"$out" | tr -d '\n' | wc -c)" -gt 0 ] || fail "no ids"
says '"existing":true'
says '"UNIQUE_KEY_TAKEN"'
complains 'line 6: "unique_for" needs "unique_key"'
complains 'line 7: "unique_for" must be "not-final", "pending", or a time such as "10m"'
complains 'line 8: "on_conflict" needs "unique_key"'
complains 'line 9: "on_conflict" must be'
complains 'line 10: "backoff" must be "exponential", "linear" or "fixed"'
complains 'line 11: "delays_ms" must be a list of whole numbers'
complains 'line 12: "delays_ms" must be a list of whole numbers'
complains 'line 13: "delays_ms" excludes'
complains 'line 14: "jitter" must be a number'
complains "line 15:"
expect 0 joblog list --queue policies --json
[ "$("$bin/json_get" id <<<"$out" | wc -l)" = 4 ] || fail "four jobs: one holds the key, three have back-offs"
expect 0 joblog list --queue policies --payload n=1 --payload m=2 --json
[ "$("$bin/json_get" id <<<"$out" | wc -l)" = 1 ] || fail "the payload of who holds the key was merged"
expect 0 joblog cancel --queue policies
printf '{"payload":{"n":1}}\n\n\0\0\n{"payload":{"n":4}}\0garbage\n\0{"payload":{"n":5}}\n{"payload":{"n":6}}\n\0' >"$dir/nul.jsonl"
expect 5 joblog dispatch-many "$dir/nul.jsonl" --name many --queue nuls --json
[ "$("$bin/json_get" line <<<"$out" | tr '\n' ' ')" = "1 3 4 5 6 7 " ] || fail "lines with NUL bytes are told of"
complains "line 3: must be text, holds a NUL byte"
complains "line 4: must be text, holds a NUL byte"
complains "line 7: must be text, holds a NUL byte"
expect 0 joblog cancel --queue nuls --json
json changed 2
printf '%s\n' '{"payload":{"n":123456789012345678901234567890,"x": 0.10}}' '{"payload":{"n":1,"n":2}}' '{"payload":{"n":"\ud800"}}' \
    '{"payload":{},"payload":{}}' '{"payload":{"n":}}' '{"payload":{"n":1}' '{"priority":123456789012345678901234567890}' '[{"payload":{}}]' \
    '{"p\u0061yload":{"n":5}}' >"$dir/exact.jsonl"
expect 5 joblog dispatch-many "$dir/exact.jsonl" --name many --queue exact --json
all_json
[ "$("$bin/json_get" line <<<"$out" | tr '\n' ' ')" = "1 2 3 4 5 6 7 8 9 " ] || fail "an outcome a line, in order"
complains "line 2: payload: not valid JSON at column 25: a key stands twice in one object"
complains "line 3: payload: not valid JSON at column 24: a surrogate stands alone"
complains "line 4: job: not valid JSON at column 28: a key stands twice in one object"
complains "line 5: payload: not valid JSON at column 17: a value is expected here"
complains "line 6: job: not valid JSON at column 19: a comma or } is expected here"
complains "line 7: job: the number at column 13 is too large"
complains "line 8: job: not valid JSON at column 1: a JSON object is expected"
expect 0 joblog list --queue exact --oldest-first --json
expect 0 joblog show "$(head -n 1 <<<"$out" | "$bin/json_get" id)" --json
says '"payload":{"n":123456789012345678901234567890,"x":0.10}'
expect 0 joblog cancel --queue exact --json
json changed 2
expect 5 joblog dispatch-many "$dir/nothing-there"
complains "cannot open"
seq 5000 | sed 's/.*/{"payload":{"n":&}}/' >"$dir/many.jsonl"
expect 0 joblog dispatch-many "$dir/many.jsonl" --name many --queue thousands
[ "$(sort -u <<<"$out" | wc -l)" = 5000 ] || fail "5000 different ids"
expect 0 joblog cancel --queue thousands --json
json changed 5000

# ---- queues

expect 2 joblog queue pause
expect 0 joblog queue pause paused --reason "mail server is down"
says "paused paused, 0 waiting, 0 running"
expect 0 joblog dispatch mail --queue paused --payload '{"user":{"id":42}}' --heartbeat-timeout 90s --max-attempts 3 --delays 1s,2s
id=$out
expect 0 joblog queue list
says "PAUSED"
says "mail server is down"
expect 0 joblog queue list paused --json
json name paused
json paused true
json waiting 1
expect 0 joblog queue resume paused --json
json paused false
expect 0 joblog queue resume paused
says "paused goes on, 1 waiting, 0 running"
# A slip of the pen; the others are dealt with all the same.
expect 3 joblog queue resume pausd paused
says "paused goes on, 1 waiting, 0 running"
complains "there is no queue pausd: it never had a job, and is not paused"
expect 3 joblog queue list pausd paused
says "PAUSED"
complains "there is no queue pausd"
expect 0 joblog queue pause before-its-first-job
expect 0 joblog queue resume before-its-first-job
expect 5 joblog queue pause "$(printf 'x%.0s' {1..201})"

# ---- filters

expect 0 joblog list --queue paused --payload user.id=42 --json
json id "$id"
json backoff list
json heartbeat_timeout_ms 90000
expect 0 joblog show "$id"
says "at most 1m30s"
expect 0 joblog list --queue paused --payload user.id~4 --oldest-first --since 1h --json
json id "$id"
expect 0 joblog list --queue paused --payload user.id=7
complains "no jobs"
expect 2 joblog list --payload =7
complains "must be PATH=VALUE"
expect 2 joblog list --since 1h --after 2026-01-01
expect 0 joblog list --queue paused --error Smtp --error-text away --started-since 1h --ended-since 1h --before 2100-01-01
complains "no jobs"
expect 0 joblog cancel --queue paused --payload user.id=42
says "1 job cancelled"

# ---- the worker that runs a shell command

cat >"$dir/job" <<'SH'
case $JOBLOG_JOB_NAME in
good)
    [ "$(cat)" = "$JOBLOG_PAYLOAD" ] || exit 9
    echo # a blank line
    echo "::progress 50 half way"
    echo "hello from attempt $JOBLOG_ATTEMPT"
    echo "::progress 3/4 rows nearly"
    echo "::result {\"rows\": 4, \"id\": $JOBLOG_JOB_ID}"
    ;;
bad)
    echo "first" >&2
    printf 'no such list: \377\n' >&2
    exit 3
    ;;
shaky)
    [ "$JOBLOG_ATTEMPT$JOBLOG_QUEUE" = "2work" ] || exit 7
    ;;
slow)
    echo "::progress 10 sleeping"
    # Its shell, which calls it, dies of the signal at once: it is still there when that has been waited for.
    trap 'while kill -0 $PPID 2>/dev/null; do sleep 0.05; done; echo cleaned up; exit 1' TERM
    sleep 300 &
    wait $!
    ;;
loud)
    echo "::progress 10 sleeping"
    exec yes
    ;;
wrong)
    echo "::result {not json"
    ;;
twice)
    echo '::result {"a": 1, "a": 2}'
    ;;
exact)
    echo '::result {"n": [123456789012345678901234567890, 0.1], "text": "a  \\" b"}'
    ;;
later)
    [ "$JOBLOG_ATTEMPT" -gt 1 ] || echo "::snooze 0.1 no paper"
    ;;
esac
SH
# What the worker's own environment says of another job does not reach the command.
JOBLOG_QUEUE=outer JOBLOG_ATTEMPT=9 "$bin/joblog" worker --queue work=3 --queue other --concurrency 2 --worker shell-1 --exec "sh $dir/job; exit \$?" >"$dir/worker.log" 2>&1 3<&- &
worker=$!
expect 0 joblog dispatch good --queue work --payload '{"list": 7}' --wait
id=$out
expect 0 joblog show "$id" --json
json status completed
json result "{\"id\":$id,\"rows\":4}"
json progress.step nearly
json attempts.0.worker shell-1
json attempts.0.outcome completed
[[ $(<"$dir/worker.log") == *"[$id good] hello from attempt 1"* ]] || fail "the command's output was not passed on"
expect 0 joblog workers --queue work --json
json name shell-1
json queues.0 work
expect 0 joblog workers --name shell-1
says "work,other"
expect 3 joblog workers drain nobody-of-this-name
complains "no such worker"
expect 2 joblog workers drain
expect 2 joblog workers pause
expect 3 joblog workers pause nobody-of-this-name
expect 3 joblog workers resume nobody-of-this-name
complains "no such worker is paused"
expect 0 joblog workers pause shell-1 --reason "looks ill"
expect 0 joblog workers --name shell-1
says "looks ill"
expect 0 joblog workers --name shell-1 --json
says '"pause_request"'
expect 0 joblog workers resume shell-1
expect 0 joblog workers --name shell-1 --json
[[ $out != *pause_request* ]] || fail "it goes on"
expect 0 joblog logs "$id"
[ "$out" = $'\nhello from attempt 1' ] || fail "a blank line is one"
expect 0 joblog logs "$id" --times
[ "$(wc -l <<<"$out")" -eq 2 ] || fail "a blank line is one"
expect 0 joblog logs "$id" --json --tail 1
json level info
json text "hello from attempt 1"
json attempt 1
expect 0 joblog dispatch good --queue work --watch
says "Completed"
says "100 %"
expect 0 joblog dispatch good --queue work --watch --json
all_json
json status completed
expect 0 joblog dispatch good --queue work --wait --json
json status completed
json result.rows 4
# Numbers go through as they are, whatever their size.
expect 0 joblog dispatch exact --queue work --payload '{"b": 123456789012345678901234567890, "c": [ ], "d": {}, "e": [1.50, -0.1e-400]}' --wait --json
says '"b":123456789012345678901234567890'
says '"c":[],"d":{},"e":[1.50,-0.0000'
says '"result":{"n":[123456789012345678901234567890,0.1],"text":"a  \" b"}'
id=${out#*\"id\":} id=${id%%,*}
expect 0 joblog show "$id"
says $'{\n    "b": 123456789012345678901234567890,\n    "c": [],\n    "d": {},\n    "e": [\n      1.50,\n'
says $'    "n": [\n      123456789012345678901234567890,\n      0.1\n    ],\n    "text": "a  \\" b"\n  }'
says "waited"
says "took"
expect 0 joblog dispatch later --queue work --wait
id=$out
expect 0 joblog show "$id" --json
json status completed
json attempt 2
json attempts.0.outcome released
json uncounted_attempts 1
json transitions.2.reason "no paper"
expect 0 joblog show "$id"
says "attempt      1 of 1, 1 put off or given back"
expect 0 joblog list --name later --queue work
says " 1/1 "
for ((i = 0; i < 600; i++)); do
    grep -qF "[$id later] attempt 1: snoozed, will run again" "$dir/worker.log" && break
    sleep 0.1
done
[ $i -lt 600 ] || fail "a snooze is no failure"
expect 1 joblog dispatch bad --queue work --wait
complains "has failed, ExitCode: exit code 3: first no such list: ?"
id=$out
expect 0 joblog logs "$id" --follow --level warning --times
says "warning first"
says "no such list: ?"
expect 0 joblog logs "$id" --level error
[ -z "$out" ] || fail "there is no line of level error: $out"
expect 0 joblog show "$id" --json
json error.type ExitCode
json attempts.0.outcome failed
expect 0 joblog show "$id"
says "    exit code 3"
[[ $out != *"stack trace:"* ]] || fail "the stack of joblog says nothing of the command"
expect 0 joblog list --failed --json
json id "$id"
expect 1 joblog dispatch wrong --queue work --wait
complains "BadResult"
expect 1 joblog dispatch twice --queue work --wait
complains "BadResult: the command's result was refused: result: not valid JSON at line 1, column 17: a key stands twice in one object"
expect 0 joblog dispatch shaky --queue work --max-attempts 2 --backoff 100ms --watch
id=$(head -n 1 <<<"$out")
says "attempt 1 of 2 ended with ExitCode"
says "Completed"
expect 0 joblog show "$id" --json
json attempts.0.outcome failed
json attempts.1.outcome completed
expect 0 joblog watch "$id"
says "Completed"

# A cancel reaches the command, also one that prints without end. The watch tells when it runs, so that nothing waits
# for a time.
for name in slow loud; do
    expect 0 joblog dispatch $name --queue work --json
    id=$(value id)
    cancelled=no
    while IFS= read -r line; do
        if [[ $line == *'"step":"sleeping"'* && $cancelled = no ]]; then
            cancelled=yes
            expect 0 joblog cancel "$id" --reason "enough"
        fi
    done < <(timeout 15 "$bin/joblog" watch "$id" --json)
    if [ $cancelled = no ]; then
        fail "the step never came"
        joblog cancel "$id"
        timeout 60 "$bin/joblog" watch "$id"
    fi
    expect 0 joblog show "$id" --json
    json status cancelled
    expect 0 joblog logs "$id" --tail 3 # the shell may say something of its own behind it
    [ $name = loud ] || says "cleaned up"
done

# A job that waits for its next attempt has no times yet, and one that is cancelled then never will.
expect 0 joblog dispatch bad --queue work --max-attempts 2 --backoff 1h
id=$out
while IFS= read -r line; do
    [[ $line != *'"status":"pending"'*'"attempt":1,'* ]] || break
done < <(timeout 60 "$bin/joblog" watch "$id" --json)
expect 0 joblog show "$id"
says "started"
[[ ! $out =~ (waited|took) ]] || fail "times that nobody knows"
expect 0 joblog list --queue work --status pending
says "1/2"
[[ $out != *0us* ]] || fail "a time that nobody knows"
expect 0 joblog cancel "$id"
expect 0 joblog show "$id"
[[ ! $out =~ (waited|took) ]] || fail "times that nobody knows"
expect 1 joblog watch "$id"
says "Cancelled"
[[ $out != *after* ]] || fail "a time that nobody knows"

# ---- watch by filter, and its end by a signal

expect 0 joblog dispatch good --queue work --batch two
expect 0 joblog dispatch good --queue work --batch two
expect 0 joblog watch --batch two --until-final --json
all_json
[ "$("$bin/json_get" id <<<"$out" | sort -u | wc -l)" -eq 2 ] || fail "two jobs in the batch"
expect 0 joblog dispatch held --queue idle --batch held
mkfifo "$dir/watch"
"$bin/joblog" watch --batch held --until-final >"$dir/watch" 2>&1 3<&- &
watcher=$!
read -r line <"$dir/watch"
kill -INT "$watcher"
wait "$watcher"
code=$?
[ $code -eq 130 ] || fail "an interrupted watch ends with $code, not 130"
"$bin/joblog" dispatch held --queue idle --watch --json >"$dir/watch" 2>"$dir/farewell" 3<&- &
watcher=$!
read -r line <"$dir/watch"
kill -INT "$watcher"
wait "$watcher"
code=$?
id=$("$bin/json_get" id <<<"$line")
[ $code -eq 130 ] || fail "an interrupted dispatch --watch ends with $code, not 130"
[ "$(<"$dir/farewell")" = "joblog: the job goes on: joblog watch $id shows it" ] || fail "it says $(<"$dir/farewell")"

# ---- stats, statuses

expect 0 joblog stats
says "good"
says "all"
[ "$(grep -o CANCELLED <<<"$out" | wc -l)" -eq 2 ] || fail "cancelled now, and in the range"
expect 0 joblog stats --since 1h --name good --queue work --json
all_json
json rows.0.job_name good
json total.counts.completed 6
json total.execution.count 6
expect 0 joblog stats --since 2h --by hour --name good
says "OLDEST WAITS"
says "##############################"
expect 0 joblog stats --since 2h --by hour --name good --json
json buckets.1.dispatched "*"
expect 2 joblog stats --by fortnight
# ---- cleanup

expect 2 joblog cleanup
expect 2 joblog cleanup --older-than soon
expect 2 joblog cleanup --older-than 1d --status running
expect 0 joblog cleanup --older-than 1d -s "$JOBLOG_SERVER"
expect 0 joblog cleanup --older-than 1d --json
json completed 0
expect 0 joblog cleanup --older-than 0s --name good --status completed --dry-run --json
json completed 6
json dry_run true
expect 0 joblog cleanup --older-than 0s --name good --status completed --limit 1
says "deleted: 1 completed, 0 failed, 0 cancelled"
expect 0 joblog cleanup --older-than 0s --name good --dry-run
says "would be deleted: 5 completed, 0 failed, 0 cancelled"
expect 0 joblog stats --name good --json
json total.counts.completed 5
json total.completed 6
expect 0 joblog statuses --lang es --json
json statuses.0.name pending
json statuses.0.label Pendiente
expect 0 joblog statuses
says "green"
expect 0 joblog list --lang es
says "Completado"

# ---- exports

expect 0 joblog export types
says "functions"
says "search"
says "columns       oid integer, proname text, prosrc text"
says "filters       search text (search), name text (equals, in, contains), oid integer (equals, at_least, less), procost number (equals)"
says "order         oid"
says "formats       csv, jsonl, xlsx"
expect 0 joblog export types --json
out=$(grep '"name":"functions"' <<<"$out") # among those of the server's own
json name functions
json column_types.0.value_type integer
json filter_types.1.operators.1 in
json order.0 oid
expect 0 joblog export list
complains "no exports"
expect 0 joblog export start functions --name all.csv --watch --output "$dir/all.csv"
id=$(head -n 1 <<<"$out")
says "Completed"
expect 0 joblog export show "$id" --json
all_json
json file.file_name all.csv
json file.sha256 "$(sha256sum "$dir/all.csv" | cut -d ' ' -f 1)"
json file.size "$(stat -c %s "$dir/all.csv")"
rows=$(value file.rows)
count=$(psql -X -A -t -h "$dir/data/run" -U joblog -d joblog -c 'SELECT count(*) FROM pg_catalog.pg_proc')
[ "$rows" = "$count" ] || fail "$rows rows, the database has $count"
expect 0 joblog export show "$id"
says "all.csv"
says "owner          "
[[ $out =~ dispatched[[:space:]]+20[0-9-]+\ [0-9:.]+$'\n'started ]] || fail "no time of its dispatch"
[[ $out =~ progress[[:space:]]+100\ %,\ [0-9\ ]+of\ [0-9\ ]+rows,\ in\  ]] || fail "no rows in its progress"
expect 0 joblog export download "$id" --output "$dir/again.csv"
cmp "$dir/all.csv" "$dir/again.csv" || fail "the second download differs"
joblog export download "$id" --output - >"$dir/stream.csv" 2>"$dir/err" || fail "download to standard output"
cmp "$dir/all.csv" "$dir/stream.csv" || fail "the download to standard output differs"
(cd "$dir" && rm all.csv && joblog export download "$id" >/dev/null 2>&1 && cmp all.csv again.csv) ||
    fail "download under the export's own name"
(cd "$dir" && joblog export download "$id" 2>err)
[ $? -eq 2 ] || fail "a download writes over what lies under the export's own name"
grep -q "all.csv is there: --output FILE" "$dir/err" || fail "a download does not say what is there"
exec 8>"$dir/held.csv.part" && flock -n 8 || fail "no lock"
expect 5 joblog export download "$id" --output "$dir/held.csv"
complains "another download writes $dir/held.csv.part (FAILED_PRECONDITION"
[ ! -s "$dir/held.csv.part" ] && [ ! -e "$dir/held.csv" ] || fail "a download writes what another writes"
exec 8>&-
expect 0 joblog export download "$id" --output "$dir/held.csv"
cmp "$dir/held.csv" "$dir/stream.csv" || fail "the download differs after the lock went"
joblog export download "$id" --output - >/dev/full 2>"$dir/err"
[ $? -eq 5 ] || fail "a full disk is an error"
expect 0 joblog export start functions --filters '{"search": "json", "name": ["json_build_array", "jsonb_set", "now"]}' \
    --output - --name some.csv
says "jsonb_set"
[[ $out != *,now,* ]] || fail "the filter let \"now\" through"
# Numbers stay as they are written, however long, and texts too, whatever they look like.
expect 0 joblog export start functions --filters '{"procost": 1.10, "name": ["boolin", "a \"1\\\" -2, 0.10"]}' --json
expect 0 joblog export show "$(value job.id)" --json
json filters.0.values.0 1.10
json filters.1.values.1 'a "1\" -2, 0.10'
expect 0 joblog export start functions --filters '{"procost":123456789012345678901234567890}' --output - --name big.csv
[ "$(wc -l <<<"$out")" -le 1 ] || fail "rows: $out"
expect 2 joblog export start functions --filters '{"oid": 1, "oid": 2}'
complains "a key stands twice"
expect 2 joblog export start functions --filters '{"oid": {"at_least": 1}}'
complains '"oid" must be a text'
expect 0 joblog export start functions -f name:in=jsonb_set,now -f search=now --output "$dir/now.csv" --json
json file.rows '*'
expect 0 joblog export watch "$id"
says "Completed"
# All of it in one command: conditions as people write them, columns, order, form by the name of the file.
expect 0 joblog export start functions --where 'oid>=1242' --where 'oid<1246' -w 'name=boolin' --columns proname,oid --order -oid \
    --watch --output "$dir/bool.jsonl.gz" --lang es
says "Completado"
complains "ha comenzado"
id=$(head -n 1 <<<"$out")
[ "$(gzip -dc "$dir/bool.jsonl.gz")" = '{"proname":"boolin","oid":1242}' ] || fail "rows: $(gzip -dc "$dir/bool.jsonl.gz")"
expect 0 joblog export show "$id" --json
json filters.0.field oid
json filters.0.operator at_least
json filters.0.values.0 1242
json filters.1.operator less
json filters.2.operator equals
json columns.0 proname
json order.0 -oid
json format jsonl
json compression gzip
json language es
expect 0 joblog export show "$id"
says "where          oid:at_least=1242"
says "columns        proname, oid"
says "order          -oid"
says "format         jsonl, gzip"
expect 0 joblog export start functions -w 'name~bool_and' --format csv --name "$$.txt" --output "$dir/as-named.text"
head -n 1 "$dir/as-named.text" | grep -q '^Id,Name,prosrc' || fail "a form that is named counts, not the name of the file"
(cd "$dir" && joblog export start functions -w name=jsonb_set --name mine.xlsx --download >/dev/null 2>&1 &&
    [ "$(head -c 2 mine.xlsx)" = PK ]) || fail "download of a new export under its own name"
expect 2 joblog export start functions --download --output x
(cd "$dir" && joblog export start functions --name mine.xlsx --download 2>err)
[ $? -eq 2 ] && grep -q "mine.xlsx is there" "$dir/err" || fail "a new export writes over what lies under its name"
expect 2 joblog export start functions --where 'oid:in>3'
complains "a filter is FIELD=VALUE"
expect 2 joblog export start functions --where '=3'
expect 5 joblog export start functions --where colour=red
complains 'has no filter "colour"; it has search, name, oid, procost (INVALID_ARGUMENT, field filters[0].field)'
expect 5 joblog export start functions --where 'search>3'
complains 'filter "search" does not take operator greater; it takes search'
expect 5 joblog export start functions --where 'oid>=many'
complains "field filters[0].values[0]"
expect 5 joblog export start functions --columns oid,secret
complains 'has no column "secret"; it has oid, proname, prosrc'
expect 5 joblog export start functions --order -secret
complains "field order[0].column"
expect 5 joblog export start functions --format papyrus
complains "there is no format papyrus"
expect 0 joblog export list --json
all_json
[ "$(wc -l <<<"$out")" -eq 8 ] || fail "eight exports"
expect 0 joblog export list
says "all.csv"
says "OWNER"
# A place that is none: nothing is started, as the list shows below.
for place in "$dir/nowhere/x.csv" "$dir" "" /dev/null; do
    expect 5 joblog export start functions --output "$place"
    complains "(FAILED_PRECONDITION)"
done
mkdir "$dir/in.csv.part"
(cd "$dir" && joblog export start functions --name in.csv --download >out 2>err)
[ $? -eq 5 ] && grep -q "Is a directory" "$dir/err" || fail "a download under its name where there is no place"
expect 0 joblog export list --json
[ "$(wc -l <<<"$out")" -eq 8 ] || fail "an export was started for a file that cannot be written"
expect 0 joblog --actor owner-of-one export start functions -w name=now --watch --output "$dir/one.csv"
one=$(head -n 1 <<<"$out")
expect 0 joblog --actor owner-of-one export delete "$one"
expect 0 joblog export list --limit 1
[[ $out == *"$one"*deleted*owner-of-one* ]] || fail "neither owner nor deletion"
expect 0 joblog --actor owner-of-one export list
[[ $out == *"$one"*deleted* && $out != *OWNER* ]] || fail "an owner where all are one's own"
expect 0 joblog export show "$one"
says "owner          owner-of-one"
says "file           deleted"
expect 0 joblog --actor somebody-else export list
complains "no exports"
expect 3 joblog --actor somebody-else export show "$id"
expect 5 joblog export cancel "$id"
complains "(FAILED_PRECONDITION"
expect 5 joblog export start functions -f colour=red
complains "(INVALID_ARGUMENT, field filters"
expect 5 joblog export start nonsense
complains "field export_type"
mkfifo "$dir/pipe"
for place in "$dir/pipe" "$dir"; do # neither is replaced by a file
    expect 5 joblog export download "$id" --output "$place"
    complains "is not a regular file"
done
[ -p "$dir/pipe" ] && [ ! -e "$dir/pipe.part" ] || fail "a download replaced a pipe"
expect 3 joblog export download 123 --output "$dir/none"
expect 3 joblog export watch 123
[ ! -e "$dir/none" ] || fail "a file although there is no export"

# ---- what is on the terminal

# Other people's text does not steer the terminal, and a full disk is no success.
steer=$'\e[31m\a'
expect 0 joblog dispatch "evil$steer" --queue idle --source "T$steer:1$steer" -l "k$steer=v$steer" --owner "o$steer"
id=$out
expect 0 joblog cancel "$id" --reason "r$steer"
expect 0 joblog show "$id"
says "evil"
says "k [31m"
[[ $out != *[$'\e\a']* ]] || fail "control characters"
for arguments in "dispatch x --queue idle" "list --json" "show $id --json" "stats --json"; do
    # shellcheck disable=SC2086
    joblog $arguments >/dev/full 2>"$dir/err"
    [ $? -eq 5 ] || fail "a full disk is an error of joblog $arguments"
done
# Too narrow for its line, the terminal is told not to wrap it.
expect 1 script -qec "stty cols 30 rows 10; $bin/joblog watch $id" /dev/null
says $'\e[?7l'
[[ ${out##*$'\e[?7l'} == *$'\e[?7h'* ]] || fail "wrapping stays off"

# A watch by a filter is a table that goes on: what has failed before, what fails now, and not what is tried again.
before=$(joblog dispatch bad --queue work) || fail "no job"
joblog dispatch bad --queue work --wait >/dev/null
joblog watch "$before" >/dev/null
script -qfec "stty cols 160 rows 30; exec $bin/joblog watch --failed --queue work --name bad" "$dir/table" >/dev/null &
table=$!
shows() {
    for ((i = 0; i < 600; i++)); do
        [[ $(tr -d '\r' <"$dir/table") == *"$1"* ]] && return
        sleep 0.1
    done
    cat "$dir/table" >&2
    fail "the table does not show $1"
}
shows "DETAILS"
shows "$before"
now=$(joblog dispatch bad --queue work) || fail "no job"
shows "$now"
line=$(tr -d '\r' <"$dir/table" | grep -a -m 1 "$now")
[[ $line == *Failed*bad*work*1/1*ExitCode* ]] || fail "the line says $line"
expect 0 joblog queue pause work
expect 0 joblog retry "$before"
gone() { # from the last picture, which has $2
    local all
    for ((i = 0; i < 600; i++)); do
        all=$(tr -d '\r' <"$dir/table")
        [[ ${all##*$'\e[?7l'} == *DETAILS*"$2"*jobs* && ${all##*$'\e[?7l'} != *"$1"* ]] && return
        sleep 0.1
    done
    cat "$dir/table" >&2
    fail "the table goes on showing $1"
}
gone "$before" "$now"
# A record that is deleted leaves it.
expect 0 joblog cleanup --older-than 0s --name bad --queue work
gone "$now" ""
expect 0 joblog queue resume work
pkill -INT -P $table joblog || fail "the watch does not run"
wait $table

# ---- the worker ends in an orderly way

kill -TERM "$worker"
wait "$worker"
code=$?
worker=''
[ $code -eq 0 ] || fail "the worker ends with $code"

# A second signal: what runs is told to stop, and has the time for it.
"$bin/joblog" worker --queue hurry --exec "sh $dir/job; exit \$?" >"$dir/worker.log" 2>&1 3<&- &
worker=$!
expect 0 joblog dispatch slow --queue hurry
id=$out
while IFS= read -r line; do
    if [[ $line == *'"step":"sleeping"'* && -n $worker ]]; then
        kill -TERM "$worker"
        until grep -q 'again to stop it' "$dir/worker.log"; do sleep 0.05; done
        kill -TERM "$worker"
        wait "$worker"
        code=$?
        worker=''
    fi
done < <(timeout 60 "$bin/joblog" watch "$id" --json)
[ -z "$worker" ] || fail "the step never came"
[ $code -eq 130 ] || fail "a worker that was stopped at once ends with $code"
expect 0 joblog show "$id" --json
json error.type WorkerStopped
expect 0 joblog logs "$id"
says "cleaned up"
