#!/usr/bin/env bash
# test_examples.sh BIN: the programs of docs/grpc-in-c.md at work, over a unix socket, over TCP and over TLS, and the words
# that the document says they print.
set -euo pipefail
bin=$1
work=$(mktemp -d)
server=
finish() { [ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"; }
trap finish EXIT
die() { echo "$*" >&2; exit 1; }

# serve COMMAND...: waits for the line that says it serves; sets $line
serve() {
    mkfifo "$work/ready"
    "$@" >"$work/ready" 2>"$work/log" &
    server=$!
    read -r line <"$work/ready" || { cat "$work/log" >&2; die "$1 did not start"; }
    rm "$work/ready"
}
# It ends in good order, with status 0.
stop() {
    kill -TERM "$server"
    wait "$server" || { cat "$work/log" >&2; die "the server ended with $?"; }
    server=
}
same() { [ "$1" = "$2" ] || die "wanted:
$2
got:
$1"; }

serve "$bin/hello_server" "unix:$work/hello.sock"
same "$line" "serving on unix:$work/hello.sock"
same "$("$bin/hello_client" "unix:$work/hello.sock" Ada)" "Hello, Ada!"
if out=$("$bin/hello_client" "unix:$work/hello.sock" "" 2>&1); then die "an empty name was taken"; fi
same "$out" "hello_client: INVALID_ARGUMENT: must not be empty"
# A second server does not take the socket over.
if out=$("$bin/hello_server" "unix:$work/hello.sock" 2>&1); then die "the socket was taken over"; fi
stop

tour='42 / 6 = 7, welcome Ada
INVALID_ARGUMENT: 1 cannot be divided by 0 (reason DIVISION_BY_ZERO, field divisor)
3
2
1
0
3
DEADLINE_EXCEEDED
chat: one
chat: two
chat: three'
serve "$bin/tour_server" 127.0.0.1:0
same "$("$bin/tour_client" "127.0.0.1:${line##* }")" "$tour"
same "$("$bin/tour_async" "127.0.0.1:${line##* }" | sort)" '1 / 0: INVALID_ARGUMENT
42 / 6 = 7
9 / 2 = 4'
stop

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout "$work/key.pem" -out "$work/cert.pem" 2>"$work/openssl" ||
    { cat "$work/openssl" >&2; die "no certificate"; }
serve "$bin/tour_server" 127.0.0.1:0 "$work/cert.pem" "$work/key.pem"
same "$("$bin/tour_client" "localhost:${line##* }" "$work/cert.pem")" "$tour"
if "$bin/tour_client" "localhost:${line##* }" >"$work/plain"; then die "plaintext was let in"; fi
stop
