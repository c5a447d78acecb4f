#!/usr/bin/env bash
# A real Mosquitto on 127.0.0.1, from Debian's package, unpacked and not installed: plain for anybody,
# and TLS with an account (user ci, password secret). It can be run again.
# $PARTS_RUN/mosquitto holds cert.pem, passwords, and `program`, by which tests start brokers of their own.
#
# MOSQUITTO_PORT      plain port (default 1884)
# MOSQUITTO_TLS_PORT  TLS port   (default 8884)
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=lib.sh
source "$here/lib.sh"

port="${MOSQUITTO_PORT:-1884}"
tls="${MOSQUITTO_TLS_PORT:-8884}"
name=mosquitto

if pid=$(live_pid "$name"); then
  say "$name already runs (pid $pid)"
  exit 0
fi
deb_unpack "$PARTS_CACHE/mosquitto" mosquitto libmosquitto1 libcjson1 libdlt2 libwrap0 libwebsockets17 libuv1 libev4
unpacked="$PARTS_CACHE/mosquitto/root"
port_free "$port" "$tls"
dir="$PARTS_RUN/$name"
rm -rf "$dir"
certificate "$dir"
libraries="$(find "$unpacked" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)"
for tool in program:sbin/mosquitto passwd:bin/mosquitto_passwd; do
  printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s/usr/%s" "$@"\n' "$libraries" "$unpacked" "${tool#*:}" >"$dir/${tool%%:*}"
  chmod 755 "$dir/${tool%%:*}"
done
"$dir/passwd" -b -c "$dir/passwords" ci secret
# As root it would become its own user, whom an unpacked package does not make.
{
  ((EUID != 0)) || printf 'user root\n'
  cat <<CONF
per_listener_settings true
listener $port 127.0.0.1
allow_anonymous true
listener $tls 127.0.0.1
allow_anonymous false
password_file $dir/passwords
certfile $dir/cert.pem
keyfile $dir/key.pem
CONF
} >"$dir/mosquitto.conf"
spawn "$name" "$dir/program" -c "$dir/mosquitto.conf"
ready() { listens "$port" && listens "$tls"; }
wait_ready "$name" 20 ready
say "$name: plain 127.0.0.1:$port, TLS localhost:$tls, authority $dir/cert.pem"
