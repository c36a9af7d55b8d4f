#!/bin/bash
# mysql_get_master_instance.sh INSTANCE: the port of its master; its own port
# where it is no replica.
#   master_instance = $scripts_dir/mysql_get_master_instance.sh $instance
set -euo pipefail
# shellcheck source=contrib/scripts/mysql_common.sh
. "$(dirname "$0")/mysql_common.sh"

instance=${1:?usage: mysql_get_master_instance.sh INSTANCE}
status=$(replica "$instance")
port=$(field "$status" Master_Port Source_Port)
echo "${port:-$(query "$instance" 'SELECT @@port')}"
