import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { silentLog } from '../../lib/base/log.ts';
import { newVethNetwork } from '../../node-agent/network/veth-network.ts';
import type { PodNetwork } from '../../node-agent/network/pod-network.ts';
import { until } from './until.ts';

/**
 * Run inside a network namespace of its own that has one link, 192.168.77.1/24: what the pod network does to a machine, from
 * first use to teardown. Exits 1 with the reason when something is not as it should be.
 */
const network = (): PodNetwork =>
  newVethNetwork({
    ...{ clusterCidr: '10.240.0.0/16', serviceCidr: '10.96.0.0/12', owner: 'check/n1', table: 'troupe_node_check' },
    log: silentLog,
  });
const ip = (...args: string[]): string => execFileSync('ip', args).toString();
const peersNow = (): string => ip('-o', 'route', 'show', 'proto', '98').replace(/\s+\n/g, '\n');

async function check(): Promise<void> {
  const net = network();
  await net.configure({ podCidr: '10.240.1.0/24', inUse: new Map() });
  // One peer on our link, one that is not: the second must not keep the first from working.
  await net.setPeers([
    { podCidr: '10.240.2.0/24', nodeIp: '192.168.77.2' },
    { podCidr: '10.240.3.0/24', nodeIp: '192.168.99.2' },
  ]);
  assert.equal(peersNow(), '10.240.2.0/24 via 192.168.77.2 dev link0\n');
  ip('route', 'add', '10.241.0.0/24', 'via', '192.168.77.9', 'proto', '98'); // another cluster's
  await network().setPeers([{ podCidr: '10.240.4.0/24', nodeIp: '192.168.77.4' }]);
  assert.equal(peersNow(), '10.240.4.0/24 via 192.168.77.4 dev link0\n10.241.0.0/24 via 192.168.77.9 dev link0\n');

  const pod = spawn('unshare', ['-n', 'sleep', '60'], { stdio: 'ignore' });
  try {
    const pid = pod.pid ?? 0;
    const inPod = (...args: string[]): string =>
      execFileSync('nsenter', [`--net=/proc/${pid}/ns/net`, ...args]).toString();
    await until(() => !ip('-o', 'link').includes(inPod('ip', '-o', 'link')), { what: 'the pod has its namespace' });
    const address = net.reserve('u1');
    const attachment = { podUid: 'u1', ip: address, pid, hostPorts: [] };
    await net.attach({ ...attachment, adopted: false });
    await net.attach({ ...attachment, adopted: true });
    assert.match(ip('-o', 'route', 'show', address), /dev tp/);
    assert.match(inPod('ip', 'route'), /^default via 169\.254\.1\.1 dev eth0/);
    const next = network(); // as of an agent that has just started
    await next.sweep(new Set(['u1']));
    assert.match(ip('-o', 'link'), /: tp/, 'before it knows its addresses it touches nothing');
    await next.configure({ podCidr: '10.240.1.0/24', inUse: new Map([['u1', address]]) });
    await next.sweep(new Set(['u1']));
    assert.match(ip('-o', 'link'), /: tp/);
    await network().teardown();
    assert.doesNotMatch(ip('-o', 'link'), /: tp/);
    assert.equal(execFileSync('nft', ['list', 'tables']).toString(), '');
    assert.equal(peersNow(), '10.241.0.0/24 via 192.168.77.9 dev link0\n', 'what is not ours stays');
  } finally {
    pod.kill('SIGKILL');
  }
}

check().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exit(1);
  },
);
