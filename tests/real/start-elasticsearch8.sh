#!/usr/bin/env bash
# The core of a real Elasticsearch 8 on 127.0.0.1. Only the server and its HTTP module are
# published as jars, so there is no GET /, no x-pack, no painless, no reindex. Search, bulk,
# aggregations, templates and aliases are the real thing. It can be run again; data is wiped.
#
# ES8_PORT  HTTP port        (default 9240; the transport port is 100 above)
# ES8_HEAP  heap of the JVM  (default 512m)
# Needs java and javac 17 or newer, mvn, curl, unzip.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=lib.sh
source "$here/lib.sh"

version=8.19.21
port="${ES8_PORT:-9240}"
transport=$((port + 100))
heap="${ES8_HEAP:-512m}"
name=elasticsearch8

if pid=$(live_pid "$name"); then
  say "$name already runs (pid $pid)"
  exit 0
fi
need java javac curl unzip
dir="$PARTS_CACHE/elasticsearch8-$version"
# log4j-core must be of the version of the log4j-api that the server brings.
maven_libs "$dir" "org.elasticsearch:elasticsearch:$version" \
  "org.elasticsearch.plugin:transport-netty4:$version" \
  org.apache.logging.log4j:log4j-core:2.26.1
module="$dir/modules/transport-netty4"
if [[ ! -f $dir/.modules ]]; then
  # As in a distribution: the module's jars in a folder of its own, off the class path.
  mkdir -p "$module"
  for file in plugin-descriptor.properties entitlement-policy.yaml; do
    unzip -p "$dir/lib/transport-netty4-$version.jar" "META-INF/es-plugins/transport-netty4/$file" >"$module/$file"
  done
  sed -i '/^modulename/d' "$module/plugin-descriptor.properties" # loaded as a plain class path
  mv "$dir"/lib/transport-netty4* "$dir"/lib/netty* "$module/"
  touch "$dir/.modules"
fi
compile "$dir" "$dir/lib" Elasticsearch8Main
port_free "$port" "$transport"
rm -rf "${PARTS_RUN:?}/$name"
spawn "$name" java "-Xms$heap" "-Xmx$heap" -XX:+UseSerialGC -cp "$dir/classes:$dir/lib/*" \
  Elasticsearch8Main "$PARTS_RUN/$name" "$name" "$port" "$transport" "$dir/modules"
wait_ready "$name" 120 curl -fsS --max-time 5 \
  "http://127.0.0.1:$port/_cluster/health?wait_for_status=yellow&timeout=1s"
say "$name $version: http://127.0.0.1:$port"
