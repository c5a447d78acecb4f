#!/usr/bin/env bash
# Real Gerrit on 127.0.0.1. It can be run again; data is wiped at each start but with GERRIT_KEEP=1.
# Made ready for tests: admin (HTTP password "secret", ssh key $PARTS_RUN/gerrit-admin-key), the
# service users "ci" and "whorl" (same password, keys gerrit-ci-key and gerrit-whorl-key) that may
# stream events, and a label Verified that registered users may vote.
#
# GERRIT_VERSION, GERRIT_PORT (HTTP), GERRIT_SSH_PORT, GERRIT_HEAP
# GERRIT_KEEP=1  keeps the data of the last start
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=lib.sh
source "$here/lib.sh"
need java curl git ssh-keygen jq

version="${GERRIT_VERSION:-3.9.4}"
port="${GERRIT_PORT:-17240}"
sshport="${GERRIT_SSH_PORT:-$((port + 1))}"
heap="${GERRIT_HEAP:-384m}"
name=gerrit
base="http://127.0.0.1:$port"
site="$PARTS_RUN/$name"

if pid=$(live_pid "$name"); then
  say "$name already runs (pid $pid)"
  exit 0
fi
war="$PARTS_CACHE/gerrit-war-$version.war"
[[ -s $war ]] || maven_file "$PARTS_CACHE" "com.google.gerrit:gerrit-war:$version:war"
port_free "$port" "$sshport"
export GERRIT_TMP="$PARTS_CACHE/gerrit-tmp" # the launcher unpacks the war there
# An empty home, so that no key of the person is taken for the admin.
home="$PARTS_RUN/$name-home"
mkdir -p "$GERRIT_TMP" "$home"

[[ ${GERRIT_KEEP:-0} == 1 ]] || rm -rf "$site"
fresh=0
if [[ ! -d $site/git/All-Projects.git ]]; then
  fresh=1
  if ! HOME="$home" java "-Xmx$heap" -jar "$war" init --batch --dev --no-auto-start -d "$site" \
    >"$PARTS_RUN/$name-init.log" 2>&1; then
    tail -n 20 "$PARTS_RUN/$name-init.log" >&2
    die "init of Gerrit failed"
  fi
fi
cfg() { git config -f "$site/etc/gerrit.config" "$@"; }
cfg gerrit.canonicalWebUrl "$base/"
cfg httpd.listenUrl "http://127.0.0.1:$port/"
cfg sshd.listenAddress "127.0.0.1:$sshport"
cfg sendemail.enable false
cfg --replace-all download.scheme http
cfg --add download.scheme ssh

spawn "$name" env HOME="$home" java "-Xmx$heap" -XX:+UseSerialGC -jar "$war" daemon --console-log -d "$site"
ready() { curl -fsS -m 5 "$base/config/server/version" && (exec 3<>"/dev/tcp/127.0.0.1/$sshport"); }
wait_ready "$name" 180 ready
((fresh)) || exit 0

# Accounts and rights, over the public REST API. Half a set-up is none.
set -E
trap 'say "setting up Gerrit failed"; stop_part "$name"; rm -rf "$site"' ERR
api() { # METHOD PATH JSON: as admin; fails on an answer that is not 2xx
  curl -fsS -m 60 -u admin:secret -X "$1" "$base/a$2" -H 'content-type: application/json' ${3+-d "$3"} | sed "1{/^)]}'/d}"
}
for who in admin ci whorl; do
  rm -f "$PARTS_RUN/$name-$who-key" "$PARTS_RUN/$name-$who-key.pub"
  ssh-keygen -q -t ed25519 -N '' -C "$who@example.com" -f "$PARTS_RUN/$name-$who-key"
done
curl -fsS -m 60 -u admin:secret -X POST "$base/a/accounts/self/sshkeys" \
  -H 'content-type: text/plain' --data-binary "@$PARTS_RUN/$name-admin-key.pub" >/dev/null
for who in ci whorl; do
  api PUT "/accounts/$who" "$(jq -n --arg who "$who" --rawfile key "$PARTS_RUN/$name-$who-key.pub" \
    '{name: $who, email: ($who + "@example.com"), http_password: "secret",
      ssh_key: ($key | rtrimstr("\n")), groups: ["Service Users"]}')" >/dev/null
done
api PUT /projects/All-Projects/labels/Verified \
  '{"values":{" 0":"No score","-1":"Fails","+1":"Verified"},"function":"NoBlock"}' >/dev/null
service="$(api GET "/groups/Service%20Users" | jq -r .id)"
api POST /projects/All-Projects/access "$(jq -n --arg service "$service" '{add: {
  "refs/heads/*": {permissions: {"label-Verified": {label: "Verified",
    rules: {"global:Registered-Users": {action: "ALLOW", min: -1, max: 1}}}}},
  "GLOBAL_CAPABILITIES": {permissions: {"streamEvents": {rules: {($service): {action: "ALLOW"}}}}}}}')" >/dev/null
say "$name $version: $base (admin, ci, whorl with password secret), ssh port $sshport"
