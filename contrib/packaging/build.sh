#!/bin/bash
# build.sh DIR [ARCH...]: makes DIR/b1000_VERSION_ARCH.deb and
# DIR/b1000-VERSION.ARCH.rpm, for amd64 and arm64 where none is named. What is in
# them is what "make install" installs, and documentation and a configuration that
# does nothing. One commit gives the same bytes whenever and wherever it is built.
# VERSION and SOURCE_DATE_EPOCH are found out from git where they are not set.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$(mkdir -p "$1" && cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- amd64 arm64
here=contrib/packaging
umask 022

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
if [ -z "${VERSION:-}" ]; then
  tag=$(git describe --tags --match 'v[0-9]*' 2>/dev/null || true)
  if [ -n "$tag" ]; then
    VERSION=$(sed -E 's/^v//; s/-([0-9]+)-g/+\1.g/' <<<"$tag")
  else # later commits are higher versions
    VERSION=0.1.0+$(TZ=UTC date -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S).$(git rev-parse --short=8 HEAD)
  fi
fi
export SOURCE_DATE_EPOCH VERSION

nfpm=$PWD/.cache/nfpm-$(sed -n 's,.*goreleaser/nfpm/v2 ,,p' $here/nfpm/go.mod)
[ -x "$nfpm" ] || (cd $here/nfpm && CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -trimpath -o "$nfpm" github.com/goreleaser/nfpm/v2/cmd/nfpm)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# fits ARCH PROGRAM...: they are static, for that processor, and tell the version.
fits() {
  local arch=$1 program
  shift
  for program in "$@"; do
    if ! go version -m "$program" | grep -q "GOARCH=$arch\$" || ! grep -qaF "$VERSION" "$program"; then
      echo "$program is not of version $VERSION for $arch" >&2
      return 1
    fi
    if readelf -l "$program" | grep -q INTERP; then
      echo "$program is not linked statically" >&2
      return 1
    fi
  done
}

# stage ARCH DIR: what a package installs, as it will lie on the host.
stage() {
  make -s install GOOS=linux GOARCH="$1" BIN="$work/bin-$1" DESTDIR="$2" PREFIX=/usr VERSION="$VERSION"
  fits "$1" "$2"/usr/bin/* # the generator tells no version
  find "$2/usr/share/man" -type f -exec gzip -9n {} +
  local doc=$2/usr/share/doc/b1000
  install -D -m 644 -t "$doc" README.md
  install -D -m 644 LICENSE "$doc/copyright"
  gzip -9nc CHANGELOG.md >"$doc/changelog.gz"
  install -D -m 644 -t "$doc/examples" contrib/samples/*.cfg
  install -D -m 644 -t "$doc/prometheus" contrib/prometheus/b1000.rules.yml contrib/prometheus/b1000-storage.rules.yml
  install -D -m 644 -t "$doc/grafana" contrib/grafana/*.json
  install -D -m 644 -t "$doc" contrib/migration.md
  install -D -m 600 -t "$2/etc/b1000" $here/b1000.cfg
}

# contents DIR: the files below it in nfpm's notation.
contents() {
  local file mode type
  while IFS= read -r file; do
    mode=$(stat -c %a "$1/$file")
    type='file'
    case $file in etc/*) type='config|noreplace' ;; esac
    printf '  - {src: "%s", dst: "/%s", type: "%s", file_info: {mode: 0%s, owner: root, group: root}}\n' "$1/$file" "$file" "$type" "$mode"
  done < <(cd "$1" && find . -type f -printf '%P\n' | LC_ALL=C sort)
  printf '  - {dst: /etc/b1000/conf.d, type: dir, file_info: {mode: 0755}}\n'
}

# package KIND ARCH FILE
package() {
  local root=$work/$1-$2
  [ -d "$work/stage-$2" ] || stage "$2" "$work/stage-$2"
  cp -a "$work/stage-$2" "$root"
  if [ "$1" = deb ]; then # where Debian's zsh looks
    mkdir -p "$root/usr/share/zsh/vendor-completions"
    mv "$root"/usr/share/zsh/site-functions/* "$root/usr/share/zsh/vendor-completions/"
  fi
  { sed "s/@ARCH@/$2/; s/@VERSION@/$VERSION/; s,@HERE@,$PWD/$here," $here/nfpm.yaml; contents "$root"; } >"$work/$1-$2.yaml"
  "$nfpm" package --config "$work/$1-$2.yaml" --packager "$1" --target "$3" >/dev/null
  echo "$3"
}

for arch in "$@"; do
  case $arch in amd64) machine=x86_64 ;; arm64) machine=aarch64 ;; *) machine=$arch ;; esac
  package deb "$arch" "$out/b1000_${VERSION}_$arch.deb"
  package rpm "$arch" "$out/b1000-$VERSION.$machine.rpm"
done
