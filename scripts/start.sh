#!/usr/bin/env bash
# npm start: from a fresh clone to a running cluster with the Guestbook on it.
# Options are those of `troupe up`, and --empty to leave the Guestbook out.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh

need_node
need_cluster_packages
install_missing
install_npm_packages
node scripts/build.mjs

empty=0
options=()
for word in "$@"; do
  if [ "$word" = --empty ]; then empty=1; else options+=("$word"); fi
done
if [ "$empty" = 0 ]; then options+=(--with-guestbook); fi
exec node bin/troupe.js up "${options[@]}"
