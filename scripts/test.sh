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
trap 'rm -rf "$results"' EXIT
failed_suites=()
for suite in "${suites[@]}"; do
  printf '\n== %s\n' "$suite"
  started=$(date +%s)
  if [ "$suite" = lint ]; then
    npm run --silent lint || failed_suites+=(lint)
  else
    # No suite takes half as long: one that hangs where no time-out of a test reaches ends all the same.
    timeout --foreground --kill-after=30 2700 node_modules/.bin/mocha "test/$suite/**/*.test.ts" --reporter scripts/reporter.cjs --reporter-option "output=$results/$suite.json" || failed_suites+=("$suite")
  fi
  printf '== %s took %s s\n' "$suite" "$(($(date +%s) - started))"
done

node scripts/summary.mjs "$results" "${failed_suites[@]+"${failed_suites[@]}"}"
