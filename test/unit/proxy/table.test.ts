import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Endpoints, Service } from '../../../lib/api/objects.ts';
import { keyOf } from '../../../lib/api/keys.ts';
import { diff, isEmpty, lostBackends, type TableChanges } from '../../../services/proxy/table/diff.ts';
import {
  compile,
  frontendKey,
  guardKey,
  partOf,
  recompile,
  type CompiledTable,
  type ProxyTable,
  type Target,
} from '../../../services/proxy/table/table.ts';
import { admitting, fewestBlocks, intersect, sourcesOf, union } from '../../../services/proxy/table/sources.ts';
import { formatCidr, parseCidr } from '../../../lib/api/net.ts';
import { aService, anEndpoints, type ServiceOptions } from '../../support/builders.ts';

const tableOf = (services: readonly Service[], endpoints: readonly Endpoints[] = []): CompiledTable => {
  const byKey = new Map(endpoints.map((each) => [keyOf(each), each]));
  return compile(services, (key) => byKey.get(key), 'n1');
};
/** The table in lines: `frontend -> target [backends]`, with what is special about the target. */
const lines = (table: ProxyTable): string[] =>
  [...table.frontends].map(([key, { target }]) => {
    const { backends, affinitySeconds, masquerade, sources }: Omit<Target, 'id' | 'protocol'> = table.targets.get(
      target,
    ) ?? {
      backends: ['?'],
      affinitySeconds: 0,
      masquerade: false,
    };
    const extra = `${affinitySeconds > 0 ? ` affinity ${affinitySeconds}` : ''}${masquerade ? ' masqueraded' : ''}${sources === undefined ? '' : ` for ${sources.join(' ') || 'nobody'}`}`;
    return `${key} -> ${target} [${backends.join(' ')}]${extra}`;
  });

