import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Endpoints, Service, ServiceSpec } from '../../../lib/api/objects.ts';
import { aService, anEndpoints } from '../../support/builders.ts';
import { canMakeNetworks, makeNetwork, type TestNetwork } from '../../support/netns.ts';
import { Peer } from '../../support/netns-peer.ts';
import { until } from '../../support/until.ts';

export interface ProxyUnderTest {
  readonly kind: 'nftables' | 'userspace';
  /** Backends see the pod that connects, not the node. */
  readonly keepsSource: boolean;
  /** Traffic goes on while the process is away, kept connections too. */
  readonly outlivesProcess: boolean;
}

const vip = '10.96.0.20';
const backendIps = ['10.244.0.11', '10.244.0.12', '10.244.0.13'] as const;
const clientIp = '10.244.0.10';
const drainMs = 200;

interface Shape {
  readonly name?: string;
  readonly clusterIP?: string;
  readonly backends?: readonly string[];
  readonly protocol?: 'TCP' | 'UDP';
  readonly spec?: Partial<ServiceSpec>;
  readonly nodePort?: number;
}
interface Snapshot {
  readonly services: Service[];
  readonly endpoints: Endpoints[];
}

/** Services on port 80 whose backends serve on 8080. */
function snapshot(...shapes: readonly Shape[]): Snapshot {
  const services = shapes.map(({ name = 'web', clusterIP = vip, protocol = 'TCP', spec = {}, nodePort }) =>
    aService({
      name,
      clusterIP,
      ports: [{ port: 80, targetPort: 8080, protocol, ...(nodePort === undefined ? {} : { nodePort }) }],
      spec,
    }),
  );
  const endpoints = shapes.map(({ name = 'web', backends = backendIps, protocol = 'TCP' }) =>
    anEndpoints({
      name,
      subsets: [{ addresses: backends.map((ip) => ({ ip, nodeName: 'n1' })), ports: [{ port: 8080, protocol }] }],
    }),
  );
  return { services, endpoints };
}

