#!/bin/bash
# fresh.sh DIR: mount a new, empty ext4 at DIR/mnt: a sparse file on a loop
# device with direct I/O. "fresh.sh DIR off" takes it away. B1000_BENCH_FS=btrfs
# makes it a Btrfs.
#
# Runs must not share a filesystem: on one ext4, to delete a big tree and make a
# new one within five minutes is up to ten times slower, because ext4 looks at
# each inode that was freed a moment ago.
set -euo pipefail

dir=${1:?usage: fresh.sh DIR [off]}
mnt=$dir/mnt img=$dir/img

while mountpoint -q "$mnt"; do
  umount "$mnt" 2>/dev/null || umount -l "$mnt" # a server may still be on its way out
done
rm -f "$img"
[ "${2:-}" = off ] && exit

mkdir -p "$mnt"
truncate -s "${B1000_BENCH_SIZE:-32G}" "$img"
loop=$(losetup -f --show --direct-io=on "$img")
# From here on device and file belong to the mount: they go when it goes,
# whatever becomes of this script and its caller.
detach() {
  losetup -d "$loop"
  rm -f "$img"
}
trap detach EXIT
case ${B1000_BENCH_FS:-ext4} in
btrfs)
  mkfs.btrfs -q --nodiscard "$loop"
  mount "$loop" "$mnt"
  ;;
*)
  mkfs.ext4 -q -E nodiscard,lazy_itable_init=1,lazy_journal_init=1 -m 0 "$loop"
  mount -o noinit_itable "$loop" "$mnt"
  ;;
esac
