#!/usr/bin/env bash
# A real Elasticsearch 7.17 node on 127.0.0.1, from the published jars: no x-pack, no painless,
# of the analysers those of the server's own jar. It can be run again; data is wiped at each start.
#
# ELASTICSEARCH_PORT  HTTP port        (default 9220; the transport port is 100 above)
# ELASTICSEARCH_HEAP  heap of the JVM  (default 512m)
# Needs java and javac 11 or newer, mvn, curl.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=lib.sh
source "$here/lib.sh"

version=7.17.29
port="${ELASTICSEARCH_PORT:-9220}"
transport=$((port + 100))
heap="${ELASTICSEARCH_HEAP:-512m}"
name=elasticsearch

if pid=$(live_pid "$name"); then
  say "$name already runs (pid $pid)"
  exit 0
fi
need java javac curl
dir="$PARTS_CACHE/elasticsearch-$version"
# log4j-core is optional for the server's jar, but a node needs it.
maven_libs "$dir" "org.elasticsearch:elasticsearch:$version" \
  "org.elasticsearch.plugin:transport-netty4-client:$version" \
  "org.elasticsearch.plugin:reindex-client:$version" \
  "org.elasticsearch.plugin:mapper-extras-client:$version" \
  org.apache.logging.log4j:log4j-core:2.17.1
compile "$dir" "$dir/lib" Elasticsearch7Main
port_free "$port" "$transport"
rm -rf "${PARTS_RUN:?}/$name"
spawn "$name" java "-Xms$heap" "-Xmx$heap" -XX:+UseSerialGC -Dlog4j2.disable.jmx=true \
  -cp "$dir/classes:$dir/lib/*" Elasticsearch7Main "$PARTS_RUN/$name" "$name" "$port" "$transport"
wait_ready "$name" 120 curl -fsS --max-time 5 \
  "http://127.0.0.1:$port/_cluster/health?wait_for_status=yellow&timeout=1s"
say "$name $version: http://127.0.0.1:$port"