describe('proxy/table', () => {
  const two = anEndpoints({
    subsets: [
      {
        addresses: [
          { ip: '10.244.1.2', nodeName: 'n2' },
          { ip: '10.244.0.9', nodeName: 'n1' },
        ],
        notReadyAddresses: [{ ip: '10.244.0.3', nodeName: 'n1' }],
        ports: [{ port: 8080, protocol: 'TCP' }],
      },
    ],
  });
  const cases: readonly { it: string; service: ServiceOptions; endpoints?: Endpoints; want: readonly string[] }[] = [
    {
      it: 'sends a virtual address to the ready backends',
      service: {},
      want: ['10.96.0.20/TCP/80 -> default/web/tcp/80 [10.244.0.9:8080 10.244.1.2:8080]'],
    },
    {
      it: 'keeps a service without endpoints, so that it is refused',
      service: { name: 'lonely' },
      want: ['10.96.0.20/TCP/80 -> default/lonely/tcp/80 []'],
    },
    { it: 'has nothing for a headless service', service: { clusterIP: 'None' }, want: [] },
    {
      it: 'has nothing for an ExternalName',
      service: { spec: { type: 'ExternalName', externalName: 'example.com', clusterIP: '' } },
      want: [],
    },
    {
      it: 'takes those not ready where the service says so',
      service: { spec: { publishNotReadyAddresses: true } },
      want: ['10.96.0.20/TCP/80 -> default/web/tcp/80 [10.244.0.3:8080 10.244.0.9:8080 10.244.1.2:8080]'],
    },
    {
      it: 'matches ports by name and protocol, whatever their numbers',
      service: {
        ports: [
          { port: 80, name: 'http' },
          { port: 53, name: 'dns', protocol: 'UDP' },
          { port: 1, name: 'x' },
        ],
      },
      endpoints: anEndpoints({
        ips: ['10.244.0.9'],
        ports: [
          { name: 'http', port: 8080, protocol: 'TCP' },
          { name: 'dns', port: 5353, protocol: 'UDP' },
          { name: 'x', port: 9, protocol: 'UDP' },
        ],
      }),
      want: [
        '10.96.0.20/TCP/80 -> default/web/tcp/80 [10.244.0.9:8080]',
        '10.96.0.20/UDP/53 -> default/web/udp/53 [10.244.0.9:5353]',
        '10.96.0.20/TCP/1 -> default/web/tcp/1 []',
      ],
    },
    {
      it: 'keeps a client at its backend for as long as the service says',
      service: { spec: { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } } },
      want: ['10.96.0.20/TCP/80 -> default/web/tcp/80 [10.244.0.9:8080 10.244.1.2:8080] affinity 60'],
    },
    {
      it: 'opens a node port and external addresses, and hides who comes that way',
      service: { ports: [{ port: 80, nodePort: 30080 }], spec: { type: 'NodePort', externalIPs: ['198.51.100.7'] } },
      want: [
        '10.96.0.20/TCP/80 -> default/web/tcp/80 [10.244.0.9:8080 10.244.1.2:8080]',
        '*/TCP/30080 -> default/web/tcp/80/external [10.244.0.9:8080 10.244.1.2:8080] masqueraded',
        '198.51.100.7/TCP/80 -> default/web/tcp/80/external [10.244.0.9:8080 10.244.1.2:8080] masqueraded',
        '198.51.100.7/TCP/80/inside -> default/web/tcp/80 [10.244.0.9:8080 10.244.1.2:8080]',
      ],
    },
    {
      it: 'keeps to local backends, and shows who comes, where the external policy is Local',
      service: { ports: [{ port: 80, nodePort: 30080 }], spec: { type: 'NodePort', externalTrafficPolicy: 'Local' } },
      want: [
        '10.96.0.20/TCP/80 -> default/web/tcp/80 [10.244.0.9:8080 10.244.1.2:8080]',
        '*/TCP/30080 -> default/web/tcp/80/external [10.244.0.9:8080]',
      ],
    },
    {
      it: 'keeps to local backends where the internal policy is Local',
      service: { spec: { internalTrafficPolicy: 'Local' } },
      want: ['10.96.0.20/TCP/80 -> default/web/tcp/80 [10.244.0.9:8080]'],
    },
    {
      it: 'lets through a load balancer whom its ranges name, and those inside as ever',
      service: {
        spec: {
          type: 'LoadBalancer',
          externalIPs: ['198.51.100.7'],
          loadBalancerSourceRanges: [' 203.0.113.0/24', '203.0.113.9/32', '192.0.2.0/25'],
        },
        status: { loadBalancer: { ingress: [{ ip: '198.51.100.9' }] } },
      },
      want: [
        '10.96.0.20/TCP/80 -> default/web/tcp/80 [10.244.0.9:8080 10.244.1.2:8080]',
        '198.51.100.7/TCP/80 -> default/web/tcp/80/external [10.244.0.9:8080 10.244.1.2:8080] masqueraded',
        '198.51.100.7/TCP/80/inside -> default/web/tcp/80 [10.244.0.9:8080 10.244.1.2:8080]',
        '198.51.100.9/TCP/80 -> default/web/tcp/80/balanced [10.244.0.9:8080 10.244.1.2:8080] masqueraded for 192.0.2.0/25 203.0.113.0/24',
        '198.51.100.9/TCP/80/inside -> default/web/tcp/80 [10.244.0.9:8080 10.244.1.2:8080]',
      ],
    },
    {
      it: 'lets nobody in who declares clients before they are known',
      service: { spec: { allowedClients: [{ podSelector: {} }] } },
      want: ['10.96.0.20/TCP/80 -> default/web/tcp/80 [10.244.0.9:8080 10.244.1.2:8080] for nobody'],
    },
    {
      it: 'ignores a node port that the type does not have',
      service: { ports: [{ port: 80, nodePort: 30080 }] },
      want: ['10.96.0.20/TCP/80 -> default/web/tcp/80 [10.244.0.9:8080 10.244.1.2:8080]'],
    },
  ];
  for (const c of cases) {
    it(c.it, () =>
      assert.deepEqual(lines(tableOf([aService(c.service)], [c.endpoints ?? two])).sort(), c.want.toSorted()),
    );
  }

  it('takes the addresses that a load balancer leaves to nodes, not those that it serves itself', () => {
    const service = aService({ spec: { type: 'LoadBalancer', externalTrafficPolicy: 'Cluster' } });
    const ingress = [{ ip: '192.0.2.1' }, { ip: '192.0.2.2', ipMode: 'VIP' as const }];
    const status = { loadBalancer: { ingress: [...ingress, { ip: '192.0.2.3', ipMode: 'Proxy' as const }] } };
    const table = tableOf([{ ...service, status }]);
    const outside = [...table.frontends.values()].filter(({ inside }) => inside !== true);
    assert.deepEqual(outside.map(({ address }) => address).sort(), ['10.96.0.20', '192.0.2.1', '192.0.2.2']);
  });

  it('knows the backends of its own node', () => {
    assert.deepEqual([...tableOf([aService()], [two]).local], ['10.244.0.9']);
  });

  it('gives an address that two services claim to the older, whatever the order, and says so', () => {
    const old = aService({ name: 'old', creationTimestamp: '2026-01-01T00:00:00Z', clusterIP: '10.96.0.30' });
    const young = aService({ name: 'a-young', creationTimestamp: '2026-01-02T00:00:00Z', clusterIP: '10.96.0.30' });
    for (const services of [
      [old, young],
      [young, old],
    ]) {
      const table = tableOf(services);
      assert.equal(table.frontends.get('10.96.0.30/TCP/80')?.target, 'default/old/tcp/80');
      assert.deepEqual(table.conflicts, ['10.96.0.30/TCP/80 belongs to default/old; default/a-young asked for it too']);
    }
  });
});

