#!/bin/sh
# build_pkg_config.sh PROJECT PREFIX BUILD: as a user of a makefile would, with crpc installed in PREFIX. CC and CFLAGS
# come from the environment.
set -eu
project=$1 prefix=$2 build=$3
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name crpc.pc)")
export PKG_CONFIG_PATH
rm -rf "$build"
mkdir -p "$build"
cd "$build"
protoc -I"$project" \
    --plugin=protoc-gen-crpc="$(pkg-config --variable=protoc_gen_crpc crpc)" --crpc_out=. \
    --plugin=protoc-gen-crpc-messages="$(pkg-config --variable=protoc_gen_crpc_messages crpc)" --crpc-messages_out=. \
    greet.proto
# shellcheck disable=SC2046,SC2086
$CC $CFLAGS -I. -o greeter "$project/main.c" greet.pb-c.c greet.crpc.c $(pkg-config --cflags --libs crpc)
./greeter
