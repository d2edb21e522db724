#!/usr/bin/env bash
# Holds the checks themselves: on a small tree with known faults, each fault is found and nothing else is.
set -euo pipefail
checks=$1
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
put() { mkdir -p "$tree/$(dirname "$1")"; printf '%b' "$2" >"$tree/$1"; }
# expect CHECK STATUS TEXT: the check's outcome, and an extended regular expression in its output
expect() {
    local out status=0
    out=$("$checks/$1" "${@:4}" 2>&1) || status=$?
    if [ "$status" -ne "$2" ] || ! grep -qE -- "$3" <<<"$out"; then
        echo "$1 ${*:4}: status $status instead of $2, or no \"$3\" in:"
        echo "$out"
        exit 1
    fi
}

put lib/base/src/a.c '#include <stdio.h>\n#include "base/err.h"\n#include "local.h"\n'
put lib/base/src/local.h '\n'
put lib/crpc/src/server.c '#include <grpc/grpc.h>\n#include "base/err.h"\n'
put server/rpc/get.c '#include "joblog/v1/job.pb-c.h"\n#include "store/store.h"\n#include "crpc/server.h"\n'
put server/pg/conn.c '#include <libpq-fe.h>\n'
put client/cli/main.c '#include "joblog/joblog.h"\n#include <jansson.h>\n#include "table.h"\n'
put client/cli/table.h '\n'
put tests/unit/t.c '#include <grpc/grpc.h>\n#include "whatever.h"\n'
expect layers 0 '^8 files' "$tree"

fault() { # FILE INCLUDE: alone makes the check fail, and is named
    cp -r "$tree" "$tree.fault"
    mkdir -p "$tree.fault/$(dirname "$1")"
    printf '#include <stddef.h>\n#include %s\n' "$2" >"$tree.fault/$1"
    local name=${2#?}
    expect layers 1 "^$1:2: .*${name%?}" "$tree.fault"
    rm -rf "$tree.fault"
}
fault lib/base/src/b.c '"crpc/server.h"'
fault lib/crpc/include/crpc/x.h '<grpc/grpc.h>'
fault lib/crpc/src/b.c '"core/job.h"'
fault server/core/b.c '"store/store.h"'
fault server/core/b.c '<libpq-fe.h>'
fault server/store/b.c '<libpq-fe.h>'
fault server/store/b.c '"crpc/server.h"'
fault server/store/b.c '"joblog/v1/job.pb-c.h"'
fault server/store/b.c '"hub/hub.h"'
fault server/hub/b.c '<protobuf-c/protobuf-c.h>'
fault server/hub/b.c '"store/store.h"'
fault server/rpc/b.c '"pg/conn.h"'
fault server/rpc/b.c '<grpc/grpc.h>'
fault server/rpc/b.c '"joblog/joblog.h"'
fault server/export/b.c '"rpc/convert.h"'
fault client/src/b.c '"core/job.h"'
fault client/src/b.c '<grpc/grpc.h>'
fault client/cli/b.c '"joblog/v1/job.crpc.h"'
fault client/cli/b.c '"base/err.h"'
fault client/examples/b.c '"base/err.h"'
fault client/examples/b.c '<uthash.h>'
fault client/include/joblog/b.h '"base/err.h"'
fault server/core/b.c '"missing.h"'

expect lengths 0 '^8 files' "$tree"
put lib/base/src/long.c "int f(void)\n{\n$(printf ';\\n%.0s' {1..78})}\n"
expect lengths 0 'the longest 80 lines' "$tree"
put lib/base/src/long.c "int f(void)\n{\n$(printf ';\\n%.0s' {1..79})}\n"
expect lengths 1 'long.c:2: f has 81 lines' "$tree"
put lib/base/src/long.c "$(printf '\\n%.0s' {1..500})"
expect lengths 0 '^9 files' "$tree"
put lib/base/src/long.c "$(printf '\\n%.0s' {1..501})"
expect lengths 1 'long.c: 501 lines' "$tree"
rm "$tree/lib/base/src/long.c"

put compile_commands.json '[{"command": "cc -I/nowhere -c x.c"}]\n'
expect headers 0 '^2 headers' "$tree" "$tree"
put lib/base/src/bad.h 'size_t f(void);\n'
expect headers 1 'bad.h: does not compile alone' "$tree" "$tree"

put lib/crpc/include/crpc/good.h '/* Head. */\n#define F(x) \\\n    g(x)\n\n/* Says. 0, or -code. */\nint a(int x,\n      struct err *ret_err);\nint b(void); /* behind */\n\n/* A type. */\nstruct s {\n    int (*call)(int);\n};\n/* Several. */\nvoid c(void);\nvoid d(void);\n'
expect docstrings 0 '^4 functions' "$tree"
put lib/crpc/include/crpc/bad.h '/* Head. */\n\nint bare(void);\n'
expect docstrings 1 'bad.h:3: bare has no comment' "$tree"
put lib/crpc/include/crpc/bad.h '/* Head. */\n\n/* Tries. */\nint silent(int x,\n           struct err *ret_err);\n'
expect docstrings 1 'bad.h:5: silent does not say how it fails' "$tree"
put lib/crpc/include/crpc/bad.h '/* Head. */\n\n/* Makes one. */\nstruct x *x_new(void);\n'
expect docstrings 1 'bad.h:4: x_new does not say how it fails' "$tree"
echo "the checks find what they are for"
