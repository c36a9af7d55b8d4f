#!/bin/sh
# Run after the files are there: by dpkg as "postinst configure [OLD VERSION]", by
# rpm with the number of versions that are installed now.
set -e
case "$1" in configure | abort-* | [0-9]*) ;; *) exit 0 ;; esac

# The configuration is the owner's business, whatever umask the package met.
chmod 600 /etc/b1000/b1000.cfg 2>/dev/null || true

if [ -x "$(command -v systemd-sysusers)" ] && [ -e /usr/lib/sysusers.d/b1000.conf ]; then
  systemd-sysusers b1000.conf
fi
if [ -x "$(command -v systemd-tmpfiles)" ]; then
  systemd-tmpfiles --create b1000.conf || true
fi
[ -d /run/systemd/system ] || exit 0
journalctl --update-catalog >/dev/null 2>&1 || true
systemctl daemon-reload || true
# A storage server of the old version would stay for ever. Clients that it breaks
# off try again.
systemctl try-restart b1000-storage.service || true
# Timers and sockets that the configuration asks for, after an upgrade and where
# the configuration was here before. Runs and connections of the old version go
# on; a new one begins with the next. What the configuration has at fault is told
# and is no reason for the package to fail.
b1000ctl reload || echo "b1000: see what is the matter by: b1000ctl check" >&2
