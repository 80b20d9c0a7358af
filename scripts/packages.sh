# What the machine needs besides Node: names each missing Debian package and installs it, with a word about why.
# Sourced by start.sh and test.sh; `need <command> <package> <why>`.

missing_packages=()

need() {
  local command=$1 package=$2 why=$3
  if ! command -v "$command" >/dev/null 2>&1 && [ ! -x "/usr/sbin/$command" ] && [ ! -x "/sbin/$command" ]; then
    printf '  missing: %-12s (%s)\n' "$package" "$why"
    missing_packages+=("$package")
  fi
}

install_missing() {
  [ ${#missing_packages[@]} -eq 0 ] && return 0
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "This is not a Debian machine: please install ${missing_packages[*]} by its own means and run this again." >&2
    exit 1
  fi
  if [ "$(id -u)" -ne 0 ]; then
    echo "Installing ${missing_packages[*]} needs root: run this as root, or: apt-get install ${missing_packages[*]}" >&2
    exit 1
  fi
  echo "Installing Debian packages: ${missing_packages[*]}"
  # Services that a package would start by itself are not wanted: Troupe starts what it uses.
  local policy=/usr/sbin/policy-rc.d made=0
  if [ ! -e "$policy" ]; then printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made=1; fi
  local log status=0
  log=$(mktemp)
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing_packages[@]}"; } >"$log" 2>&1 || status=$?
  [ "$made" = 1 ] && rm -f "$policy"
  if [ "$status" -ne 0 ]; then
    tail -20 "$log" >&2
    echo "Could not install ${missing_packages[*]} (the end of apt's own words is above)." >&2
    exit 1
  fi
  rm -f "$log"
}

need_node() {
  local version
  version=$(node -p 'process.versions.node' 2>/dev/null || echo 0.0.0)
  if ! node -e 'const [a,b]=process.versions.node.split(".").map(Number); process.exit(a>20||(a===20&&b>=19)?0:1)' 2>/dev/null; then
    echo "Troupe needs Node 20.19 or newer; this machine has ${version}." >&2
    exit 1
  fi
}

# The installed packages match the lock file: nothing to do, and no network is needed.
install_npm_packages() {
  local stamp=node_modules/.troupe-lock
  if [ -f "$stamp" ] && cmp -s package-lock.json "$stamp"; then return 0; fi
  echo "Installing npm packages"
  npm ci --no-audit --no-fund --loglevel=error
  cp package-lock.json "$stamp"
}

need_cluster_packages() {
  need nats-server nats-server 'the event bus'
  if ! docker_answers; then need dockerd docker.io 'the container engine; none answers on this machine'; fi
  need nft nftables 'service traffic'
  need iptables iptables 'used by the container engine'
  need conntrack conntrack 'cuts connections to pods that are gone'
  need ip iproute2 "pods' network"
  need nsenter util-linux "pods' network"
}

docker_answers() {
  [ -S "${TROUPE_DOCKER_SOCKET:-/var/run/docker.sock}" ] && node -e '
    const request = require("http").get({ socketPath: process.argv[1], path: "/_ping", timeout: 2000 }, (r) => process.exit(r.statusCode === 200 ? 0 : 1));
    request.on("error", () => process.exit(1)); request.on("timeout", () => process.exit(1));
  ' "${TROUPE_DOCKER_SOCKET:-/var/run/docker.sock}"
}
