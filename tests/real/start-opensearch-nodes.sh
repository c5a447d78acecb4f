#!/usr/bin/env bash
# A real OpenSearch cluster of three nodes, each a process of its own, so that one can be lost.
#
#   start-opensearch-nodes.sh          starts all three and waits until they are one cluster
#   start-opensearch-nodes.sh kill N   kills node N (1 to 3) as a power cut does
#   start-opensearch-nodes.sh back N   starts it again with the data that it had
#
# NODES_PORT  HTTP port of node 1 (default 9270; the others follow, transport ports 100 above)
# Other variables as in start-opensearch.sh. stop.sh stops node-1, node-2 and node-3.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=lib.sh
source "$here/lib.sh"

base="${NODES_PORT:-9270}"
seeds="$((base + 100)),$((base + 101)),$((base + 102))"

start() { # NODE KEEP
  OPENSEARCH_NAME="node-$1" OPENSEARCH_NODE="node-$1" OPENSEARCH_CLUSTER=nodes OPENSEARCH_KEEP="$2" \
    OPENSEARCH_PORT=$((base + $1 - 1)) OPENSEARCH_SEEDS="$seeds" "$here/start-opensearch.sh"
}

joined() { # NODES: true when so many are one cluster, asked of node 1, 2 or 3
  local n
  for n in 0 1 2; do
    curl -fsS --max-time 5 -o /dev/null \
      "http://127.0.0.1:$((base + n))/_cluster/health?wait_for_nodes=$1&timeout=2s" && return 0
  done
  return 1
}

case "${1:-start}" in
  start)
    # The first bootstraps the cluster; the others can start beside it.
    jobs=()
    for n in 1 2 3; do
      start "$n" 0 &
      jobs+=($!)
    done
    for job in "${jobs[@]}"; do wait "$job" || die "a node did not start"; done
    wait_ready node-1 60 joined 3
    say "nodes: http://127.0.0.1:$base, and the two ports above"
    ;;
  kill)
    pid=$(live_pid "node-$2") || die "node-$2 is not running"
    kill -KILL "$pid"
    while live_pid "node-$2" >/dev/null; do sleep 0.05; done
    rm -f "$PARTS_RUN/node-$2.pid"
    say "node-$2 killed (pid $pid)"
    ;;
  back) start "$2" 1 ;;
  *) die "start, kill N or back N?" ;;
esac