describe('proxy/guards', () => {
  const clients = (...names: readonly string[]) => ({ access: { clients: names } });
  const web = anEndpoints({
    name: 'web',
    subsets: [
      {
        addresses: [
          { ip: '10.244.0.9', nodeName: 'n1' },
          { ip: '10.244.1.2', nodeName: 'n2' },
        ],
        notReadyAddresses: [{ ip: '10.244.0.3', nodeName: 'n1' }],
        ports: [{ port: 8080, protocol: 'TCP' }],
      },
    ],
  });
  const shown = (table: ProxyTable): string[] =>
    [...table.guards].map(([key, { sources }]) => `${key} for ${sources.join(' ') || 'nobody'}`);

  it('guards the ports of pods of this node, ready or not', () => {
    assert.deepEqual(shown(tableOf([aService()], [{ ...web, ...clients('10.244.3.3', '10.244.1.1') }])), [
      '10.244.0.9:8080/TCP for 10.244.1.1 10.244.3.3',
      '10.244.0.3:8080/TCP for 10.244.1.1 10.244.3.3',
    ]);
  });

  it('guards those that leave, and pods of a headless service', () => {
    const leaving = [
      { addresses: [{ ip: '10.244.0.4', nodeName: 'n1' }], ports: [{ port: 1, protocol: 'UDP' as const }] },
    ];
    const { subsets: _, ...none } = web;
    const table = tableOf([aService({ clusterIP: 'None' })], [{ ...none, access: { leaving } }]);
    assert.deepEqual(shown(table), ['10.244.0.4:1/UDP for nobody']);
  });

  it('lets in the clients of every service that a port is behind, and everybody when one of them is open', () => {
    const other = { ...web, metadata: { ...web.metadata, name: 'other' } };
    const services = [aService(), aService({ name: 'other', clusterIP: '10.96.0.9' })];
    const both = tableOf(services, [
      { ...web, ...clients('10.244.1.1') },
      { ...other, ...clients('10.244.1.2') },
    ]);
    assert.equal(shown(both)[0], '10.244.0.9:8080/TCP for 10.244.1.1 10.244.1.2');
    assert.deepEqual(shown(tableOf(services, [{ ...web, ...clients('10.244.1.1') }, other])), []);
  });
});