/** What every way of carrying traffic must do, tried with real servers and clients in namespaces. */
export function proxyContract({ kind, keepsSource, outlivesProcess }: ProxyUnderTest): void {
  describe(`proxy contract: ${kind}`, function () {
    this.timeout(60_000);
    let network: TestNetwork;
    let rules: Peer;
    let client: Peer;
    let backends: Peer[];
    let outside: Peer;
    let onNode: Peer;

    const startRules = async (): Promise<void> => {
      rules = await Peer.start(network.node, new URL('./rules-host.ts', import.meta.url));
      await rules.ask('make', { kind, drainMs });
    };
    const to = (...shapes: readonly Shape[]): Promise<number> => rules.ask('apply', snapshot(...shapes));
    const connections = (count: number, from = client, ip = vip, port = 80): Promise<string[]> =>
      from.ask('connections', { ip, port, count });
    const counts = (greetings: readonly string[]): Record<string, number> => {
      const by: Record<string, number> = {};
      for (const text of greetings) by[text.split(' ')[0] ?? ''] = (by[text.split(' ')[0] ?? ''] ?? 0) + 1;
      return by;
    };
    const ended = (id: string): Promise<string> =>
      until(
        async () => {
          await client.ask('say', { id, text: '.' });
          return (await client.ask<{ ended: string | null }>('state', { id })).ended;
        },
        { what: `connection ${id} ends`, timeoutMs: 10_000 },
      );

    before(async function () {
      if (!canMakeNetworks()) {
        process.stderr.write(`      SKIPPED: proxy contract on ${kind} needs root on Linux\n`);
        return this.skip();
      }
      network = await makeNetwork(`proxy-${kind.slice(0, 3)}`);
      const host = new URL('./host.ts', import.meta.url);
      const pods = [];
      for (const ip of [clientIp, ...backendIps]) pods.push(await network.addPod(ip));
      const [first, ...rest] = await Promise.all(pods.map((pod) => Peer.start(pod, host)));
      assert(first !== undefined);
      [client, backends] = [first, rest];
      [outside, onNode] = await Promise.all([Peer.start(network.outside, host), Peer.start(network.node, host)]);
      await Promise.all(backends.map((peer, i) => peer.ask('serve', { name: `b${i + 1}`, port: 8080 })));
      // Whoever is outside finds virtual addresses through the node.
      await network.outside.run('ip', 'route', 'add', '10.96.0.0/12', 'via', network.nodeIp);
      await startRules();
    });
    after(async () => {
      await network?.close();
    });
    beforeEach(async () => {
      await rules.ask('replaceAll', { services: [], endpoints: [] });
    });

    it('spreads k times n connections n each', async () => {
      await to({});
      assert.deepEqual(counts(await connections(30)), { b1: 10, b2: 10, b3: 10 });
    });

    it('goes on spreading evenly after an endpoint came and one went', async () => {
      await to({ backends: backendIps.slice(0, 2) });
      await to({});
      assert.deepEqual(counts(await connections(9)), { b1: 3, b2: 3, b3: 3 });
      await to({ backends: backendIps.slice(1) });
      assert.deepEqual(counts(await connections(8)), { b2: 4, b3: 4 });
    });

    it('serves the node itself', async () => {
      await to({});
      assert.deepEqual(counts(await connections(6, onNode)), { b1: 2, b2: 2, b3: 2 });
    });

    it('lets a pod reach itself through its own service', async () => {
      await to({ backends: [backendIps[0]] });
      const [self] = backends;
      assert(self !== undefined);
      assert.deepEqual(counts(await connections(3, self)), { b1: 3 });
    });

    it(keepsSource ? 'shows the backend who connects' : 'shows the backend the node', async () => {
      await to({});
      const [greeting] = await connections(1);
      assert.equal(greeting?.split(' ')[1] === clientIp, keepsSource);
    });

    it('refuses connections when there are no endpoints, at once', async () => {
      await to({ backends: [] });
      const start = performance.now();
      assert.deepEqual(await connections(2), ['ECONNREFUSED', 'ECONNREFUSED']);
      assert.deepEqual(await connections(1, onNode), ['ECONNREFUSED']);
      assert(performance.now() - start < 1_000);
      await to({});
      assert.deepEqual(counts(await connections(3)), { b1: 1, b2: 1, b3: 1 });
    });

    it('refuses a port of a virtual address that no service has', async () => {
      await to({});
      assert.deepEqual(await connections(1, client, vip, 81), ['ECONNREFUSED']);
    });

    it('keeps a client at its backend while affinity lasts, and moves it when the backend goes', async () => {
      const spec = {
        sessionAffinity: 'ClientIP',
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
      } as const;
      await to({ spec });
      const [first = ''] = Object.keys(counts(await connections(1)));
      assert.deepEqual(counts(await connections(9)), { [first]: 9 });
      const gone = backendIps[Number(first.slice(1)) - 1];
      const others = backendIps.filter((ip) => ip !== gone);
      await to({ spec, backends: others });
      const moved = counts(await connections(9));
      assert.equal(Object.keys(moved).length, 1);
      assert(!(first in moved));
    });

    it('keeps affinity through an unrelated change of the same service', async () => {
      const spec = {
        sessionAffinity: 'ClientIP',
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
      } as const;
      await to({ spec, backends: backendIps.slice(0, 2) });
      const [first = ''] = Object.keys(counts(await connections(1)));
      await to({ spec });
      assert.deepEqual(counts(await connections(6)), { [first]: 6 });
    });

    it('forgets affinity after its time', async () => {
      const spec = { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 1 } } } as const;
      await to({ spec });
      await until(
        async () => {
          const [before] = await connections(1);
          await new Promise((resolve) => setTimeout(resolve, 1_100)); // the time-out itself is what is tested
          const [after] = await connections(1);
          return before !== after;
        },
        { what: 'a client gets another backend after its affinity ran out', timeoutMs: 20_000 },
      );
    });

    it('ends connections to an endpoint that left, and leaves the others alone', async () => {
      await to({});
      const names = await Promise.all(
        ['x1', 'x2', 'x3'].map((id) => client.ask<string>('hold', { id, ip: vip, port: 80 })),
      );
      const at = names.findIndex((name) => name.startsWith('b2'));
      await to({ backends: [backendIps[0], backendIps[2]] });
      assert.equal(await ended(`x${at + 1}`), 'ECONNRESET');
      for (const id of ['x1', 'x2', 'x3'].filter((_, i) => i !== at)) {
        await client.ask('say', { id, text: '!' });
        await until(async () => (await client.ask<{ text: string }>('state', { id })).text.includes('!'), {
          what: `${id} still echoes`,
        });
      }
    });

    it('ends connections when an endpoint leaves many services at once', async () => {
      const services = (backends: readonly string[]): Shape[] =>
        Array.from({ length: 25 }, (_, i) => ({
          ...{ name: `s${i}`, clusterIP: `10.96.1.${i + 1}`, backends },
          protocol: i === 24 ? ('UDP' as const) : ('TCP' as const),
        }));
      await to(...services([backendIps[0]]));
      await client.ask('hold', { id: 'one-of-many', ip: '10.96.1.7', port: 80 });
      const send = (): Promise<string[]> => client.ask('datagrams', { id: 'udp-of-many', ip: '10.96.1.25', port: 80 });
      assert.deepEqual(counts(await send()), { b1: 1 });
      await to(...services([backendIps[1]]));
      assert.equal(await ended('one-of-many'), 'ECONNRESET');
      await until(async () => (await send())[0]?.startsWith('b2'), { what: 'datagrams reach the new endpoint' });
    });

    it('lets a request under way end before its connection is cut', async () => {
      await to({ backends: [backendIps[0]] });
      await client.ask('hold', { id: 'busy', ip: vip, port: 80 });
      await to({ backends: [backendIps[1]] });
      await client.ask('say', { id: 'busy', text: 'last words' });
      await until(async () => (await client.ask<{ text: string }>('state', { id: 'busy' })).text === 'last words', {
        what: 'the answer arrives while the connection drains',
      });
      assert.equal(await ended('busy'), 'ECONNRESET');
    });

    it('touches nothing but the service that changed', async () => {
      const other = { name: 'other', clusterIP: '10.96.0.21', backends: [backendIps[0]] };
      await to({}, other);
      await client.ask('hold', { id: 'kept', ip: '10.96.0.21', port: 80 });
      assert.equal(await to({ backends: backendIps.slice(0, 2) }, other), 2); // one target, one local address
      await client.ask('say', { id: 'kept', text: 'still here' });
      await until(async () => (await client.ask<{ text: string }>('state', { id: 'kept' })).text === 'still here', {
        what: 'a connection of another service goes on',
      });
      assert.deepEqual(await rules.ask('differences'), []);
    });

    it('stops serving a service that was deleted', async () => {
      await to({}, { name: 'other', clusterIP: '10.96.0.21' });
      await to({ name: 'other', clusterIP: '10.96.0.21' });
      assert.deepEqual(counts(await connections(3, client, '10.96.0.21')), { b1: 1, b2: 1, b3: 1 });
      assert.notEqual((await connections(1))[0]?.[0], 'b');
      assert.deepEqual(await rules.ask('differences'), []);
    });

    it('carries half-closed connections and large answers whole', async () => {
      await to({});
      assert.equal(await client.ask('halfClose', { ip: vip, port: 80, bytes: 5_000_000 }), 5_000_000);
    });

    it('carries datagrams: a client stays at its backend, new clients go round', async () => {
      await to({ protocol: 'UDP' });
      const answers: string[] = [];
      for (const id of ['u1', 'u2', 'u3']) {
        const got = await client.ask<string[]>('datagrams', { id: `${kind}-${id}`, ip: vip, port: 80, count: 3 });
        assert.equal(new Set(got).size, 1);
        answers.push(got[0] ?? '');
      }
      assert.deepEqual(counts(answers), { b1: 1, b2: 1, b3: 1 });
    });

    it('moves a datagram client at once when its endpoint leaves', async () => {
      await to({ protocol: 'UDP', backends: [backendIps[0]] });
      const send = (): Promise<string[]> => client.ask('datagrams', { id: 'mover', ip: vip, port: 80 });
      assert.deepEqual(counts(await send()), { b1: 1 });
      await to({ protocol: 'UDP', backends: [backendIps[1]] });
      await until(async () => (await send())[0]?.startsWith('b2'), {
        what: 'datagrams reach the new endpoint',
        timeoutMs: 3_000,
      });
    });

    it('serves a datagram client that was sending before the service existed', async () => {
      const send = (): Promise<string[]> => client.ask('datagrams', { id: 'early', ip: '10.96.0.30', port: 80 });
      await send();
      await to({ protocol: 'UDP', clusterIP: '10.96.0.30' });
      await until(async () => (await send())[0]?.startsWith('b'), {
        what: 'the early client is served',
        timeoutMs: 5_000,
      });
    });

    it('serves a node port and an external address to those outside', async () => {
      await to({ spec: { type: 'NodePort', externalIPs: ['198.51.100.7'] }, nodePort: 30_080 });
      assert.deepEqual(counts(await connections(6, outside, network.nodeIp, 30_080)), { b1: 2, b2: 2, b3: 2 });
      await network.outside.run('ip', 'route', 'replace', '198.51.100.7/32', 'via', network.nodeIp);
      assert.deepEqual(counts(await connections(3, outside, '198.51.100.7')), { b1: 1, b2: 1, b3: 1 });
      assert.deepEqual(counts(await connections(3, client, network.nodeIp, 30_080)), { b1: 1, b2: 1, b3: 1 });
    });

    it('has in effect what it was told, after any changes', async () => {
      const shape = fc.record({
        name: fc.constantFrom('a', 'b', 'c'),
        clusterIP: fc.constantFrom('10.96.0.41', '10.96.0.42', '10.96.0.43'),
        protocol: fc.constantFrom('TCP' as const, 'UDP' as const),
        nodePort: fc.constantFrom(undefined, 30_081, 30_082),
        backends: fc.subarray(Array.from({ length: 9 }, (_, i) => `10.244.0.${i + 50}`)),
        affinity: fc.constantFrom(0, 60, 90),
      });
      const step = fc.uniqueArray(shape, { selector: ({ name }) => name, maxLength: 3 });
      for (const shapes of fc.sample(step, { numRuns: 25, seed: 7 })) {
        await to(
          ...shapes.map(({ nodePort, affinity, ...rest }) => ({
            ...rest,
            ...(nodePort === undefined ? {} : { nodePort }),
            spec: {
              ...(nodePort === undefined ? {} : { type: 'NodePort' as const }),
              ...(affinity === 0
                ? {}
                : {
                    sessionAffinity: 'ClientIP' as const,
                    sessionAffinityConfig: { clientIP: { timeoutSeconds: affinity } },
                  }),
            },
          })),
        );
        assert.deepEqual(await rules.ask('differences'), []);
      }
    });

    it('finds out that somebody else changed what it made, and mends it', async () => {
      await to({});
      assert.deepEqual(await rules.ask('differences'), []);
      if (kind === 'nftables') {
        await network.node.run('nft', 'flush', 'ruleset');
        assert.deepEqual(await rules.ask('differences'), ['table ip troupe_test is gone']);
      }
      await rules.ask('replaceAll', snapshot({}));
      assert.deepEqual(await rules.ask('differences'), []);
      assert.deepEqual(counts(await connections(3)), { b1: 1, b2: 1, b3: 1 });
    });

    it('serves on after it was killed and started again', async () => {
      const spec = {
        sessionAffinity: 'ClientIP',
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
      } as const;
      const sticky = { name: 'sticky', clusterIP: '10.96.0.22', spec };
      await to({}, sticky);
      await client.ask('hold', { id: 'long', ip: vip, port: 80 });
      const [first] = await connections(1, client, '10.96.0.22');
      await rules.kill();
      if (outlivesProcess) assert.deepEqual(counts(await connections(3)), { b1: 1, b2: 1, b3: 1 });
      await startRules();
      await rules.ask('replaceAll', snapshot({}, sticky));
      assert.deepEqual(counts(await connections(3)), { b1: 1, b2: 1, b3: 1 });
      if (!outlivesProcess) return;
      await client.ask('say', { id: 'long', text: 'and on' });
      await until(async () => (await client.ask<{ text: string }>('state', { id: 'long' })).text === 'and on', {
        what: 'a connection from before goes on',
      });
      assert.deepEqual(await connections(3, client, '10.96.0.22'), [first, first, first]);
    });

    it('leaves nothing behind after a clean-up', async () => {
      await to({}, { name: 'other', clusterIP: '10.96.0.21', protocol: 'UDP' });
      await rules.ask('cleanup');
      assert.equal((await network.node.run('nft', 'list', 'ruleset')).trim(), '');
      assert(!(await network.node.run('ip', 'address', 'show', 'dev', 'lo')).includes('10.96.'));
    });
  });
}
