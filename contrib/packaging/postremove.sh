#!/bin/sh
# Run after the files are gone: by dpkg as "postrm remove" and later, if wanted,
# "postrm purge"; by rpm with the number of versions that are left.
set -e
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || true
  case "$1" in
  remove | 0)
    journalctl --update-catalog >/dev/null 2>&1 || true
    # Units that failed are no news of a package that is gone.
    systemctl reset-failed 'b1000*' 2>/dev/null || true
    ;;
  esac
fi
# Sockets that were enabled: links to nothing now. Debian keeps them until the
# purge, for a package that comes back.
case "$1" in purge | 0) rm -f /etc/systemd/system/sockets.target.wants/b1000-*.socket ;; esac
[ "$1" = purge ] || exit 0

# What says what is to be done, and what the programs have noted; b1000.cfg itself
# is dpkg's to remove.
rm -rf /etc/b1000/conf.d /var/lib/b1000/status
rm -f /var/lib/b1000/reports.db /var/lib/b1000/reports.db-* /var/lib/systemd/timers/stamp-b1000@*.timer
# Nothing else: backups, wherever they are, and the passwords and keys without
# which some of them cannot be read.
for dir in /etc/b1000 /var/lib/b1000; do
  [ -d "$dir" ] || continue
  rmdir "$dir" 2>/dev/null || echo "b1000: $dir is not empty, and what is in there is left" >&2
done
