# mysql_common.sh: what the mysql_*.sh scripts share; it is sourced by them.
#
# An instance is an option file of MySQL, /etc/b1000/mysql/INSTANCE.cnf (or in
# the directory that B1000_MYSQL_DIR names), mode 0600, such as
#
#   [client]
#   socket = /run/mysqld/3307.sock
#   user = backup
#   password = ...
#
# Where there is no such directory, the one instance is the server that the
# client finds by itself, named after its port.
# shellcheck shell=bash

mysql_dir=${B1000_MYSQL_DIR:-/etc/b1000/mysql}

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# program NAME OTHER: the first of two programs that is there.
program() {
  command -v "$1" || command -v "$2" || die "neither $1 nor $2 is installed"
}

# options INSTANCE: sets the array client to the client's options for it.
options() {
  client=(--default-character-set=utf8mb4)
  [ -d "$mysql_dir" ] || return 0
  case $1 in '' | *[!-_.A-Za-z0-9]* | [-_.]*) die "\"$1\" is not the name of an instance" ;; esac
  [ -f "$mysql_dir/$1.cnf" ] || die "no instance $1: $mysql_dir/$1.cnf is not there"
  client=("--defaults-file=$mysql_dir/$1.cnf" "${client[@]}")
}

# query INSTANCE STATEMENT [OPTION...]: what the server answers, a line for each row.
query() {
  local instance=$1 statement=$2 mysql
  shift 2
  mysql=$(program mariadb mysql)
  options "$instance"
  "$mysql" "${client[@]}" --batch --skip-column-names --connect-timeout=20 "$@" --execute="$statement"
}

# replica INSTANCE: the status of replication as "Name: value" lines; nothing
# where the server is no replica.
replica() {
  local status
  status=$(query "$1" 'SHOW SLAVE STATUS' --vertical --column-names 2>/dev/null) ||
    status=$(query "$1" 'SHOW REPLICA STATUS' --vertical --column-names) ||
    die "instance $1: the state of its replication cannot be asked for"
  printf '%s\n' "$status"
}

# field STATUS NAME...: the value of the first of the names that is there.
field() {
  local status=$1 name value
  shift
  for name in "$@"; do
    value=$(sed -n "s/^ *$name: //p" <<<"$status")
    [ -z "$value" ] || { printf '%s\n' "$value"; return; }
  done
}
