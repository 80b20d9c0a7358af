import assert from 'node:assert/strict';
import type { Endpoints, EndpointsAccess, Protocol, Service, ServiceSpec } from '../../../lib/api/objects.ts';
import { holdAnnotation } from '../../../lib/api/carriage.ts';
import { aService, anEndpoints } from '../../support/builders.ts';
import { makeNetwork, type Netns, type TestNetwork } from '../../support/netns.ts';
import { Peer } from '../../support/netns-peer.ts';
import { until } from '../../support/until.ts';

/** A way of carrying traffic, and what it can do. */
export interface ProxyUnderTest {
  readonly kind: 'nftables' | 'iptables' | 'userspace';
  /** Called before anything else; a sentence when the machine lacks what it needs. */
  readonly obstacle?: () => string | undefined;
  /** Which of the two iptables. */
  readonly command?: 'iptables-legacy' | 'iptables-nft';
  /** Every service asks for a policy, so that the kernel leads to userspace. */
  readonly staged?: true;
  /** Backends see the pod that connects, not the node. */
  readonly keepsSource: boolean;
  /** Traffic goes on while the process is away, kept connections too. */
  readonly outlivesProcess: boolean;
  /** Those who may not connect are held off at services; in the kernel at the pods themselves, too. */
  readonly holdsOff: 'at services' | 'at pods too';
}
export const inKernel = ({ kind }: ProxyUnderTest): boolean => kind !== 'userspace';

/** What somebody meets who may not connect to an address that others may: a process can only end what the kernel has accepted. */
export const heldOff = (under: ProxyUnderTest): string => (inKernel(under) ? 'ECONNREFUSED' : 'ECONNRESET');

export const vip = '10.96.0.20';
export const backendIps = ['10.244.0.11', '10.244.0.12', '10.244.0.13'] as const;
export const clientIp = '10.244.0.10';
export const drainMs = 200;

export interface Shape {
  readonly name?: string;
  readonly clusterIP?: string;
  readonly backends?: readonly string[];
  /** Of those, the ones on another node; they are reached all the same. */
  readonly elsewhere?: readonly string[];
  readonly protocol?: Protocol;
  readonly spec?: Partial<ServiceSpec>;
  readonly nodePort?: number;
  readonly ingress?: string;
  readonly access?: EndpointsAccess;
  readonly holdSeconds?: number;
}
export interface Snapshot {
  readonly services: Service[];
  readonly endpoints: Endpoints[];
}

/** Services on port 80 whose backends serve on 8080. */
export function snapshot(...shapes: readonly Shape[]): Snapshot {
  const services = shapes.map((shape) => {
    const { name = 'web', clusterIP = vip, protocol = 'TCP', spec = {}, nodePort, ingress, holdSeconds } = shape;
    return aService({
      name,
      clusterIP,
      ports: [{ port: 80, targetPort: 8080, protocol, ...(nodePort === undefined ? {} : { nodePort }) }],
      spec,
      ...(holdSeconds === undefined ? {} : { annotations: { [holdAnnotation]: String(holdSeconds) } }),
      ...(ingress === undefined ? {} : { status: { loadBalancer: { ingress: [{ ip: ingress }] } } }),
    });
  });
  const endpoints = shapes.map(({ name = 'web', backends = backendIps, protocol = 'TCP', elsewhere = [], access }) => ({
    ...anEndpoints({
      name,
      subsets: [
        {
          addresses: backends.map((ip) => ({ ip, nodeName: elsewhere.includes(ip) ? 'n2' : 'n1' })),
          ports: [{ port: 8080, protocol }],
        },
      ],
    }),
    ...(access === undefined ? {} : { access }),
  }));
  return { services, endpoints };
}

/** How many greetings each backend has given; what is no greeting counts by its first word. */
export function counts(greetings: readonly string[]): Record<string, number> {
  const by: Record<string, number> = {};
  for (const text of greetings) by[text.split(' ')[0] ?? ''] = (by[text.split(' ')[0] ?? ''] ?? 0) + 1;
  return by;
}

/** One node with rules under test, a pod that is a client, three that serve, and a host outside. */
export class ProxyBed {
  readonly under: ProxyUnderTest;
  readonly kind: ProxyUnderTest['kind'];
  #network: TestNetwork | undefined;
  #rules: Peer | undefined;
  #peers: readonly Peer[] = [];
  /** As `#peers`: outside, the node, the client, those that serve. */
  #spaces: readonly Netns[] = [];

  constructor(under: ProxyUnderTest) {
    this.under = under;
    this.kind = under.kind;
  }

