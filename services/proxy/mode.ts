import { readFileSync, writeFileSync } from 'node:fs';
import { messageOf } from '../../lib/base/errors.ts';
import type { Clock } from '../../lib/base/clock.ts';
import type { Config } from '../../lib/base/config.ts';
import type { Log } from '../../lib/base/log.ts';
import { canAdministerNetwork, givenAddresses, LoopbackAddresses } from './addresses.ts';
import { run } from './command.ts';
import type { proxyOptions } from './config.ts';
import { NftablesRules } from './nftables.ts';
import type { TrafficRules } from './rules.ts';
import { UserspaceRules } from './userspace.ts';

/** The rules for the mode that was asked for. Throws with the reason when nftables was asked for and cannot be had. */
export async function chooseRules(config: Config<typeof proxyOptions>, clock: Clock, log: Log): Promise<TrafficRules> {
  const { table, clusterCidr, drainMs } = config;
  const obstacle = config.mode === 'userspace' ? 'userspace was asked for' : await nftablesObstacle();
  if (obstacle === undefined) {
    await prepareKernel(log);
    log.info({ table }, 'the kernel carries the traffic, by nftables');
    return new NftablesRules({ table, clusterCidr, drainMs, clock, log });
  }
  if (config.mode === 'nftables') throw new Error(`--mode nftables does not work here: ${obstacle}`);
  const root = canAdministerNetwork();
  log.info({ reason: obstacle, anyAddress: root }, 'this process carries the traffic itself');
  return new UserspaceRules({ drainMs, clock, log, addresses: root ? new LoopbackAddresses(table) : givenAddresses });
}

/** Takes away what either mode has left under this table name. */
export async function cleanUp(config: Config<typeof proxyOptions>, clock: Clock, log: Log): Promise<void> {
  await (await chooseRules(config, clock, log)).cleanup();
  if (canAdministerNetwork()) await new LoopbackAddresses(config.table).removeAll();
}

async function nftablesObstacle(): Promise<string | undefined> {
  if (!canAdministerNetwork()) return 'it needs root (CAP_NET_ADMIN)';
  try {
    const { code, stderr } = await run('nft', ['list', 'tables'], { timeoutMs: 10_000 });
    return code === 0 ? undefined : `nft list tables says: ${stderr.trim()}`;
  } catch (error) {
    return `nft cannot be run (${messageOf(error)}); the Debian package is nftables`;
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
