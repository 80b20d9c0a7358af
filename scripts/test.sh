#!/usr/bin/env bash
# npm test: from a fresh clone, installs what the tests need, runs every test and counts them.
# With names of suites (lint unit contract presubmit flow e2e) only those run.
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh

need_node
need_cluster_packages
# Tests always run on an engine of their own, also where the machine has one.
need dockerd docker.io 'the container engine that tests start for themselves'
need busybox busybox-static 'test images'
need ps procps 'processes that a test has left, and settings of its network namespaces'
need mkfs.ext4 e2fsprogs 'disks with a file system of their own'
need dig dnsutils 'asks the DNS service as a user would'
need linux.uml user-mode-linux 'a kernel with NFS, whatever that of the machine has'
need exportfs nfs-kernel-server 'a real file server'
need haproxy haproxy 'the balancer that the load-balancer-controller drives'
need docker-registry docker-registry 'a real registry to pull from'
need htpasswd apache2-utils 'its users'
need unzip unzip 'the programs of other clients, as they are packed'
need script bsdutils 'a terminal for other clients'
need openssl openssl 'certificates for the HTTPS probes of a test'
need redis-server redis-server 'a master and replicas behind one address'
need redis-cli redis-tools 'asks them as a user would'
need faketime faketime 'clocks that are set to another time'
need perl perl-base 'programs that take system calls, in test images'
install_missing
install_npm_packages || exit 1
node scripts/build.mjs || exit 1

suites=("$@")
[ ${#suites[@]} -eq 0 ] && suites=(lint unit contract presubmit flow e2e)

results=$(mktemp -d)
lint_log=$(mktemp)
lint=
trap 'rm -rf "$results" "$lint_log"' EXIT
failed_suites=()

# No suite takes half as long: one that hangs where no time-out of a test reaches ends all the same.
mocha() { # name of the result, then files
  local output=$results/$1.json
  shift
  timeout --foreground --kill-after=30 2700 node_modules/.bin/mocha "$@" --reporter scripts/reporter.cjs --reporter-option "output=$output"
}

# A file with a failed test is run a second time by itself, for what is lost to a race on a starved machine; the summary names
# it all the same. What is broken fails twice.
run_suite() {
  mocha "$1" "test/$1/**/*.test.ts" && return
  local files
  mapfile -t files < <(node scripts/again.mjs "$results" "$1")
  [ ${#files[@]} -eq 0 ] && return 1
  printf '\n== %s, again: %s\n' "$1" "${files[*]#"$PWD/"}"
  mocha "$1.again" "${files[@]}"
}

finish_lint() {
  [ -z "$lint" ] && return
  printf '\n== lint\n'
  wait "$lint" || failed_suites+=(lint)
  lint=
  cat "$lint_log"
}

for suite in "${suites[@]}"; do
  if [ "$suite" = lint ]; then
    npm run --silent lint >"$lint_log" 2>&1 & # beside the next suite: neither keeps both cores busy
    lint=$!
    continue
  fi
  printf '\n== %s\n' "$suite"
  started=$(date +%s)
  run_suite "$suite" || failed_suites+=("$suite")
  printf '== %s took %s s\n' "$suite" "$(($(date +%s) - started))"
  finish_lint
done
finish_lint

node scripts/summary.mjs "$results" "${suites[*]}" "${failed_suites[@]+"${failed_suites[@]}"}"
