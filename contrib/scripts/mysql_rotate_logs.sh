#!/bin/bash
# mysql_rotate_logs.sh [INSTANCE...]: begins a new binary log, so that the ones
# before are whole; of all instances where none is named.
#   pre = $scripts_dir/mysql_rotate_logs.sh
set -euo pipefail
# shellcheck source=contrib/scripts/mysql_common.sh
. "$(dirname "$0")/mysql_common.sh"

if [ $# -eq 0 ]; then
  found=$("$(dirname "$0")/mysql_get_instances.sh")
  mapfile -t instances <<<"$found"
  set -- "${instances[@]}"
fi
for instance in "$@"; do
  [ "$(query "$instance" 'SELECT @@log_bin')" = 1 ] || die "instance $instance writes no binary log"
  query "$instance" 'FLUSH BINARY LOGS'
  echo "instance $instance: $(query "$instance" 'SHOW BINARY LOGS' | tail -n 1 | cut -f 1)"
done
