#!/bin/sh
# build_find_package.sh PROJECT PREFIX BUILD [PROGRAM]: as a user of CMake would, with crpc installed in PREFIX. CC, CFLAGS and
# CMAKE come from the environment.
set -eu
project=$1 prefix=$2 build=$3
rm -rf "$build"
"$CMAKE" -S "$project" -B "$build" -G Ninja -DCMAKE_PREFIX_PATH="$prefix"
"$CMAKE" --build "$build"
if [ $# -eq 3 ]; then
    "$build/greeter"
else # a client: there is no server, which it says
    "$build/$4" "unix:$build/nobody" 2>&1 | grep UNAVAILABLE
fi
