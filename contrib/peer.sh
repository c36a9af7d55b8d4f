#!/bin/bash
# peer.sh DIR NAME MODULE VERSION PACKAGE: builds a program of others, in exactly
# that version, from the Go module proxy into DIR. One that is there already in
# that version is kept. Needs go and, the first time, a network.
set -euo pipefail

usage='usage: peer.sh DIR NAME MODULE VERSION PACKAGE'
dir=${1:?$usage} name=${2:?$usage} module=${3:?$usage} version=${4:?$usage} package=${5:?$usage}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
if [ -x "$dir/$name" ] && [ "$(cat "$dir/$name.version" 2>/dev/null)" = "$version" ]; then
  exit
fi
echo "building $name $version"
# A scratch module that requires exactly that version: nothing of it reaches the
# go.mod of this project.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if ! (
  cd "$scratch"
  export GOFLAGS=-mod=mod GOWORK=off CGO_ENABLED=0
  go mod init peer && go mod edit -require "$module@$version" &&
    nice go build -trimpath -ldflags '-s -w' -o "$dir/$name.new" "$package"
) >"$scratch/log" 2>&1; then
  echo "$name $version: not built; the end of its output:" >&2
  tail -n 15 "$scratch/log" >&2
  exit 1
fi
mv "$dir/$name.new" "$dir/$name"
echo "$version" >"$dir/$name.version"
