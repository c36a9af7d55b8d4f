#!/bin/bash
# mysql_dump_instance.sh INSTANCE DIR: dumps each database of an instance into a
# file of its own in DIR, which is made, with views, triggers, routines and
# events; InnoDB tables as of one moment for each database. DIR has to be new or
# empty, and is removed again where a dump fails. A [stream:...] of type mariadb
# does the same without room for the dumps.
#   pre = $scripts_dir/mysql_dump_instance.sh $instance $backup_dir/$instance-$start_time
#   post = rm -rf $backup_dir/$instance-$start_time
#   include = $backup_dir/$instance-$start_time/*
set -euo pipefail
# shellcheck source=contrib/scripts/mysql_common.sh
. "$(dirname "$0")/mysql_common.sh"

[ $# -eq 2 ] || die "usage: mysql_dump_instance.sh INSTANCE DIR"
instance=$1 dir=$2
case $dir in /*) ;; *) die "$dir is not an absolute path" ;; esac
[ -z "$(ls -A "$dir" 2>/dev/null || true)" ] || die "$dir is not empty"
databases=$(query "$instance" "SELECT schema_name FROM information_schema.schemata
  WHERE schema_name NOT IN ('information_schema', 'performance_schema', 'sys') ORDER BY 1") || die "instance $instance cannot be asked"

umask 077
mkdir -p "$dir"
trap 'rm -rf "$dir"' EXIT
dump=$(program mariadb-dump mysqldump)
options "$instance"
while IFS= read -r db; do
  case $db in */* | .*) die "database $db: a file cannot have that name" ;; esac
  "$dump" "${client[@]}" --single-transaction --quick --routines --events --triggers --hex-blob --comments \
    --result-file="$dir/$db.sql" --databases -- "$db" || die "database $db cannot be dumped"
  tail -c 200 "$dir/$db.sql" | grep -q '^-- Dump completed' || die "database $db: its dump is not complete"
done <<<"$databases"
trap - EXIT
