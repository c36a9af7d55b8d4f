#!/bin/bash
# mysql_get_master_host.sh INSTANCE: the host of its master; this host where it
# is no replica.
#   master_host = $scripts_dir/mysql_get_master_host.sh $instance
set -euo pipefail
# shellcheck source=contrib/scripts/mysql_common.sh
. "$(dirname "$0")/mysql_common.sh"

instance=${1:?usage: mysql_get_master_host.sh INSTANCE}
status=$(replica "$instance")
host=$(field "$status" Master_Host Source_Host)
echo "${host:-$(hostname)}"