describe('proxy/sources', () => {
  const block = fc
    .tuple(fc.integer({ min: 0, max: 255 }), fc.constantFrom(24, 28, 30, 31, 32))
    .map(([n, bits]) => formatCidr(parseCidr(`10.0.0.${n}/${bits}`) ?? { base: 0, bits: 32 }));
  const blocks = fc.array(block, { maxLength: 6 });
  const ips = Array.from({ length: 256 }, (_, n) => `10.0.0.${n}`);
  const who = (texts: readonly string[]): string[] => ips.filter(admitting(texts));

  it('says the same in its plain form, and joins and meets as sets do', () => {
    fc.assert(
      fc.property(blocks, blocks, (a, b) => {
        const [x, y] = [sourcesOf(a), sourcesOf(b)];
        assert.deepEqual(who(x), who(a));
        assert.deepEqual(sourcesOf(x.toReversed()), x);
        assert.deepEqual(
          who(intersect(x, y)),
          who(a).filter((ip) => who(b).includes(ip)),
        );
        assert.deepEqual(who(union([x, y])), who([...a, ...b]));
        assert.deepEqual(who(fewestBlocks(x)), who(x));
        assert.deepEqual(fewestBlocks(fewestBlocks(x)), fewestBlocks(x));
      }),
    );
  });

  it('lets nobody in by what is no address', () => {
    assert.deepEqual(sourcesOf(['10.0.0.300', '', 'everybody']), []);
  });
});

describe('proxy/diff', () => {
  const shape = fc.record({
    name: fc.constantFrom('a', 'b', 'c'),
    clusterIP: fc.constantFrom('10.96.0.1', '10.96.0.2', 'None'),
    port: fc.constantFrom(80, 81),
    nodePort: fc.constantFrom(undefined, 30080, 30081),
    affinity: fc.boolean(),
    clients: fc.option(fc.subarray(['10.244.0.7', '10.244.0.8', '10.244.0.9']), { nil: undefined }),
    hosts: fc.uniqueArray(fc.integer({ min: 1, max: 6 }), { maxLength: 6 }),
  });
  const state = fc.uniqueArray(shape, { selector: ({ name }) => name, maxLength: 3 });
  type State = typeof state extends fc.Arbitrary<infer S> ? S : never;
  const objects = (shapes: State): readonly [Service[], Endpoints[]] => [
    shapes.map(({ name, clusterIP, port, nodePort, affinity }) =>
      aService({
        name,
        clusterIP,
        ports: [{ port, ...(nodePort !== undefined && { nodePort }) }],
        spec: {
          ...(nodePort !== undefined && { type: 'NodePort' as const }),
          ...(affinity && { sessionAffinity: 'ClientIP' as const }),
        },
      }),
    ),
    shapes.map(({ name, hosts, clients }) => ({
      ...(clients !== undefined && { access: { clients } }),
      ...anEndpoints({
        name,
        subsets: [
          {
            addresses: hosts.map((n) => ({ ip: `10.244.0.${n}`, nodeName: `n${n % 2}` })),
            ports: [{ port: 8080, protocol: 'TCP' }],
          },
        ],
      }),
    })),
  ];
  const compiled = (shapes: State): CompiledTable => tableOf(...objects(shapes));

  it('leads from any table to any other, and changes nothing where nothing changed', () => {
    fc.assert(
      fc.property(state, state, (a, b) => {
        const [before, after] = [compiled(a), compiled(b)];
        assert.deepEqual(plain(applied(before, diff(before, after))), plain(after));
        assert(isEmpty(diff(after, compiled(b))));
      }),
    );
  });

  it('costs only what changed: recompiling some services equals compiling all, and so do its changes', () => {
    fc.assert(
      fc.property(fc.array(state, { minLength: 2, maxLength: 6 }), (states) => {
        let before = compiled(states[0] ?? []);
        for (const shapes of states.slice(1)) {
          const [services, endpoints] = objects(shapes).map((list) => new Map(list.map((each) => [keyOf(each), each])));
          const keys = ['default/a', 'default/b', 'default/c'];
          const snapshot = {
            service: (key: string) => services?.get(key) as Service | undefined,
            endpoints: (key: string) => endpoints?.get(key) as Endpoints | undefined,
          };
          const whole = compiled(shapes);
          const after = recompile(before, keys, snapshot, 'n1');
          assert.equal(after === undefined, before.conflicts.length + whole.conflicts.length > 0);
          if (after !== undefined) {
            assert.deepEqual(plain(after), plain(whole));
            const changes = diff(partOf(before, keys), partOf(after, keys));
            assert.deepEqual(plain(applied(before, changes)), plain(whole));
          }
          before = after ?? whole;
        }
      }),
    );
  });

  it('guards a pod as soon as the last service is gone that left it open to all', () => {
    const services = new Map([
      ['default/open', aService({ name: 'open' })],
      ['default/closed', aService({ name: 'closed', clusterIP: '10.96.0.9', spec: { allowedClients: [{}] } })],
    ]);
    const behind = (name: string): Endpoints =>
      anEndpoints({
        name,
        subsets: [{ addresses: [{ ip: '10.244.0.5', nodeName: 'n1' }], ports: [{ port: 80, protocol: 'TCP' }] }],
      });
    const endpoints = new Map(['open', 'closed'].map((name) => [`default/${name}`, behind(name)]));
    const before = tableOf([...services.values()], [...endpoints.values()]);
    assert.equal(before.guards.size, 0);
    services.delete('default/open');
    const snapshot = {
      service: (key: string) => services.get(key),
      endpoints: (key: string) => (services.has(key) ? endpoints.get(key) : undefined),
    };
    const after = recompile(before, ['default/open'], snapshot, 'n1');
    assert.deepEqual([...(after?.guards.keys() ?? [])], ['10.244.0.5:80/TCP']);
  });

  it('keeps what did not change as the same objects', () => {
    const services = new Map([
      ['default/a', aService({ name: 'a' })],
      ['default/b', aService({ name: 'b', clusterIP: '10.96.0.9' })],
    ]);
    const before = tableOf([...services.values()]);
    const snapshot = { service: (key: string) => services.get(key), endpoints: () => undefined };
    const after = recompile(before, ['default/b'], snapshot, 'n1');
    assert.equal(after?.targets.get('default/a/tcp/80'), before.targets.get('default/a/tcp/80'));
    assert.equal(after?.targets.get('default/b/tcp/80'), before.targets.get('default/b/tcp/80'));
    assert.equal(after?.local, before.local);
  });

  it('names exactly the pairs of frontend and backend that are gone', () => {
    const pairs = (table: ProxyTable): string[] =>
      [...table.frontends].flatMap(([key, { target }]) =>
        (table.targets.get(target)?.backends ?? []).map((backend) => `${key} ${backend}`),
      );
    fc.assert(
      fc.property(state, state, (a, b) => {
        const [before, after] = [compiled(a), compiled(b)];
        const lost = lostBackends(before, after, diff(before, after)).map(
          (each) => `${frontendKey(each.frontend)} ${each.backend}`,
        );
        const left = new Set(pairs(after));
        assert.deepEqual(
          lost.sort(),
          pairs(before)
            .filter((pair) => !left.has(pair))
            .sort(),
        );
      }),
    );
  });
});

