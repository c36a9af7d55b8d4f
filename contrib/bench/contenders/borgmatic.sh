# shellcheck shell=bash
# borgmatic create; with an empty $actions all that a plain borgmatic does: create, prune, compact, check.
export NEEDS="borgmatic borg"
export BORG_PASSPHRASE=bench BORG_BASE_DIR="$HOMEDIR"
actions=${actions-create}
c_init() {
  cat >"$HOMEDIR/borgmatic.yaml" <<X
location:
    source_directories:
        - $SRC
    repositories:
        - $STORE/repo
storage:
    encryption_passphrase: bench
    archive_name_format: "a-{now:%Y-%m-%dT%H:%M:%S.%f}"
retention:
    keep_daily: 7
    prefix: "a-"
X
  borgmatic -c "$HOMEDIR/borgmatic.yaml" rcreate -e repokey
}
# shellcheck disable=SC2086 # none or one word
c_backup() { borgmatic -c "$HOMEDIR/borgmatic.yaml" $actions; }
c_restore() {
  mkdir -p "$RESTORE" && cd "$RESTORE" && borgmatic -c "$HOMEDIR/borgmatic.yaml" extract --archive latest
}
