import { readFileSync, writeFileSync } from 'node:fs';
import type { Key } from '../../lib/api/keys.ts';
import type { Endpoints } from '../../lib/api/objects.ts';
import { messageOf } from '../../lib/base/errors.ts';
import type { Clock } from '../../lib/base/clock.ts';
import type { Config } from '../../lib/base/config.ts';
import type { Log } from '../../lib/base/log.ts';
import { canAdministerNetwork, givenAddresses, LoopbackAddresses } from './userspace/addresses.ts';
import { run } from './kernel/command.ts';
import type { proxyOptions } from './config.ts';
import { IptablesRules } from './iptables/iptables.ts';
import { NftablesRules } from './nftables/nftables.ts';
import type { TrafficRules } from './rules.ts';
import { StagedRules } from './staged/staged.ts';
import { loadPolicies } from './userspace/policy/registry.ts';
import { UserspaceRules } from './userspace/userspace.ts';

/** For the sockets of this process that the kernel's rules lead to; link-local, so that nobody routes it. */
const stageAddress = '169.254.84.1';

/** What userspace asks of the process around it, and tells it. */
interface Around {
  readonly endpoints: (service: Key) => Endpoints | undefined;
  readonly onUnserved: (target: string, why: string) => void;
  readonly onWanted: (services: readonly Key[]) => void;
  readonly onInVain: (target: string, why: string) => void;
}

/** The rules for the mode that was asked for. Throws with the reason when the kernel was asked for and cannot do it that way. */
export async function chooseRules(
  config: Config<typeof proxyOptions>,
  around: Around,
  clock: Clock,
  log: Log,
): Promise<TrafficRules> {
  const { mode, table, clusterCidr, drainMs, nodeName } = config;
  const root = canAdministerNetwork();
  const addresses = root ? new LoopbackAddresses(table) : givenAddresses;
  const policies = await loadPolicies(config.policyModules);
  const userspace = new UserspaceRules({ drainMs, clock, log, addresses, clusterCidr, policies, nodeName, ...around });
  const { way, obstacles } = await firstWay(mode);
  if (way === 'userspace') {
    log.info({ obstacles, anyAddress: root }, 'this process carries the traffic itself');
    return userspace;
  }
  await prepareKernel(log);
  log.info({ table, obstacles }, `the kernel carries the traffic, by ${way}`);
  const options = { table, clusterCidr, drainMs, clock, log };
  const kernel = way === 'nftables' ? new NftablesRules(options) : new IptablesRules(options);
  return new StagedRules({ kernel, stage: userspace, address: stageAddress, byRequest: config.byRequest });
}

/**
 * The way that was asked for; of `auto` the first that works here, and what is in the way of those before it. Tries them, and changes nothing.
 * Throws with the reason when the kernel was asked for and cannot do it that way.
 */
export async function firstWay(
  mode: Config<typeof proxyOptions>['mode'],
): Promise<{ readonly way: WayOfKernel | 'userspace'; readonly obstacles: readonly string[] }> {
  const obstacles: string[] = [];
  for (const way of mode === 'auto' ? waysOfKernel : waysOfKernel.filter((each) => each === mode)) {
    const obstacle = await obstacleTo(way);
    if (obstacle === undefined) return { way, obstacles };
    if (mode === way) throw new Error(`--mode ${mode} does not work here: ${obstacle}`);
    obstacles.push(`${way}: ${obstacle}`);
  }
  return { way: 'userspace', obstacles };
}

/** Takes away what any mode has left under this table name. */
export async function cleanUp(config: Config<typeof proxyOptions>, clock: Clock, log: Log): Promise<void> {
  if (!canAdministerNetwork()) return;
  const { table, clusterCidr, drainMs } = config;
  const options = { table, clusterCidr, drainMs, clock, log };
  if ((await obstacleTo('nftables')) === undefined) await new NftablesRules(options).cleanup();
  if ((await obstacleTo('iptables')) === undefined) await new IptablesRules(options).cleanup();
  await new LoopbackAddresses(table).removeAll();
}

const waysOfKernel = ['nftables', 'iptables'] as const;
type WayOfKernel = (typeof waysOfKernel)[number];
const trials = {
  nftables: { command: 'nft', args: ['list', 'tables'], debian: 'nftables' },
  iptables: { command: 'iptables-save', args: ['-t', 'nat'], debian: 'iptables' },
} as const;

/** Why the kernel cannot be used that way; undefined when it can. */
async function obstacleTo(way: WayOfKernel): Promise<string | undefined> {
  if (!canAdministerNetwork()) return 'it needs root (CAP_NET_ADMIN)';
  const { command, args, debian } = trials[way];
  try {
    const { code, stderr } = await run(command, args, { timeoutMs: 10_000 });
    return code === 0 ? undefined : `${command} ${args.join(' ')} says: ${stderr.trim()}`;
  } catch (error) {
    return `${command} cannot be run (${messageOf(error)}); the Debian package is ${debian}`;
  }
}

const forwarding = '/proc/sys/net/ipv4/ip_forward';

async function prepareKernel(log: Log): Promise<void> {
  try {
    if (readFileSync(forwarding, 'utf8').trim() !== '1') writeFileSync(forwarding, '1');
  } catch (error) {
    log.warn({ error }, 'could not switch net.ipv4.ip_forward on; traffic between pods needs it');
  }
  try {
    await run('conntrack', ['--version'], { timeoutMs: 10_000 });
  } catch {
    log.warn('conntrack is missing (Debian package conntrack): connections to endpoints that left are not ended');
  }
}
