#!/usr/bin/env bash
# Documents stay true: the C program in README.md is client/examples/first.c, and relative links lead somewhere.
# test_documents.sh SOURCE-DIRECTORY
set -uo pipefail
cd "$1" || exit 1
failures=0
fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

program=$(sed -n '/^```c$/,/^```$/{/^```/!p}' README.md)
[ -n "$program" ] || fail "README.md has no C program"
diff <(printf '%s\n' "$program") client/examples/first.c || fail "the program in README.md is not client/examples/first.c"

for file in *.md docs/*.md; do
    while IFS= read -r link; do
        target=${link%%#*}
        case $target in
        '' | http://* | https://*) continue ;;
        esac
        [ -e "$(dirname "$file")/$target" ] || fail "$file: $target does not exist"
    done < <(grep -o '](\([^) ]*\))' "$file" | sed 's/^](//; s/)$//')
done

# The map of the tree names every folder at the top but what is hidden or built.
for folder in */; do
    case $folder in build/ | docs/) continue ;; esac
    grep -q "\`$folder" README.md || fail "README.md says nothing of $folder"
done
echo "$failures failures"
[ $failures -eq 0 ]
