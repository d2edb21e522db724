#!/bin/sh
# configure_alone.sh TREE BUILD: JOBLOG_ONLY_CRPC on a machine where pkg-config knows protobuf-c alone. CC and CMAKE come from
# the environment.
set -eu
tree=$1 build=$2
rm -rf "$build"
mkdir -p "$build/pc"
cp "$(pkg-config --variable=pcfiledir libprotobuf-c)/libprotobuf-c.pc" "$build/pc"
PKG_CONFIG_LIBDIR=$build/pc PKG_CONFIG_PATH='' \
    "$CMAKE" -S "$tree" -B "$build/build" -G Ninja -DJOBLOG_ONLY_CRPC=ON -DCMAKE_DISABLE_FIND_PACKAGE_cmocka=ON
"$CMAKE" --build "$build/build" --target protoc-gen-crpc protoc-gen-crpc-messages
"$CMAKE" --build "$build/build" --target help | grep -q '^crpc_reflection:'
! "$CMAKE" --build "$build/build" --target help | grep '^joblog'
