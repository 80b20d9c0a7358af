import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { Log } from '../../lib/base/log.ts';
import { connectionsInto } from './connections.ts';
import { AddressPool } from './address-pool.ts';
import { nodeRules } from './node-rules.ts';
import { portsClash } from '../../lib/api/pods.ts';
import { NetworkError, type Attachment, type Peer, type PodNetwork, type PortMapping } from './pod-network.ts';
import { runCommand } from './run-command.ts';

export interface VethNetworkOptions {
  /** The ranges of all pods and all services of the cluster: traffic to them keeps the pod's own address. */
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  /** Whose devices these are, so that two agents on one machine never touch each other's. */
  readonly owner: string;
  readonly table: string;
  readonly log: Log;
}

/** Where pods send everything: nobody has this address, a fixed neighbour entry leads it to the node's end of the pair. */
const gateway = '169.254.1.1';
/** Marks our routes to other nodes among the node's routes (see `ip route help`, protocol). */
const routeProtocol = '98';

/**
 * One routed pair of devices a pod, without a bridge: the node has a /32 route to the pod's address over its end, the pod
 * a default route over the other. Connection tracking sees all traffic, two pods of one node included (docs/decisions/pod-network.md).
 */
export function newVethNetwork(options: VethNetworkOptions): PodNetwork {
  const { log, table, clusterCidr } = options;
  const prefix = `tp${hash(options.owner, 4)}`;
  const hostPorts = new Map<string, readonly PortMapping[]>();
  const addresses = new Map<string, string>();
  let pool: AddressPool | undefined;
  let mtu = 1500;
  let peerRoutes: ReadonlyMap<string, string> | undefined;
  /** Rule changes go one after another: each replaces the whole table. */
  let rules: Promise<void> = Promise.resolve();

  /** Named by the address: a sandbox that was made in advance keeps its device when a pod takes it. */
  const device = (ip: string): string => prefix + hash(ip, 8);
  const inRange = (): AddressPool => {
    if (pool === undefined) throw new NetworkError('the node has no pod range yet');
    return pool;
  };
  function writeRules(): Promise<void> {
    rules = rules
      .catch(() => undefined)
      .then(async () => {
        const text = nodeRules({ ...options, table, podCidr: inRange().cidr, hostPorts });
        await must('nft', ['-f', '-'], text, 'the node rules');
      });
    return rules;
  }

  return {
    get configured() {
      return pool !== undefined;
    },
    async configure({ podCidr, inUse, hostPorts: found }) {
      if (pool?.cidr === podCidr) return;
      const next = new AddressPool(podCidr);
      for (const [uid, ip] of inUse) next.adopt(uid, ip);
      await writeFile('/proc/sys/net/ipv4/ip_forward', '1');
      mtu = await uplinkMtu();
      await engineFirewall('-I', clusterCidr);
      pool = next;
      for (const [ip, ports] of found ?? []) hostPorts.set(ip, ports);
      await writeRules();
    },
    reserve: (podUid) => inRange().take(podUid),
    hand(from, to) {
      const ip = addresses.get(from) ?? pool?.held(from);
      pool?.hand(from, to);
      addresses.delete(from);
      if (ip !== undefined) addresses.set(to, ip);
    },
    async attach(attachment) {
      const { podUid, ip } = attachment;
      const name = device(ip);
      const clash = clashOf(attachment, hostPorts);
      if (clash !== undefined) throw new NetworkError(clash);
      addresses.set(podUid, ip);
      await must('sh', ['-s'], attachScript(name, attachment, mtu), `the network of ${ip}`);
      await setSysctls(attachment);
      if (attachment.hostPorts.length === 0) return;
      hostPorts.set(ip, attachment.hostPorts);
      await writeRules();
    },
    connections: connectionsInto,

    async detach(podUid) {
      const ip = addresses.get(podUid) ?? pool?.held(podUid);
      if (ip !== undefined) await runCommand('ip', ['link', 'delete', device(ip)]); // gone with its namespace, as a rule
      addresses.delete(podUid);
      if (ip !== undefined && hostPorts.delete(ip)) await writeRules();
      pool?.release(podUid);
    },
    async sweep(podUids) {
      if (pool === undefined) return; // whose a device is, is known by its address only
      const kept = [...podUids].flatMap((uid) => pool?.held(uid) ?? []);
      await sweep(new Set(kept.map(device)));
    },
    async setPeers(peers) {
      peerRoutes = await syncRoutes(peers, peerRoutes ?? (await ownRoutes(clusterCidr)), log);
    },
    async teardown() {
      await sweep(new Set());
      await runCommand('nft', ['delete', 'table', 'ip', table]); // absent, where no pod has ever run here
      await syncRoutes([], await ownRoutes(clusterCidr), log);
      await engineFirewall('-D', clusterCidr);
    },
  };

  async function sweep(keep: ReadonlySet<string>): Promise<void> {
    const { stdout } = await must('ip', ['-o', 'link', 'show', 'type', 'veth'], '', 'the list of devices');
    const left = [...stdout.matchAll(/^\d+: ([^@:]+)/gm)].map((found) => found[1] ?? '');
    for (const name of left.filter((candidate) => candidate.startsWith(prefix) && !keep.has(candidate))) {
      log.info({ device: name }, 'removing the device of a pod that is gone');
      await runCommand('ip', ['link', 'delete', name]);
    }
  }
}

