#!/usr/bin/env bash
# A real ngIRCd on 127.0.0.1, from Debian's package, unpacked and not installed: plain and TLS with
# a certificate of its own. It knows no SASL: see start-inspircd.sh. It can be run again.
# $PARTS_RUN/ngircd holds cert.pem, and `program`, by which tests start servers of their own.
#
# NGIRCD_PORT      plain port (default 9667)
# NGIRCD_TLS_PORT  TLS port   (default 9697)
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=lib.sh
source "$here/lib.sh"

port="${NGIRCD_PORT:-9667}"
tls="${NGIRCD_TLS_PORT:-9697}"
name=ngircd

if pid=$(live_pid "$name"); then
  say "$name already runs (pid $pid)"
  exit 0
fi
deb_unpack "$PARTS_CACHE/ngircd" ngircd libident
unpacked="$PARTS_CACHE/ngircd/root"
port_free "$port" "$tls"
dir="$PARTS_RUN/$name"
rm -rf "$dir"
certificate "$dir"
chmod 644 "$dir/key.pem" # read after root's rights are dropped
libraries="$(dirname "$(find "$unpacked" -name 'libident.so*' | head -n 1)")"
printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s/usr/sbin/ngircd" "$@"\n' "$libraries" "$unpacked" >"$dir/program"
chmod 755 "$dir/program"
cat >"$dir/ngircd.conf" <<CONF
[Global]
  Name = irc.example.test
  Info = test server
  Listen = 127.0.0.1
  Ports = $port
  ServerUID = $(id -u nobody)
  ServerGID = $(id -g nobody)
[Limits]
  MaxConnections = 200
  MaxConnectionsIP = 0
  MaxJoins = 0
  MaxNickLength = 30
[Options]
  DNS = no
  Ident = no
  PAM = no
[SSL]
  Ports = $tls
  CertFile = $dir/cert.pem
  KeyFile = $dir/key.pem
CONF
spawn "$name" "$dir/program" --nodaemon --config "$dir/ngircd.conf"
ready() { listens "$port" && listens "$tls"; }
wait_ready "$name" 20 ready
say "$name: plain 127.0.0.1:$port, TLS localhost:$tls, authority $dir/cert.pem"
