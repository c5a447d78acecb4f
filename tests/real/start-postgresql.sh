#!/usr/bin/env bash
# A real PostgreSQL on 127.0.0.1: the installed one, or else Debian's package, unpacked and not
# installed. It can be run again; data is wiped at each start. It never runs as root: started by
# root, it runs as postgres or nobody. User whorl, password whorl, database whorl; user keeper, password
# `p@ss:w/rd`, who has to prove it by SCRAM-SHA-256 and owns the database keeper.
#
# POSTGRES_PORT    port (default 9432)
# POSTGRES_UNPACK=1  takes the unpacked package even when one is installed
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=lib.sh
source "$here/lib.sh"

port="${POSTGRES_PORT:-9432}"
name=postgresql

# installed: the folder of the newest installed server's programs.
installed() {
  [[ ${POSTGRES_UNPACK:-0} == 1 ]] && return 1
  local found
  found="$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -n 1)"
  [[ -n $found ]] || found="$(command -v initdb)" || return 1
  dirname "$(readlink -f "$found")"
}

# unpacked: the same from Debian's packages, with the libraries that a bare system lacks.
unpacked() {
  need apt-get apt-cache dpkg-deb
  local dir="$PARTS_CACHE/postgresql" server package
  if [[ ! -f $dir/.ok ]]; then
    rm -rf "$dir"
    mkdir -p "$dir"
    server="$(apt-cache depends postgresql 2>/dev/null | awk '/Depends: postgresql-[0-9]/ {print $2; exit}')"
    if [[ -z $server ]]; then
      apt-get update >"$dir/apt.log" 2>&1 || true
      server="$(apt-cache depends postgresql | awk '/Depends: postgresql-[0-9]/ {print $2; exit}')"
    fi
    [[ -n $server ]] || die "no package postgresql"
    say "fetching $server into $dir" >&2
    # Its own dependencies that are libraries; those of the system are there already or come too.
    mapfile -t packages < <(apt-cache depends "$server" | awk '/ Depends: lib/ {print $2}' | grep -v '^libc6$')
    (cd "$dir" && apt-get download "$server" "${server/postgresql/postgresql-client}" "${packages[@]}" >apt.log 2>&1) ||
      die "apt-get download failed: $(tail -n 1 "$dir/apt.log")"
    for package in "$dir"/*.deb; do dpkg-deb -x "$package" "$dir/root"; done
    touch "$dir/.ok"
  fi
  dirname "$(compgen -G "$dir/root/usr/lib/postgresql/*/bin/initdb")"
}

if pid=$(live_pid "$name"); then
  say "$name already runs (pid $pid)"
  exit 0
fi
bin="$(installed)" || bin="$(unpacked)" || die "no PostgreSQL"
port_free "$port"
as=()
data="$PARTS_RUN/$name"
if ((EUID == 0)); then
  need setpriv
  user=nobody
  getent passwd postgres >/dev/null && user=postgres
  group="$(id -gn "$user")"
  as=(setpriv "--reuid=$user" "--regid=$group" --clear-groups)
  # The run folder may lie where that user cannot go.
  "${as[@]}" test -x "$PARTS_RUN" || data="${TMPDIR:-/tmp}/whorl-$name-$port"
fi
if [[ $bin == "$PARTS_CACHE"/* ]]; then
  libraries="$(find "$PARTS_CACHE/postgresql/root/usr/lib" -maxdepth 1 -name '*-linux-gnu*' | head -n 1)"
  as+=(env "LD_LIBRARY_PATH=$libraries")
fi
rm -rf "$data"
mkdir -p "$data"
printf 'whorl\n' >"$data/password"
((EUID != 0)) || chown -R "$user" "$data"
if ! "${as[@]}" "$bin/initdb" -D "$data/db" -U whorl --pwfile="$data/password" -A scram-sha-256 \
  -E UTF8 --locale=C --no-sync >"$PARTS_RUN/$name-initdb.log" 2>&1; then
  tail -n 20 "$PARTS_RUN/$name-initdb.log" >&2
  die "initdb failed"
fi
# The first line that fits decides: this user never gets in by anything weaker.
sed -i '1i host all keeper 127.0.0.1/32 scram-sha-256' "$data/db/pg_hba.conf"
# Tests need no promise that a power cut loses nothing.
spawn "$name" "${as[@]}" "$bin/postgres" -D "$data/db" -h 127.0.0.1 -p "$port" -k "$data" -c fsync=off
psql() { PGPASSWORD=whorl "${as[@]}" "$bin/psql" -h 127.0.0.1 -p "$port" -U whorl -d postgres -qAtc "$1"; }
wait_ready "$name" 60 psql 'select 1'
psql 'create database whorl'
psql "set password_encryption = 'scram-sha-256'; create role keeper login password 'p@ss:w/rd'"
psql 'create database keeper owner keeper'
say "$name: postgres://whorl:whorl@127.0.0.1:$port/whorl"
