#!/usr/bin/env bash
# test_document.sh TREE [DOCUMENT]: every block of code in docs/grpc-in-c.md stands as it is in the file that the comment
# above it names, and every block in a language of those files has such a comment.
set -euo pipefail
tree=$1
document=${2:-$tree/docs/grpc-in-c.md}
awk -v tree="$tree" '
function load(file,   line, text) {
    text = "\n"
    while ((getline line < (tree "/" file)) > 0) text = text line "\n"
    close(tree "/" file)
    return text
}
/^<!-- .* -->$/ { file = $2; next }
/^```/ && !inside {
    inside = 1; start = FNR; block = "\n"
    checked = file != ""
    if (!checked && $0 ~ /^```(c|proto|cmake)$/) { printf "%s:%d: code of no file\n", FILENAME, FNR; bad = 1 }
    next
}
/^```$/ {
    inside = 0
    if (checked) {
        n++
        if (index(load(file), block) == 0) { printf "%s:%d: is not in %s as it stands here\n", FILENAME, start, file; bad = 1 }
    }
    file = ""
    next
}
inside { block = block $0 "\n"; next }
/./ { file = "" }
END {
    if (n < 10) { printf "only %d blocks of code found\n", n; bad = 1 }
    if (bad) exit 1
    printf "%d blocks of code are as in the examples\n", n
}' "$document"
