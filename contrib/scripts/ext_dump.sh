#!/bin/bash
# ext_dump.sh: prepares what another host fetches (a passive job): what is
# installed here, and the databases of each MySQL instance. It is put together
# beside the directory and takes its place when it is whole.
#   pre = $scripts_dir/ext_dump.sh
set -euo pipefail

dir=${B1000_EXT_DIR:-/srv/b1000/backup}
here=$(cd "$(dirname "$0")" && pwd)
umask 077
rm -rf "$dir.new" "$dir.old"
mkdir -p "$dir.new"
trap 'rm -rf "$dir.new"' EXIT

if command -v dpkg-query >/dev/null; then
  dpkg-query --show >"$dir.new/packages"
elif command -v rpm >/dev/null; then
  rpm --query --all >"$dir.new/packages"
fi
if [ -d "${B1000_MYSQL_DIR:-/etc/b1000/mysql}" ]; then
  instances=$("$here/mysql_get_instances.sh")
  for instance in $instances; do
    "$here/mysql_dump_instance.sh" "$instance" "$dir.new/mysql-$instance"
  done
fi

[ ! -e "$dir" ] || mv "$dir" "$dir.old"
mv "$dir.new" "$dir"
trap - EXIT
rm -rf "$dir.old"
