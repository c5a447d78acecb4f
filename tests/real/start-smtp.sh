#!/usr/bin/env bash
# A real SMTP receiver (aiosmtpd) on 127.0.0.1: every mail lands as a file in the maildir
# $PARTS_RUN/smtp/mail/new. Three ports: SMTP_PORT plain; the next STARTTLS with login whorl, password
# right-password; the next TLS. Their certificate is $PARTS_RUN/smtp/cert.pem, for localhost.
#
# SMTP_PORT         first port (default 9525)
# AIOSMTPD_VERSION  which release (default 1.4.6)
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=lib.sh
source "$here/lib.sh"
need python3 openssl

name=smtp
version="${AIOSMTPD_VERSION:-1.4.6}"
port="${SMTP_PORT:-9525}"
if pid=$(live_pid "$name"); then
  say "$name already runs (pid $pid)"
  exit 0
fi
venv="$PARTS_CACHE/aiosmtpd-$version"
if [[ ! -f $venv/.ok ]]; then
  say "installing aiosmtpd $version"
  rm -rf "$venv"
  python3 -m venv "$venv"
  if ! "$venv/bin/pip" install -q --disable-pip-version-check "aiosmtpd==$version" >"$PARTS_RUN/$name-pip.log" 2>&1; then
    tail "$PARTS_RUN/$name-pip.log" >&2
    die "pip could not install aiosmtpd"
  fi
  touch "$venv/.ok"
fi
port_free "$port" "$((port + 1))" "$((port + 2))"
dir="$PARTS_RUN/$name"
rm -rf "$dir"
mkdir -p "$dir"
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE \
  -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>"$dir/openssl.log" || die "openssl made no certificate"
spawn "$name" "$venv/bin/python" "$here/smtp_sink.py" "$port" "$dir"
answers() {
  local n line
  for n in 0 1; do
    exec 3<>"/dev/tcp/127.0.0.1/$((port + n))" && read -r line <&3 && exec 3>&- && [[ $line == 220* ]] || return 1
  done
}
wait_ready "$name" 20 answers
say "$name: 127.0.0.1:$port to $((port + 2)), mail in $dir/mail/new"
