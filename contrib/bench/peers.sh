#!/bin/bash
# peers.sh DIR: build the contenders that Debian does not have in a current
# version, restic and kopia, into DIR from the Go module proxy. What is there
# already in the right version is kept. Needs go and, the first time, a network.
set -euo pipefail

RESTIC=v0.19.1
KOPIA=v0.22.3

dir=${1:?usage: peers.sh DIR}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

# build NAME MODULE VERSION PACKAGE: a scratch module that requires exactly that
# version, so that nothing of it reaches the go.mod of this project.
build() {
  local name=$1 module=$2 version=$3 package=$4 scratch
  if [ -x "$dir/$name" ] && [ "$(cat "$dir/$name.version" 2>/dev/null)" = "$version" ]; then
    echo "$name $version: already there"
    return
  fi
  scratch=$(mktemp -d)
  if (
    cd "$scratch"
    export GOFLAGS=-mod=mod GOWORK=off CGO_ENABLED=0
    go mod init peer && go mod edit -require "$module@$version" &&
      go build -trimpath -ldflags '-s -w' -o "$dir/$name.new" "$package"
  ) >"$scratch/log" 2>&1; then
    mv "$dir/$name.new" "$dir/$name"
    echo "$version" >"$dir/$name.version"
    echo "$name $version: built"
  else
    echo "$name $version: not built; the end of its output:" >&2
    tail -n 15 "$scratch/log" >&2
    failed=1
  fi
  rm -rf "$scratch"
}

failed=0
build restic github.com/restic/restic "$RESTIC" github.com/restic/restic/cmd/restic
build kopia github.com/kopia/kopia "$KOPIA" github.com/kopia/kopia
exit "$failed"