/** Two pods cannot have one port of the node: the second one waits until the first is gone. */
function clashOf(
  { ip, hostPorts }: Attachment,
  taken: ReadonlyMap<string, readonly PortMapping[]>,
): string | undefined {
  for (const [other, ports] of taken) {
    if (other === ip) continue;
    const port = hostPorts.find((wanted) => ports.some((has) => portsClash(wanted, has)));
    if (port === undefined) continue;
    const where = port.ip === '0.0.0.0' ? '' : ` of ${port.ip}`;
    return `host port ${port.port}/${port.protocol}${where} is taken by another pod of this node, with the address ${other}`;
  }
  return undefined;
}

/** Writes the pod's kernel settings from inside its network namespace: only what belongs to that namespace can be seen there. */
async function setSysctls({ pid, ip, sysctls = [] }: Attachment): Promise<void> {
  for (const { name, value } of sysctls) {
    const path = `/proc/sys/${name.includes('/') ? name : name.replaceAll('.', '/')}`;
    const write = ['-c', 'printf %s "$2" > "$1"', 'sh', path, value];
    await must('nsenter', [`--net=/proc/${pid}/ns/net`, 'sh', ...write], '', `sysctl ${name} of ${ip}`);
  }
}

/**
 * One shell for the whole pair: starting programs is what costs. Within its own network a program of any user may take every port and may ping,
 * as in a container that Docker gives a network.
 */
function attachScript(name: string, { ip, pid, adopted }: Attachment, mtu: number): string {
  const bytes = ip
    .split('.')
    .map((part) => Number(part).toString(16).padStart(2, '0'))
    .join(':');
  const [hostMac, podMac] = [`02:74:${bytes}`, `02:70:${bytes}`];
  const add = `ip link add ${name} mtu ${mtu} address ${hostMac} type veth peer name eth0 mtu ${mtu} address ${podMac} netns ${pid}`;
  const inPod = `nsenter --net=/proc/${pid}/ns/net`;
  const make = `
${add} 2>/dev/null || { ip link delete ${name} 2>/dev/null; ${add}; } || exit 1
${inPod} sh <<'END' || exit 1
ip -batch - <<'LINKS' || exit 1
link set lo up
address add ${ip}/32 dev eth0
link set eth0 up
route add ${gateway} dev eth0 scope link
neighbour replace ${gateway} lladdr ${hostMac} dev eth0 nud permanent
route add default via ${gateway} dev eth0
LINKS
echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start
echo '0 2147483647' > /proc/sys/net/ipv4/ping_group_range
END`;
  return `${adopted ? `if ! ${inPod} ip -o address show dev eth0 2>/dev/null | grep -qwF '${ip}'; then ${make}\nfi` : make}
ip -batch - <<'END' || exit 1
link set ${name} up
route replace ${ip}/32 dev ${name} scope link
neighbour replace ${ip} lladdr ${podMac} dev ${name} nud permanent
END
echo 1 > /proc/sys/net/ipv4/conf/${name}/rp_filter
echo 1 > /proc/sys/net/ipv4/conf/${name}/forwarding
`;
}

