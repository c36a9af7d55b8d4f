#!/bin/bash
# mysql_get_slave_delay.sh INSTANCE: how many seconds a replica is behind its
# master; 0 for a server that is no replica. One that does not replicate, whose
# age nobody knows, is an error.
#   data_age = $scripts_dir/mysql_get_slave_delay.sh $instance
set -euo pipefail
# shellcheck source=contrib/scripts/mysql_common.sh
. "$(dirname "$0")/mysql_common.sh"

instance=${1:?usage: mysql_get_slave_delay.sh INSTANCE}
status=$(replica "$instance")
if [ -z "$status" ]; then
  echo 0
  exit
fi
delay=$(field "$status" Seconds_Behind_Master Seconds_Behind_Source)
case $delay in
'' | *[!0-9]*) die "instance $instance does not replicate: $(field "$status" Last_IO_Error Last_SQL_Error || true)" ;;
esac
echo "$delay"