  async start(): Promise<void> {
    const network = (this.#network = await makeNetwork(`proxy-${this.kind.slice(0, 3)}`));
    const host = new URL('./host.ts', import.meta.url);
    const spaces = [network.outside, network.node];
    for (const ip of [clientIp, ...backendIps]) spaces.push(await network.addPod(ip));
    this.#spaces = spaces;
    this.#peers = await Promise.all(spaces.map((space) => Peer.start(space, host)));
    await Promise.all(this.backends.map((peer, i) => peer.ask('serve', { name: `b${i + 1}`, port: 8080 })));
    // Whoever is outside finds virtual addresses through the node.
    for (const block of ['10.96.0.0/12', '198.51.100.0/24'])
      await network.outside.run('ip', 'route', 'add', block, 'via', network.nodeIp);
    await this.startRules();
  }

  async startRules(drain = drainMs): Promise<void> {
    this.#rules = await Peer.start(this.network.node, new URL('./rules-host.ts', import.meta.url));
    await this.rules.ask('make', {
      kind: this.kind,
      drainMs: drain,
      command: this.under.command,
      staged: this.under.staged,
    });
  }

  /** Meanwhile open connections to a backend that left may go on for so long. */
  async draining(drain: number, work: () => Promise<void>): Promise<void> {
    await this.rules.kill();
    await this.startRules(drain);
    try {
      await work();
    } finally {
      await this.rules.kill();
      await this.startRules();
      await this.rules.ask('replaceAll', snapshot({}));
    }
  }

  async close(): Promise<void> {
    await this.#network?.close();
  }

  get network(): TestNetwork {
    assert(this.#network !== undefined);
    return this.#network;
  }
  get rules(): Peer {
    assert(this.#rules !== undefined);
    return this.#rules;
  }
  /** The network of a pod, for programs that are no peers. */
  space(of: 'client' | `backend ${number}`): Netns {
    const space = this.#spaces[of === 'client' ? 2 : 2 + Number(of.split(' ')[1])];
    assert(space !== undefined);
    return space;
  }
  get outside(): Peer {
    return this.#peer(0);
  }
  get onNode(): Peer {
    return this.#peer(1);
  }
  get client(): Peer {
    return this.#peer(2);
  }
  /** The networks of the backends. */
  get backendSpaces(): readonly Netns[] {
    return this.#spaces.slice(3);
  }
  get backends(): readonly Peer[] {
    return this.#peers.slice(3);
  }

  /** Brings the rules there from what they were; resolves to the number of separate changes. */
  to(...shapes: readonly Shape[]): Promise<number> {
    return this.rules.ask('apply', snapshot(...shapes));
  }

  differences(): Promise<readonly string[]> {
    return this.rules.ask('differences');
  }

  /** The greetings, or error codes, of so many connections. */
  connections(count: number, from = this.client, ip: string = vip, port = 80): Promise<string[]> {
    return from.ask('connections', { ip, port, count });
  }

  /** How a connection that `from` holds ends. */
  ended(id: string, from = this.client): Promise<string> {
    return until(
      async () => {
        await from.ask('say', { id, text: '.' });
        return (await from.ask<{ ended: string | null }>('state', { id })).ended;
      },
      { what: `connection ${id} ends`, timeoutMs: 30_000 },
    );
  }

  /** The same, while the client says nothing. */
  endedUnasked(id: string): Promise<string> {
    return until(async () => (await this.client.ask<{ ended: string | null }>('state', { id })).ended, {
      what: `connection ${id} ends by itself`,
      timeoutMs: 20_000,
    });
  }

  /** Says `text` on a connection that `from` holds, and waits for the echo. */
  async echoes(id: string, text: string, from = this.client): Promise<void> {
    await from.ask('say', { id, text });
    await until(async () => (await from.ask<{ text: string }>('state', { id })).text.endsWith(text), {
      what: `${id} echoes ${text}`,
      timeoutMs: 20_000,
    });
  }

  /** Rules on the node that are not the system's own empty chains. */
  async leftovers(): Promise<string[]> {
    const { node } = this.network;
    const listed = await Promise.all([
      node.run('nft', 'list', 'ruleset'),
      ...(this.under.command === undefined ? [] : [node.run(`${this.under.command}-save`)]),
    ]);
    // The chains of iptables themselves stay, in nft's listing too.
    const empty = /^(table|chain|type \w+ hook|[*#:}]|COMMIT|$)/;
    const lines = listed.flatMap((text) => text.split('\n').map((line) => line.trim()));
    return lines.filter((line) => !empty.test(line) || /^(table|chain) .*troupe|^:TRP/.test(line));
  }

  /** Our chains on the node with their rules as text: by the kernel's handles, which each rewriting changes, or by what iptables prints. */
  async rulesByChain(): Promise<Map<string, string>> {
    const { node } = this.network;
    const { command } = this.under;
    const chains = new Map<string, string>();
    if (command === undefined) {
      let chain = '';
      for (const line of (await node.run('nft', '-a', 'list', 'table', 'ip', 'troupe_test')).split('\n')) {
        chain = /^\tchain (\S+) /.exec(line)?.[1] ?? (line.startsWith('\t}') ? '' : chain);
        if (chain !== '') chains.set(chain, `${chains.get(chain) ?? ''}${line}\n`);
      }
      return chains;
    }
    for (const line of (await node.run(`${command}-save`)).split('\n')) {
      const chain = /^-A (TRP\S+) /.exec(line)?.[1];
      if (chain !== undefined) chains.set(chain, `${chains.get(chain) ?? ''}${line}\n`);
    }
    return chains;
  }

  #peer(index: number): Peer {
    const peer = this.#peers[index];
    assert(peer !== undefined);
    return peer;
  }
}