/** Writes the routes to other nodes that are not as they should be. A node that is not on our link is told of once. */
async function syncRoutes(
  peers: readonly Peer[],
  before: ReadonlyMap<string, string>,
  log: Log,
): Promise<ReadonlyMap<string, string>> {
  const have = new Map(before);
  const want = new Map(peers.map((peer) => [peer.podCidr, peer.nodeIp]));
  for (const cidr of have.keys()) {
    if (want.has(cidr)) continue;
    await runCommand('ip', ['route', 'delete', cidr, 'proto', routeProtocol]);
    have.delete(cidr);
  }
  for (const [cidr, via] of want) {
    if (have.get(cidr) === via) continue;
    const { exitCode, stderr } = await runCommand('ip', ['route', 'replace', cidr, 'via', via, 'proto', routeProtocol]);
    if (exitCode !== 0) log.warn({ cidr, via, error: stderr.trim() }, 'no direct route to the pods of another node');
    have.set(cidr, via);
  }
  return have;
}

/** Only those of this cluster: another's agent may live on the same machine. */
async function ownRoutes(clusterCidr: string): Promise<ReadonlyMap<string, string>> {
  const { stdout } = await runCommand('ip', ['-o', 'route', 'show', 'root', clusterCidr, 'proto', routeProtocol]);
  return new Map([...stdout.matchAll(/^(\S+) via (\S+)/gm)].map((found) => [found[1] ?? '', found[2] ?? '']));
}

/** A packet that leaves the node must fit its way out; pods learn the same size. */
async function uplinkMtu(): Promise<number> {
  const route = await runCommand('ip', ['-o', 'route', 'show', 'default']);
  const uplink = /\bdev (\S+)/.exec(route.stdout)?.[1];
  if (uplink === undefined) return 1500;
  const link = await runCommand('ip', ['-o', 'link', 'show', 'dev', uplink]);
  return Number(/\bmtu (\d+)/.exec(link.stdout)?.[1] ?? 1500);
}

/** An engine that manages the firewall drops what it does not know; it has a chain for others to say what may pass. */
async function engineFirewall(verb: '-I' | '-D', clusterCidr: string): Promise<void> {
  const chain = await runCommand('iptables', ['-w', '5', '-S', 'DOCKER-USER']).catch(() => undefined);
  if (chain?.exitCode !== 0) return;
  for (const side of ['-s', '-d']) {
    const rule = ['DOCKER-USER', side, clusterCidr, '-j', 'ACCEPT'];
    const present = (await runCommand('iptables', ['-w', '5', '-C', ...rule])).exitCode === 0;
    if (present === (verb === '-I')) continue;
    await must('iptables', ['-w', '5', verb, ...rule], '', 'the rule that lets pods through');
  }
}

async function must(
  program: string,
  args: readonly string[],
  input: string,
  what: string,
): Promise<{ readonly stdout: string }> {
  const result = await runCommand(program, args, { input }).catch((error: unknown) => {
    throw new NetworkError(`${what}: ${String(error)}`, { cause: error });
  });
  if (result.exitCode !== 0) throw new NetworkError(`${what}: ${program} failed: ${result.stderr.trim()}`);
  return result;
}

const hash = (text: string, length: number): string => createHash('sha256').update(text).digest('hex').slice(0, length);
