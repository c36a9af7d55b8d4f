#!/bin/bash
# run.sh [--quick] [--million] [--strict] [--server] …: measure b1000 beside rsync,
# rsnapshot, restic, kopia and borg, and hold the figures against our goals (README.md).
# With --server it is the storage server, beside rsync by other ways.
#
# Builds go to $B1000_BENCH_DIR (default /var/tmp/b1000-bench); that directory also
# holds the trees that are backed up, the logs, and the filesystem that is made
# anew for every cycle, on a loop device. Needs root and about 15 GiB there.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${B1000_BENCH_DIR:-/var/tmp/b1000-bench}

case " $* " in *" -h "* | *" --help "*) exec python3 "$here/bench.py" --dir "$dir" --help ;; esac
if [ "$(id -u)" != 0 ]; then
  echo "run.sh: only root can mount the filesystem that is measured on" >&2
  exit 2
fi
# In a mount namespace of our own the filesystem goes with the last of us, even
# after a kill -9.
if [ -z "${B1000_BENCH_NAMESPACE:-}" ]; then
  exec env B1000_BENCH_NAMESPACE=1 unshare --mount --propagation private "$here/run.sh" "$@"
fi

mkdir -p "$dir/bin"
dir=$(cd "$dir" && pwd)
exec 9>"$dir/lock"
if ! flock -n 9; then
  echo "run.sh: another run is using $dir" >&2
  exit 2
fi
trap '"$here/fresh.sh" "$dir" off' EXIT

for program in b1000 b1000ctl b1000d; do
  rm -f "$dir/bin/$program"
  (cd "$here/../.." && CGO_ENABLED=0 go build -trimpath -o "$dir/bin/$program" "./cmd/$program") ||
    echo "run.sh: $program does not build" >&2
done
case " $* " in
*" --quick "* | *" --server "*) ;; # building them takes longer than a try-out may, or is for nothing
*) "$here/peers.sh" "$dir/bin" || echo "run.sh: not every peer is there" >&2 ;;
esac

python3 "$here/bench.py" --dir "$dir" "$@" 9>&-
