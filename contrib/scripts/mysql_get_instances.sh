#!/bin/bash
# mysql_get_instances.sh: the MySQL instances of this host, a line for each.
#   instances = $scripts_dir/mysql_get_instances.sh
set -euo pipefail
# shellcheck source=contrib/scripts/mysql_common.sh
. "$(dirname "$0")/mysql_common.sh"

if [ ! -d "$mysql_dir" ]; then
  query '' 'SELECT @@port'
  exit
fi
shopt -s nullglob
found=("$mysql_dir"/*.cnf)
[ ${#found[@]} -gt 0 ] || die "$mysql_dir holds no .cnf file"
for file in "${found[@]}"; do
  basename "$file" .cnf
done
