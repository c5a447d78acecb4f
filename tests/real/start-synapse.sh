#!/usr/bin/env bash
# A real Matrix Synapse on 127.0.0.1: SQLite, no federation, generous rate limits. Users bot and
# alice (password secret) are registered; `slow` is one whose messages the server limits.
#
# SYNAPSE_PORT     port (default 9508)
# SYNAPSE_VERSION  which release (default 1.163.2)
# SYNAPSE_KEEP=1   keeps the data of an earlier start
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=lib.sh
source "$here/lib.sh"
need python3 curl

name=synapse
version="${SYNAPSE_VERSION:-1.163.2}"
port="${SYNAPSE_PORT:-9508}"
if pid=$(live_pid "$name"); then
  say "$name already runs (pid $pid)"
  exit 0
fi
venv="$PARTS_CACHE/synapse-$version"
if [[ ! -f $venv/.ok ]]; then
  say "installing matrix-synapse $version"
  rm -rf "$venv"
  python3 -m venv "$venv"
  if ! "$venv/bin/pip" install -q --disable-pip-version-check "matrix-synapse==$version" >"$PARTS_RUN/$name-pip.log" 2>&1; then
    tail "$PARTS_RUN/$name-pip.log" >&2
    die "pip could not install matrix-synapse"
  fi
  touch "$venv/.ok"
fi
port_free "$port"
dir="$PARTS_RUN/$name"
[[ ${SYNAPSE_KEEP:-0} == 1 ]] || rm -rf "$dir"
mkdir -p "$dir"
fresh=0
[[ -s $dir/homeserver.db ]] || fresh=1
big='{per_second: 10000, burst_count: 10000}'
cat >"$dir/homeserver.yaml" <<CONF
server_name: localhost
pid_file: $dir/homeserver.pid
public_baseurl: http://127.0.0.1:$port/
listeners:
- {port: $port, type: http, tls: false, bind_addresses: ['127.0.0.1'], resources: [{names: [client], compress: false}]}
database: {name: sqlite3, args: {database: $dir/homeserver.db}}
log_config: $dir/log.yaml
media_store_path: $dir/media
signing_key_path: $dir/signing.key
report_stats: false
trusted_key_servers: []
federation_domain_whitelist: []
enable_registration: false
registration_shared_secret: for-tests-only
macaroon_secret_key: for-tests-only
form_secret: for-tests-only
bcrypt_rounds: 4
rc_message: {per_second: 0.5, burst_count: 5}
rc_registration: $big
rc_login: {address: $big, account: $big, failed_attempts: $big}
rc_joins: {local: $big, remote: $big}
rc_invites: {per_room: $big, per_user: $big, per_issuer: $big}
CONF
cat >"$dir/log.yaml" <<'CONF'
version: 1
formatters: {p: {format: '%(asctime)s %(levelname)s %(name)s %(message)s'}}
handlers: {c: {class: logging.StreamHandler, formatter: p}}
root: {level: WARNING, handlers: [c]}
disable_existing_loggers: false
CONF
[[ -s $dir/signing.key ]] ||
  (cd "$dir" && "$venv/bin/python" -m synapse.app.homeserver -c homeserver.yaml --generate-keys >/dev/null 2>&1)
spawn "$name" "$venv/bin/python" -m synapse.app.homeserver -c "$dir/homeserver.yaml"
answers() { curl -fsS -o /dev/null --max-time 2 "http://127.0.0.1:$port/health"; }
wait_ready "$name" 90 answers
if ((fresh)); then
  for user in bot alice slow; do
    flag=--no-admin
    # An administrator may lift the rate limits of others.
    [[ $user != alice ]] || flag=--admin
    "$venv/bin/register_new_matrix_user" -u "$user" -p secret "$flag" -c "$dir/homeserver.yaml" \
      "http://127.0.0.1:$port" >/dev/null
  done
fi
say "$name $version: http://127.0.0.1:$port, users bot, slow, and alice who is administrator, password secret"
