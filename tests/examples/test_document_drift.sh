#!/usr/bin/env bash
# test_document_drift.sh TREE: test_document.sh notices one changed character of code, and code of no file.
set -euo pipefail
here=$(dirname "$0")
copy=$(mktemp)
trap 'rm -f "$copy"' EXIT
sed 's/crpc_server_drain(server, 5000)/crpc_server_drain(server, 5001)/' "$1/docs/grpc-in-c.md" >"$copy"
if "$here/test_document.sh" "$1" "$copy"; then echo "a changed line was not noticed"; exit 1; fi
{ cat "$1/docs/grpc-in-c.md"; printf '\n```c\nint x;\n```\n'; } >"$copy"
if "$here/test_document.sh" "$1" "$copy"; then echo "code of no file was not noticed"; exit 1; fi
"$here/test_document.sh" "$1"
