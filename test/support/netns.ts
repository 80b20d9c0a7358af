import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const exec = promisify(execFile);
let made = 0;

/** A network of its own for a test: a namespace with devices, addresses, rules and processes of no concern to the machine's. */
export interface Netns {
  /** As in /var/run/netns. */
  readonly name: string;
  /** Put in front of a command to run it inside. */
  readonly enter: readonly string[];
  /** Runs a command inside to its end and resolves to its output; rejects when it fails. */
  run(command: string, ...args: string[]): Promise<string>;
  /** Starts a process inside; it is ended with the network. */
  spawn(command: string, args: readonly string[], options?: { readonly stderr?: 'inherit' | 'ignore' }): ChildProcess;
}

/**
 * One node with pods, as the product lays it out: each pod behind a routed pair of devices, its address a /32, the node its gateway;
 * and a host outside that the node's default route leads to. Close it in `after`, whatever happened; an exit of the test process closes it too.
 */
export interface TestNetwork {
  readonly node: Netns;
  readonly nodeIp: string;
  readonly outside: Netns;
  readonly outsideIp: string;
  addPod(ip: string): Promise<Netns>;
  close(): Promise<void>;
}

/** Namespaces, devices and rules need root on Linux. */
export const canMakeNetworks = (): boolean => process.platform === 'linux' && process.getuid?.() === 0;

export async function makeNetwork(label: string): Promise<TestNetwork> {
  const id = `${process.pid.toString(36)}${made++}`;
  const spaces: Netns[] = [];
  const processes = new Set<ChildProcess>();

  const make = async (role: string): Promise<Netns> => {
    const name = `tt-${label}-${id}-${role}`;
    await exec('ip', ['netns', 'add', name]);
    const space = asNetns(name, processes);
    spaces.push(space);
    await space.run('ip', 'link', 'set', 'lo', 'up');
    return space;
  };
  const removeSpaces = (): void => {
    for (const child of processes) child.kill('SIGKILL');
    for (const { name } of spaces.splice(0)) spawnSync('ip', ['netns', 'del', name]);
  };
  process.once('exit', removeSpaces);
  const close = async (): Promise<void> => {
    const ended = [...processes].map((child) => endOf(child));
    for (const child of processes) child.kill('SIGKILL');
    await Promise.all(ended);
    removeSpaces();
    process.off('exit', removeSpaces);
  };

  try {
    const node = await make('node');
    const outside = await make('out');
    const [nodeIp, outsideIp] = ['192.0.2.1', '192.0.2.2'];
    await exec('ip', ['link', 'add', 'out', 'netns', node.name, 'type', 'veth', 'peer', 'eth0', 'netns', outside.name]);
    await node.run('ip', 'address', 'add', `${nodeIp}/24`, 'dev', 'out');
    await node.run('ip', 'link', 'set', 'out', 'up');
    await outside.run('ip', 'address', 'add', `${outsideIp}/24`, 'dev', 'eth0');
    await outside.run('ip', 'link', 'set', 'eth0', 'up');
    await node.run('ip', 'route', 'add', 'default', 'via', outsideIp);
    await node.run('sysctl', '-qw', 'net.ipv4.ip_forward=1');

    let pods = 0;
    const addPod = async (ip: string): Promise<Netns> => {
      const pod = await make(`p${pods}`);
      const device = `pod${pods++}`;
      await exec('ip', ['link', 'add', device, 'netns', node.name, 'type', 'veth', 'peer', 'eth0', 'netns', pod.name]);
      await node.run('ip', 'link', 'set', device, 'up');
      await node.run('ip', 'route', 'add', `${ip}/32`, 'dev', device);
      await node.run('sysctl', '-qw', `net.ipv4.conf.${device}.proxy_arp=1`);
      await node.run('sysctl', '-qw', `net.ipv4.neigh.${device}.proxy_delay=0`);
      await pod.run('ip', 'address', 'add', `${ip}/32`, 'dev', 'eth0');
      await pod.run('ip', 'link', 'set', 'eth0', 'up');
      await pod.run('ip', 'route', 'add', '169.254.1.1', 'dev', 'eth0');
      await pod.run('ip', 'route', 'add', 'default', 'via', '169.254.1.1', 'dev', 'eth0');
      return pod;
    };
    return { node, nodeIp, outside, outsideIp, addPod, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A namespace by its name, which somebody else has made; `close` ends what was started in it and removes it. */
export function netnsAt(name: string): Netns & { close(): void } {
  const processes = new Set<ChildProcess>();
  const close = (): void => {
    for (const child of processes) child.kill('SIGKILL');
    spawnSync('ip', ['netns', 'del', name]);
  };
  return { ...asNetns(name, processes), close };
}

/** The network of a process that runs, such as that of a container. Ending what was started there is the caller's. */
export const netnsOfProcess = (pid: number): Netns => asNetns(`pid-${pid}`, new Set(), `/proc/${pid}/ns/net`);

function asNetns(name: string, processes: Set<ChildProcess>, path = `/var/run/netns/${name}`): Netns {
  // Not `ip netns exec`, which hides the cgroup mounts.
  const enter = ['nsenter', `--net=${path}`];
  return {
    name,
    enter,
    async run(command, ...args) {
      const { stdout } = await exec('nsenter', [...enter.slice(1), command, ...args], { maxBuffer: 2 ** 28 });
      return stdout;
    },
    spawn(command, args, options = {}) {
      const stdio = ['pipe', 'pipe', options.stderr ?? 'inherit'] as const;
      const child = spawn('nsenter', [...enter.slice(1), command, ...args], { stdio: [...stdio] });
      processes.add(child);
      child.on('exit', () => processes.delete(child));
      return child;
    },
  };
}

const endOf = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else child.once('exit', () => resolve());
  });
