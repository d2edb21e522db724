#!/bin/sh
# build_find_package.sh PROJECT PREFIX BUILD: as a user of CMake would, with crpc installed in PREFIX. CC, CFLAGS and
# CMAKE come from the environment.
set -eu
project=$1 prefix=$2 build=$3
rm -rf "$build"
"$CMAKE" -S "$project" -B "$build" -G Ninja -DCMAKE_PREFIX_PATH="$prefix"
"$CMAKE" --build "$build"
"$build/greeter"
