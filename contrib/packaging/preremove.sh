#!/bin/sh
# Run before the files go: by dpkg as "prerm remove" (or upgrade, or deconfigure),
# by rpm with the number of versions that will be left.
set -e
case "$1" in remove | 0) ;; *) exit 0 ;; esac
[ -d /run/systemd/system ] || exit 0
# First what starts runs, then the runs: they end what they have begun and run the
# job's post.
systemctl stop 'b1000@*.timer' 'b1000-*.socket' || true
systemctl stop 'b1000@*.service' 'b1000-*.service' || true
