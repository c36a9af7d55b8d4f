#!/bin/bash
# mongodb.sh DIR: puts mongodump, mongorestore and ferretdb into DIR, for the
# tests: Debian has none of them. They are built from the Go module proxy, once;
# it takes some minutes. FerretDB stands in for a MongoDB server; it keeps its
# data in SQLite.
set -euo pipefail
tools=github.com/mongodb/mongo-tools@v0.0.0-20221102190735-6d9d341edd33
ferretdb=github.com/FerretDB/FerretDB@v1.24.2

dir=${1:?usage: mongodb.sh DIR}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
exec 9>"$dir/.lock"
flock 9
stamp="$tools $ferretdb $(go env GOVERSION)"
[ "$(cat "$dir/.built" 2>/dev/null)" = "$stamp" ] && exit

echo "building mongodump, mongorestore and ferretdb, some minutes"
scratch=$(mktemp -d)
trap 'chmod -R u+w "$scratch"; rm -rf "$scratch"' EXIT
export CGO_ENABLED=0 GOFLAGS=-mod=mod GOWORK=off

# In a module of their own, so that nothing of them reaches ours.
mkdir "$scratch/tools"
cd "$scratch/tools"
go mod init tools 2>/dev/null
go mod edit -require "$tools"
for program in mongodump mongorestore; do
  nice go build -trimpath -ldflags '-s -w' -o "$dir/$program" "${tools%@*}/$program/main"
done

# The module lacks build/version/version.txt, without which FerretDB does not start.
mkdir "$scratch/ferretdb"
cd "$scratch/ferretdb"
go mod init ferretdb 2>/dev/null
source=$(go mod download -json "$ferretdb" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
cp -r "$source" "$scratch/source"
chmod -R u+w "$scratch/source"
echo "${ferretdb#*@}" >"$scratch/source/build/version/version.txt"
go mod edit -require "$ferretdb" -replace "${ferretdb%@*}=$scratch/source"
nice go build -trimpath -ldflags '-s -w' -o "$dir/ferretdb" "${ferretdb%@*}/cmd/ferretdb"

echo "$stamp" >"$dir/.built"