/** What a faithful executor makes of `before` with `changes` alone. */
function applied(before: ProxyTable, changes: TableChanges): ProxyTable {
  const targets = new Map(before.targets);
  const frontends = new Map(before.frontends);
  const local = new Set(before.local);
  for (const each of changes.removedFrontends) assert(frontends.delete(frontendKey(each)));
  for (const each of changes.addedTargets) targets.set(each.id, each);
  for (const each of changes.changedTargets) targets.set(each.after.id, each.after);
  for (const each of changes.addedFrontends) frontends.set(frontendKey(each), each);
  for (const each of changes.removedTargets) assert(targets.delete(each.id));
  for (const ip of changes.removedLocal) local.delete(ip);
  for (const ip of changes.addedLocal) local.add(ip);
  const guards = new Map(before.guards);
  for (const each of changes.removedGuards) assert(guards.delete(guardKey(each)));
  for (const each of changes.addedGuards) guards.set(guardKey(each), each);
  for (const { after } of changes.changedGuards) guards.set(guardKey(after), after);
  return { targets, frontends, local, guards, conflicts: [] };
}

const plain = ({ targets, frontends, local, guards }: ProxyTable): unknown => ({
  guards: [...guards].sort(([a], [b]) => (a < b ? -1 : 1)),
  targets: [...targets].sort(([a], [b]) => (a < b ? -1 : 1)),
  frontends: [...frontends].sort(([a], [b]) => (a < b ? -1 : 1)),
  local: [...local].sort(),
});
