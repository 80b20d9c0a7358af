#!/usr/bin/env bash
# npm run lint: types, rules, layers and format. The rules take as long as all others together, so they go side by side.
set -uo pipefail
cd "$(dirname "$0")/.."

code=(lib services node-agent cli examples bench test)
others=$(mktemp)
trap 'rm -f "$others"' EXIT
(npx tsc --noEmit && npx depcruise --config .dependency-cruiser.cjs "${code[@]}" && npx prettier --check .) >"$others" 2>&1 &
npx eslint .
rules=$?
wait $!
rest=$?
cat "$others"
exit $((rules != 0 || rest != 0))
