#!/usr/bin/env bash
# Stops the named servers, or with no name every one that was started from here.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=lib.sh
source "$here/lib.sh"

names=("$@")
if ((${#names[@]} == 0)); then
  for file in "$PARTS_RUN"/*.pid; do
    [[ -e $file ]] && names+=("$(basename "$file" .pid)")
  done
fi
for name in "${names[@]}"; do
  signal=TERM
  # PostgreSQL waits for its clients on TERM.
  [[ $name != postgresql ]] || signal=INT
  stop_part "$name" "$signal"
done
